//! Who speaks for a host, and who may do what.

use std::process::Command;

use serde_json::json;

use crate::bed::{Bed, Http};
use crate::process::until;

#[test]
fn a_second_agent_of_one_host_name_is_refused_and_told_why() {
    let bed = Bed::new("claim");
    let _container = bed.container("host0", "cont0");
    let central = bed.central("quiet_after = '2s'");
    let first = bed.agent("host0", &central, "");
    central.http.until_known("cont0");
    let instance = central.http.host("host0")["instance"].clone();
    let second = bed.agent_of("other", "host0", &central, "");
    until("it is told", || second.process.log().contains("another agent (instance"));
    assert_eq!(central.http.host("host0")["instance"], instance);
    first.process.end();
    until("the name is free", || central.http.host("host0")["instance"] != instance);
}

#[test]
fn tokens_are_good_for_what_they_say() {
    let bed = Bed::new("token");
    let _container = bed.container("host0", "cont0");
    let state = bed.dir.path().join("central/state");
    let add = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headroom-central"));
        let output = command.args(["token", "add"]).args(args).arg("--state-dir").arg(&state).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (ann, ben) = (add(&["ann", "--role", "operate"]), add(&["ben", "--role", "read"]));
    let (right, wrong) = (add(&["host0", "--role", "agent"]), add(&["host1", "--role", "agent"]));
    let central = bed.central("");
    for (file, token) in [("right", &right), ("wrong", &wrong)] {
        std::fs::write(bed.dir.path().join(file), token).unwrap();
    }
    let token = |file: &str| format!("token_file = '{}'", bed.dir.path().join(file).display());
    let refused = bed.agent_of("refused", "host0", &central, &token("wrong"));
    until("it is told", || refused.process.log().contains("is not good for host \"host0\""));
    assert!(!refused.process.log().contains(&wrong) && !central.process.log().contains(&wrong));
    drop(refused);

    let as_who = |token: &str| Http { token: Some(token.to_owned()), ..central.http.clone() };
    let _agent = bed.agent("host0", &central, &token("right"));
    as_who(&ann).until_known("cont0");
    let guard = |who: &Http| who.send("PUT", "/structure/cont0/guard", Some(&json!({}))).0;
    assert_eq!(guard(&central.http), 401);
    assert_eq!(guard(&as_who("0123456789abcdef")), 401);
    assert_eq!(guard(&as_who(&ben)), 403);
    assert_eq!(guard(&as_who(&right)), 403);
    assert_eq!(guard(&as_who(&ann)), 201);
    assert_eq!(as_who(&ben).send("GET", "/structure/cont0", None).0, 200);
    assert_eq!(as_who(&ben).send("GET", "/agent/orders?host=host0&instance=x", None).0, 403);
    assert_eq!(central.http.send("GET", "/heartbeat", None).0, 200);
    until("who did it is in the audit", || as_who(&ben).get("/decisions").to_string().contains("\"who\":\"ann\""));
}

#[test]
fn off_loopback_nobody_listens_without_tokens() {
    let bed = Bed::new("open");
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroom-central"));
    let output = command.args(["serve", "--listen", "0.0.0.0:0", "--state-dir"]).arg(bed.dir.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("headroom-central token add"), "{told}");
}
