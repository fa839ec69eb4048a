//! What PUT takes, refuses and answers.

use headroom_agent::api::command::{Change, WriteError};
use headroom_model::limit::Limit;
use serde_json::json;

use crate::support::{Script, Server};

/// What reached the control loop for a body that is taken.
fn changes(server: &Server, body: &str) -> Vec<Change> {
    let answer = server.put("/container/cont0", body);
    assert_eq!(answer.status, 201, "{body}: {answer:?}");
    let mut seen = server.seen();
    assert_eq!(seen.len(), 1, "{body}");
    let (name, changes) = seen.remove(0);
    assert_eq!(name, "cont0");
    changes
}

#[test]
fn numbers_and_texts_any_part() {
    let server = Server::open();
    let at = Limit::At;
    let cases = [
        (r#"{"cpu": {"cpu_allowance_limit": 150}}"#, vec![Change::CpuLimit(at(150.0))]),
        (r#"{"cpu": {"cpu_allowance_limit": "150.5"}}"#, vec![Change::CpuLimit(at(150.5))]),
        (r#"{"cpu": {"cpu_allowance_limit": "-1"}}"#, vec![Change::CpuLimit(Limit::Unlimited)]),
        (r#"{"cpu": {"cpu_allowance_limit": -1}}"#, vec![Change::CpuLimit(Limit::Unlimited)]),
        (r#"{"cpu": {"cpu_allowance_limit": 0}}"#, vec![Change::CpuLimit(Limit::Unlimited)]),
        (r#"{"cpu": {"cpu_allowance_limit": "0"}}"#, vec![Change::CpuLimit(Limit::Unlimited)]),
        (r#"{"cpu": {"cpu_num": "3,0-1"}}"#, vec![Change::Cpuset(vec![0, 1, 3])]),
        (r#"{"cpu": {"cpu_num": 2}}"#, vec![Change::Cpuset(vec![2])]),
        (r#"{"mem": {"mem_limit": "1024"}}"#, vec![Change::Memory(at(1024.0))]),
        (r#"{"mem": {"mem_limit": 64, "unit": "M"}}"#, vec![Change::Memory(at(64.0))]),
        (r#"{"mem": {"mem_limit": -1}}"#, vec![Change::Memory(Limit::Unlimited)]),
        (r#"{"disk_read": {"disk_read_limit": 20}}"#, vec![Change::DiskRead(at(20.0))]),
        (r#"{"disk_write": {"disk_write_limit": "30"}}"#, vec![Change::DiskWrite(at(30.0))]),
        (r#"{"disk_read": {"disk_write_limit": 30}}"#, vec![Change::DiskWrite(at(30.0))]),
        (r#"{"net": {"net_limit": "100"}}"#, vec![Change::Net(at(100.0))]),
    ];
    for (body, expected) in cases {
        assert_eq!(changes(&server, body), expected, "{body}");
    }
    let body = r#"{"cpu": {"cpu_allowance_limit": "200", "cpu_num": "0,1"}, "mem": {"mem_limit": "4096"},
        "disk_read": {"disk_read_limit": 100, "disk_write_limit": 50}, "disk_write": {"disk_write_limit": 50}}"#;
    let expected = [
        Change::CpuLimit(at(200.0)),
        Change::Cpuset(vec![0, 1]),
        Change::DiskRead(at(100.0)),
        Change::DiskWrite(at(50.0)),
        Change::Memory(at(4096.0)),
    ];
    assert_eq!(changes(&server, body), expected);
}

#[test]
fn the_answer_is_what_then_stands() {
    let server = Server::open();
    for path in ["/container/cont0", "/container/cont0/"] {
        let answer = server.put(path, r#"{"cpu": {"cpu_allowance_limit": "75"}, "disk_write": {"disk_write_limit": 12.5}}"#);
        assert_eq!(answer.status, 201);
        let body = answer.json();
        assert_eq!(
            body["cpu"],
            json!({"cpu_num": "0-1", "effective_num_cpus": 2, "effective_cpu_limit": 75, "cpu_allowance_limit": 75})
        );
        assert_eq!(body["disk_write"]["disk_write_limit"], json!(12.5));
        assert_eq!(body["mem"]["mem_limit"], json!(4096));
        assert_eq!(server.get("/container/cont0").json(), body);
    }
    let lifted = server.put("/container/cont0", r#"{"cpu": {"cpu_allowance_limit": -1}, "mem": {"mem_limit": "-1"}}"#).json();
    assert_eq!((&lifted["cpu"]["cpu_allowance_limit"], &lifted["cpu"]["effective_cpu_limit"]), (&json!(-1), &json!(200)));
    assert_eq!(lifted["mem"], json!({"unit": "unlimited", "mem_limit": -1}));
}

#[test]
fn what_was_got_can_be_put_back() {
    let server = Server::open();
    let got = server.get("/container/cont0");
    let put = server.put("/container/cont0", &got.body);
    assert_eq!((put.status, put.json()), (201, got.json()));
    assert_eq!(server.seen()[0].1.len(), 6);

    // This one has neither memory, disk nor network to be limited.
    let got = server.get("/container/b%20a%2Fre");
    let put = server.put("/container/b%20a%2Fre", &got.body);
    assert_eq!(put.status, 201);
    assert_eq!(server.seen()[0].1, [Change::CpuLimit(Limit::At(33.333)), Change::Cpuset(vec![0, 1, 2, 3, 4])]);
}

#[test]
fn an_empty_change_changes_nothing() {
    let server = Server::open();
    let answer = server.put("/container/cont0", "{}");
    assert_eq!((answer.status, answer.json()["mem"]["mem_limit"].clone()), (201, json!(4096)));
    assert!(server.seen().is_empty());
}

#[test]
fn the_content_type_does_not_matter() {
    let server = Server::open();
    let body = r#"{"cpu": {"cpu_allowance_limit": 150}}"#;
    for headers in
        [&[][..], &["Content-Type: text/plain"], &["Content-Type: application/x-www-form-urlencoded"], &["Content-Type: ;"]]
    {
        assert_eq!(server.send("PUT", "/container/cont0", headers, body).status, 201, "{headers:?}");
    }
}

#[test]
fn bad_bodies_are_refused_by_name_and_reach_nobody() {
    let server = Server::open();
    let cases = [
        ("", "the body is no JSON"),
        ("{", "the body is no JSON"),
        ("{} {}", "the body is no JSON"),
        ("[]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        (r#"{"gpu": {}}"#, "\"gpu\" cannot be set; known are cpu, mem"),
        (r#"{"cpu": 200}"#, "cpu = 200: expected an object"),
        (
            r#"{"cpu": {"cpu_limit": 200}}"#,
            "cpu.cpu_limit = 200: there is no such setting; expected cpu_allowance_limit or cpu_num",
        ),
        (
            r#"{"mem": {"cpu_allowance_limit": 200}}"#,
            "mem.cpu_allowance_limit = 200: there is no such setting; expected mem_limit",
        ),
        (r#"{"cpu": {"disk_read_limit": 200}}"#, "there is no such setting"),
        (r#"{"cpu": {"cpu_allowance_limit": "many"}}"#, "cpu.cpu_allowance_limit = \"many\": expected a number"),
        (r#"{"cpu": {"cpu_allowance_limit": true}}"#, "expected a number"),
        (r#"{"cpu": {"cpu_allowance_limit": null}}"#, "expected a number"),
        (r#"{"cpu": {"cpu_allowance_limit": [200]}}"#, "expected a number"),
        (r#"{"cpu": {"cpu_allowance_limit": "NaN"}}"#, "expected a number"),
        (r#"{"cpu": {"cpu_allowance_limit": "inf"}}"#, "expected a number"),
        (r#"{"cpu": {"cpu_allowance_limit": 1e400}}"#, "the body is no JSON"),
        (r#"{"cpu": {"cpu_allowance_limit": ""}}"#, "expected a number"),
        (r#"{"cpu": {"cpu_allowance_limit": -2}}"#, "expected at least 1 shares, or -1"),
        (r#"{"cpu": {"cpu_allowance_limit": 0.5}}"#, "expected at least 1 shares"),
        (r#"{"cpu": {"cpu_allowance_limit": 501}}"#, "the host has 500 shares"),
        (r#"{"cpu": {"cpu_num": "0-5"}}"#, "cpu.cpu_num = \"0-5\": CPU 5 is not online"),
        (r#"{"cpu": {"cpu_num": ""}}"#, "expected at least one CPU"),
        (r#"{"cpu": {"cpu_num": "a"}}"#, "expected a list such as"),
        (r#"{"cpu": {"cpu_num": -1}}"#, "expected a list such as"),
        (r#"{"cpu": {"cpu_num": 1.5}}"#, "expected a list such as"),
        (r#"{"cpu": {"cpu_num": [0, 1]}}"#, "expected a list of CPUs"),
        (r#"{"mem": {"mem_limit": 63}}"#, "mem.mem_limit = 63: expected at least 64 MiB"),
        (r#"{"mem": {"mem_limit": 0}}"#, "expected at least 64 MiB"),
        (r#"{"mem": {"mem_limit": 8193}}"#, "the host has 8192 MiB"),
        (r#"{"mem": {"mem_limit": 1, "unit": "G"}}"#, "mem."),
        (r#"{"mem": {"mem_limit": 128, "unit": "G"}}"#, "mem.unit = \"G\": expected the unit \"M\""),
        (r#"{"cpu": {"unit": "M"}}"#, "cpu has no unit"),
        (r#"{"disk_read": {"disk_read_limit": 0}}"#, "expected at least 1 MiB/s"),
        (r#"{"disk_read": {"disk_write_limit": 5}, "disk_write": {"disk_write_limit": 6}}"#, "also asks for another value"),
        (r#"{"mem": {"mem_limit": 128}, "net": {"net_limit": "fast"}}"#, "net.net_limit = \"fast\""),
    ];
    for (body, part) in cases {
        let message = server.put("/container/cont0", body).error(400);
        assert!(message.contains(part), "{body}: {message}");
    }
    assert!(server.seen().is_empty());
}

#[test]
fn a_body_that_is_too_long_is_a_413() {
    let server = Server::open();
    let long = format!("{{\"cpu\": {{\"cpu_num\": \"{}\"}}}}", "0,".repeat(40_000));
    assert!(server.put("/container/cont0", &long).error(413).contains("64 KiB"));
    let dense = format!("{{\"cpu\": {{\"cpu_num\": \"{}\"}}}}", "0-65535,".repeat(8000));
    assert!(server.put("/container/cont0", &dense).error(400).contains("cpu.cpu_num"));
    assert!(server.seen().is_empty());
}

#[test]
fn an_unknown_container_is_a_404() {
    let server = Server::open();
    assert!(server.put("/container/nobody", "{").error(404).contains("\"nobody\""));
    assert!(server.seen().is_empty());
}

#[test]
fn failures_say_which_part() {
    let server = Server::open();
    let part = Change::Memory(Limit::Unlimited).part();
    let cases = [
        (Script::Answer(WriteError::Gone), 404, "gone"),
        (
            Script::Answer(WriteError::Refused { part, why: "the parent has 100 MiB".to_owned() }),
            400,
            "mem.mem_limit: the parent has 100 MiB",
        ),
        (
            Script::Answer(WriteError::Conflict { part, why: "200 MiB are in use".to_owned() }),
            409,
            "mem.mem_limit: 200 MiB are in use; nothing was changed",
        ),
        (Script::Answer(WriteError::HalfDone { part, why: "EIO; not put back: EIO".to_owned() }), 500, "not put back: EIO"),
        (Script::Answer(WriteError::Failed { part, why: "EIO".to_owned() }), 500, "mem.mem_limit: EIO; nothing was changed"),
        (Script::Busy, 503, "try again"),
        (Script::Die, 503, "ending"),
    ];
    for (script, status, part) in cases {
        server.script(script);
        let message = server.put("/container/cont0", r#"{"mem": {"mem_limit": 128}}"#).error(status);
        assert!(message.contains(part), "{message}");
    }
}
