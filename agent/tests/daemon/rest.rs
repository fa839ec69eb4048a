//! The Container Scaler API against the living agent: what it answers is what then stands in cgroupfs.

use headroom_agent::cgroup::Controller;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::bed::Bed;
use crate::files::{limits, read, set_shares, shares};

const TOKEN: &str = "a-token-of-twenty-two-";

#[test]
fn what_is_put_stands_and_what_is_refused_changes_nothing() {
    let bed = Bed::new("rest");
    let [cont0, _guarded] = ["cont0", "guarded"].map(|name| bed.container(name));
    set_shares(&cont0, 90);
    let token = bed.dir().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let mut config = bed.config();
    config.set("api", "token_file", &format!("{:?}", token.display().to_string()));
    config.set("guardian", "active", "false").guard("guarded", "true", [20, 150, 10]);
    let agent = bed.run(&config);
    agent.until_guarded("guarded");
    agent.until("both are known", |agent| !agent.container("cont0").is_null());

    // Good ones, over the socket: numbers, strings, none.
    let put = |body: &str| agent.put("/container/cont0", body);
    for (body, expected, shown) in [
        (r#"{"cpu": {"cpu_allowance_limit": 70}}"#, Some(70.0), json!(70)),
        (r#"{"cpu": {"cpu_allowance_limit": "120"}}"#, Some(120.0), json!(120)),
        (r#"{"cpu": {"cpu_allowance_limit": "-1"}}"#, None, json!(-1)),
        (r#"{"cpu": {"cpu_allowance_limit": 33.5}}"#, Some(33.5), json!(33.5)),
    ] {
        let answer = put(body);
        assert_eq!(answer.status, 201, "{body}: {answer:?}");
        assert_eq!(answer.json()["cpu"]["cpu_allowance_limit"], shown, "{answer:?}");
        assert_eq!(shares(&cont0), expected, "{body}");
        assert_eq!(agent.get("/container/cont0")["cpu"]["cpu_allowance_limit"], shown);
    }
    let answer = put(r#"{"cpu": {"cpu_num": "0", "cpu_allowance_limit": 50}, "mem": {"mem_limit": "512"}}"#);
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!((answer.json()["cpu"]["cpu_num"].clone(), answer.json()["mem"]["mem_limit"].clone()), (json!("0"), json!(512)));
    assert_eq!(read(&cont0, Controller::Cpuset, "cpuset.cpus"), "0");
    assert_eq!(shares(&cont0), Some(50.0));

    // Bad ones: each is refused with its reason, and nothing is changed.
    let before = limits(&cont0);
    for (status, body, expected) in [
        (400, r#"{"cpu": {"cpu_allowance_limit": "many"}}"#, "cpu.cpu_allowance_limit"),
        (400, r#"{"cpu": {"cpu_allowance_limit": [70]}}"#, "cpu.cpu_allowance_limit"),
        (400, r#"{"cpu": 70}"#, "cpu"),
        (400, r#"{"cpu": {"limit": 70}}"#, "there is no such setting"),
        (400, r#"{"disc": {"limit": 70}}"#, "disc"),
        (400, "{", "no JSON"),
        (400, r#"{"cpu": {"cpu_allowance_limit": 0.5}}"#, "at least 1"),
        (400, r#"{"cpu": {"cpu_allowance_limit": 100000}}"#, "the host has"),
        (400, r#"{"mem": {"mem_limit": 5}}"#, "at least 64"),
        (400, r#"{"cpu": {"cpu_num": "4096"}}"#, "not online"),
        // Parts of one that are good are not carried out either.
        (400, r#"{"cpu": {"cpu_allowance_limit": 60}, "mem": {"mem_limit": 5}}"#, "mem.mem_limit"),
        (400, r#"{"cpu": {"cpu_allowance_limit": 60}, "disk_read": {"disk_read_limit": 100}}"#, "disk"),
    ] {
        let message = put(body).error(status);
        assert!(message.contains(expected), "{body}: {message}");
        assert_eq!(limits(&cont0), before, "{body}");
    }
    assert!(agent.put("/container/nobody", r#"{"cpu": {"cpu_allowance_limit": 70}}"#).error(404).contains("nobody"));

    // Over TCP reading is free and writing takes the token; a name that is not ours is not answered.
    let host = format!("Host: {}", agent.tcp());
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let body = r#"{"cpu": {"cpu_allowance_limit": 80}}"#;
    let tcp = |method, headers: &[&str], body| agent.send_tcp(method, "/container/cont0/", headers, body);
    assert_eq!(tcp("GET", &[&host], "").json()["cpu"]["cpu_allowance_limit"], 50);
    assert!(tcp("PUT", &[&host], body).error(401).contains("Authorization"));
    assert!(tcp("PUT", &[&host, "Authorization: Bearer a-token-of-twenty-three"], body).error(401).contains("wrong"));
    assert!(tcp("GET", &["Host: evil.example"], "").error(421).contains("evil.example"));
    assert!(tcp("PUT", &["Host: evil.example", &bearer], body).error(421).contains("evil.example"));
    assert!(tcp("GET", &[], "").error(400).contains("Host"));
    assert_eq!(limits(&cont0), before);
    assert_eq!(tcp("PUT", &[&host, &bearer], body).status, 201);
    assert_eq!(shares(&cont0), Some(80.0));
}

#[test]
fn who_may_come_in_is_read_again_and_what_is_fixed_stays() {
    let bed = Bed::new("reread");
    let cont0 = bed.container("cont0");
    let token = bed.dir().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let mut config = bed.config();
    config.set("api", "token_file", &format!("{:?}", token.display().to_string())).set("host", "name", "'before'");
    let agent = bed.run(&config);
    let put = |token: &str, host: &str, cpu: f64| {
        let body = format!("{{\"cpu\": {{\"cpu_allowance_limit\": {cpu}}}}}");
        let headers = [&*format!("Host: {host}"), &*format!("Authorization: Bearer {token}")];
        agent.send_tcp("PUT", "/container/cont0", &headers, &body).status
    };
    let other = "another-token-that-is-good";
    assert_eq!(put(TOKEN, "localhost", 70.0), 201);
    assert_eq!((put(other, "localhost", 80.0), put(TOKEN, "host0.example", 80.0)), (401, 421));

    std::fs::write(&token, other).unwrap();
    config
        .set("api", "allowed_hosts", "['host0.example']")
        .set("host", "name", "'after'")
        .set("scaler", "period", "'20ms'")
        .write();
    // What was read last is not what runs: the difference is told each time.
    for times in 1..=2 {
        agent.signal(Signal::SIGHUP);
        agent.until("it is read again", |agent| agent.log().matches("read again").count() == times);
        assert_eq!(agent.log().matches("host.name changed").count(), times, "{}", agent.log());
        agent.until("it is shown", |agent| agent.status()["host"]["least_cpu"] == 5.0);
        assert_eq!(agent.status()["host"]["name"], "before");
    }
    assert_eq!((put(TOKEN, "localhost", 80.0), put(other, "host0.example", 90.0)), (401, 201));
    assert_eq!(shares(&cont0), Some(90.0));
    // 1 ms of quota in a period of 20 ms is the least.
    assert_eq!(put(other, "localhost", 4.0), 400);

    // A token that is no good keeps all as it was.
    std::fs::write(&token, "short").unwrap();
    config.set("api", "allowed_hosts", "[]").write();
    agent.signal(Signal::SIGHUP);
    agent.until("it is refused", |agent| agent.log().contains("not reloaded, all stays as it was"));
    assert_eq!(put(other, "host0.example", 60.0), 201);
}

#[test]
fn a_write_that_fails_in_the_middle_is_undone() {
    let bed = Bed::new("undo");
    let cont0 = bed.container("cont0");
    set_shares(&cont0, 90);
    let inner = cont0.child("inner");
    let mut load = inner.burn(1, 0.0);
    load.hold(200);
    let agent = bed.run(&bed.config());
    agent.until("it is known", |agent| !agent.container("cont0").is_null());
    agent.until("it holds memory", |_| inner.memory().unwrap().usage_mib > 190.0);
    let before = limits(&cont0);
    // The first part is fine; the second is less memory than is in use, which no kernel may take without killing.
    let answer = agent.put("/container/cont0", r#"{"cpu": {"cpu_allowance_limit": 60}, "mem": {"mem_limit": 64}}"#);
    if answer.status == 201 {
        // v2 moves memory.high, which only slows down.
        assert_eq!((shares(&cont0), limits(&cont0)["memory.max"].as_str()), (Some(60.0), "max"));
        return;
    }
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(answer.status == 409 && message.contains("mem.mem_limit") && message.contains("MiB in use"), "{answer:?}");
    assert!(!message.contains("memory.high"), "v1 has none: {message}");
    assert_eq!(limits(&cont0), before, "{message}");
    assert_eq!(agent.get("/container/cont0")["cpu"]["cpu_allowance_limit"], 90);
}

#[test]
fn a_guarded_container_goes_on_from_what_was_put() {
    let bed = Bed::new("goeson");
    let cont0 = bed.container("cont0");
    set_shares(&cont0, 40);
    let mut config = bed.config();
    config.guard("cont0", "true", [20, 150, 10]);
    let agent = bed.run(&config);
    agent.until_guarded("cont0");
    assert_eq!(agent.put("/container/cont0", r#"{"cpu": {"cpu_allowance_limit": 110}}"#).status, 201);
    agent.until("it comes down again", |_| shares(&cont0) == Some(40.0));
    let told: Vec<_> = agent.decisions("cont0").iter().map(|d| (d.action.clone(), d.from, d.to)).collect();
    assert_eq!(told, [("Api".to_owned(), Some(40.0), Some(110.0)), ("CpuRescaleDown".to_owned(), Some(110.0), Some(40.0)),]);
    assert_eq!(agent.status()["counters"]["drift_corrected"], 0);
}
