//! Requests that somebody leaves in the State Database.

use std::time::{Duration, Instant};

use headroom_central::seed;
use headroom_central::store::Sqlite;
use serde_json::{Value, json};

use crate::agent::{Agent, Container};
use crate::support::Server;

fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// As another process does that edits the file.
fn leave(server: &Server, requests: &Value) {
    let store = Sqlite::open(&server.state_dir().join("state.db")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(seed::load(&store, &json!({"requests": requests}).to_string())).unwrap();
}

fn two_hosts(server: &Server) -> [Agent; 2] {
    let containers = [("cont0", Container::new(200.0, 10.0)), ("cont1", Container::new(100.0, 5.0))];
    let host0 = Agent::start(server, "host0", (100.0, 4000.0), &containers);
    [host0, Agent::start(server, "host1", (100.0, 4000.0), &[("far", Container::new(100.0, 5.0))])]
}

fn reason(server: &Server, id: &str) -> String {
    let path = format!("/request/{id}");
    let state = || server.get(&path).json()["state"] == "refused";
    until(&format!("{id} is refused"), state);
    server.shows(&path)["reason"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_left_there_is_carried_out_once_and_removed() {
    let server = Server::start();
    let [host0, host1] = two_hosts(&server);
    leave(
        &server,
        &json!([{"_id": "r1", "type": "request", "structure": "cont0", "resource": "cpu", "amount": "-50", "priority": 3}]),
    );
    until("it is carried out", || !host0.requests().is_empty());
    until("it is removed", || server.get("/request/r1").status == 404);
    let [done] = host0.requests().try_into().unwrap();
    let mut without = done.clone();
    let (id, age) = (without["id"].take(), without["age"].take());
    assert!(id.as_str().unwrap().starts_with("r1@") && age.as_f64().unwrap() < 30.0, "{done}");
    let expected = json!({"id": null, "age": null, "structure": "cont0", "resource": "cpu", "field": "current", "amount": -50.0, "priority": 3.0});
    assert_eq!(without, expected);
    assert_eq!(host1.requests(), [Value::Null; 0]);

    // The same words again are another request.
    server.put("/request/r1", &json!({"structure": "cont0", "resource": "cpu", "amount": 20})).is_done("it is made");
    until("it is carried out", || host0.requests().len() == 2);
    until("it is removed", || server.get("/request/r1").status == 404);
    assert_ne!(host0.requests()[0]["id"], host0.requests()[1]["id"]);
    assert_eq!(server.shows("/request"), json!([]));
}

#[test]
fn a_max_that_was_granted_is_the_documents() {
    let server = Server::start();
    let [host0, _] = two_hosts(&server);
    server.put("/request/more", &json!({"structure": "cont0", "resource": "cpu", "amount": 100, "field": "max"})).is_done("made");
    until("it is removed", || server.get("/request/more").status == 404);
    assert_eq!(host0.requests()[0]["field"], "max");
    assert_eq!(server.shows("/structure/cont0/resources/cpu/max"), 300);
    assert!(server.shows("/decisions?structure=cont0").to_string().contains("cpu.max = 300"));
}

#[test]
fn a_refusal_stays_with_its_reason() {
    let server = Server::start();
    let [host0, _] = two_hosts(&server);
    host0.refuses("it is not guarded for this resource");
    let pair = |id: &str, structure: &str, amount: i32, with: &str| json!({"_id": id, "structure": structure, "resource": "cpu", "amount": amount, "pair_structure": with});
    leave(
        &server,
        &json!([
            {"_id": "agent", "structure": "cont0", "resource": "cpu", "amount": 10, "theirs": [1]},
            {"_id": "nobody", "structure": "nobody", "resource": "cpu", "amount": 10},
            {"_id": "app", "structure": "app1", "resource": "cpu", "amount": 10},
            {"_id": "odd", "structure": "cont0", "resource": "cpus", "amount": 10},
            {"_id": "old", "structure": "cont0", "resource": "cpu", "amount": 10, "timestamp": 1000},
            pair("gives", "cont0", -10, "far"),
            pair("takes", "far", 10, "cont0"),
        ]),
    );
    let table = [
        ("agent", "it is not guarded for this resource"),
        ("nobody", "there is no structure \"nobody\""),
        ("app", "\"app1\" is of subtype \"application\""),
        ("odd", "unknown resource \"cpus\"; known are cpu, mem"),
        ("old", "s old, and the Scaler's REQUEST_TIMEOUT is 60 s"),
        ("gives", "\"cont0\" is on host \"host0\" and \"far\" on host \"host1\""),
        ("takes", "a pair is carried out on one host only"),
    ];
    for (id, words) in table {
        let why = reason(&server, id);
        assert!(why.contains(words), "{id}: {why}");
    }
    let agent = server.shows("/request/agent");
    assert_eq!((&agent["theirs"], &agent["amount"], &agent["id"]), (&json!([1]), &json!(10), &json!("agent")));
    assert!(agent["refused_at"].as_f64().unwrap() > 1e9);
    assert_eq!(server.shows("/fleet")["problems"], json!([]), "what was refused is no problem of the fleet's");
    assert!(server.shows("/decisions").to_string().contains("request nobody refused"));
    server.delete("/request/agent").is_done("it is forgotten");
    // Nothing of it comes up again.
    let server = server.restart();
    let [host0, host1] = two_hosts(&server);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((host0.requests(), host1.requests()), (vec![], vec![]));
    assert!(reason(&server, "odd").contains("cpus"));
}

#[test]
fn both_halves_of_a_pair_are_told_together() {
    let server = Server::start();
    let [host0, _] = two_hosts(&server);
    let half = |structure: &str, amount: i32, with: &str| json!({"structure": structure, "resource": "cpu", "amount": amount, "pair_structure": with});
    server.put("/request/gives", &half("cont0", -30, "cont1")).is_done("made");
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(host0.requests(), [Value::Null; 0], "it waits for the other half");
    server.put("/request/takes", &half("cont1", 30, "cont0")).is_done("made");
    until("both are removed", || server.shows("/request") == json!([]));
    let [gives, takes] = host0.requests().try_into().unwrap();
    assert_eq!((&gives["pair"], &takes["pair"]), (&json!("cont1"), &json!("cont0")));
}

#[test]
fn what_cannot_be_carried_out_in_time_is_refused() {
    let server = Server::start();
    server.changes("/service/scaler/REQUEST_TIMEOUT", &json!({"value": 1}));
    // Nobody reports it.
    server.put("/request/quiet", &json!({"structure": "cont0", "resource": "cpu", "amount": 10})).is_done("made");
    let half = json!({"structure": "cont0", "resource": "cpu", "amount": 10, "pair_structure": "cont1"});
    assert!(reason(&server, "quiet").contains("no host reports container \"cont0\"; it is 1."), "{}", reason(&server, "quiet"));
    let [_host0, _] = two_hosts(&server);
    server.put("/request/half", &half).is_done("made");
    assert!(reason(&server, "half").contains("the other half of its pair is missing: a request for \"cont1\""));
}

#[test]
fn a_central_that_is_started_again_has_nothing_carried_out_twice() {
    let server = Server::start();
    let [host0, _] = two_hosts(&server);
    host0.is_mute(true);
    server.put("/request/r1", &json!({"structure": "cont0", "resource": "cpu", "amount": 10})).is_done("made");
    until("it is carried out", || host0.requests().len() == 1);
    let id = host0.requests()[0]["id"].clone();
    drop(host0);
    // The agent has said nothing; the next central asks again, for the very same.
    let server = server.restart();
    let [host0, _] = two_hosts(&server);
    until("it is asked again", || host0.requests().len() == 1);
    assert_eq!(host0.requests()[0]["id"], id);
    until("it is removed", || server.get("/request/r1").status == 404);
}

#[test]
fn what_makes_no_request_is_answered_so() {
    let server = Server::start();
    server.put("/request/there", &json!({"structure": "cont0", "resource": "cpu", "amount": 10})).is_done("made");
    let sound = json!({"structure": "cont0", "resource": "cpu", "amount": 10});
    let table = [
        (
            "PUT",
            "/request/r",
            json!({"structure": "cont0", "resource": "cpu"}),
            400,
            "missing field `amount`; expected {\"structure\"",
        ),
        ("PUT", "/request/r", json!({"structure": "cont0", "resource": "cpu", "amount": 0}), 400, "amount is 0"),
        ("PUT", "/request/there", sound, 400, "there is a request \"there\" already"),
        ("GET", "/request/nobody", Value::Null, 404, "there is no request \"nobody\""),
        ("DELETE", "/request/nobody", Value::Null, 404, "there is no request \"nobody\""),
    ];
    server.refuses(&table);
}
