//! Documents that people and programs edit past central.

use std::path::Path;
use std::time::{Duration, Instant};

use headroom_model::limit::Limit;
use headroom_model::wire::{Report, RequestDone};
use serde_json::{Value, json};

use super::*;
use crate::bed::{Agent, until};

/// How soon an edit is in force, on a machine that does nothing else.
const SOON: Duration = Duration::from_secs(1);

fn orders(central: &Central) -> Value {
    central.get("/agent/orders?host=host0&instance=agent%20of%20host0")
}

fn cpu_max(central: &Central) -> Value {
    orders(central)["structures"][0]["resources"]["cpu"]["max"].clone()
}

/// With one host and one container.
fn with_container(directory: &Path, databases: &Databases<'_>) -> (Central, Agent) {
    let central = start(directory, databases);
    let mut agent = Agent::start("host0");
    central.report(&agent.next(&[("cont0", 1.0)]));
    assert_eq!(databases.curl("GET", "structures/cont0", None).0, 200, "durable when the report is answered");
    (central, agent)
}

#[test]
fn what_is_edited_in_couchdb_is_in_force_within_a_second() {
    let (databases, directory) = (Databases::new(), tempfile::tempdir().unwrap());
    let (central, _agent) = with_container(directory.path(), &databases);
    let mut quickest = Duration::MAX;
    for max in [150, 160, 170, 180] {
        edit(&databases, "structures/cont0", |cont0| cont0["resources"]["cpu"]["max"] = json!(max));
        let edited = Instant::now();
        until("the edit is in force", || cpu_max(&central) == json!(max));
        quickest = quickest.min(edited.elapsed());
    }
    assert!(quickest < SOON, "{quickest:?}");
    // The other way round: what the Orchestrator is told is in CouchDB when it is answered.
    central.put("/structure/cont0/resources/cpu/max", &json!({"value": "120"}));
    assert_eq!(databases.curl("GET", "structures/cont0", None).1["resources"]["cpu"]["max"], json!(120));
    assert_eq!(cpu_max(&central), json!(120));
}

#[test]
fn what_makes_no_sense_is_shown_and_the_last_good_version_stays_in_force() {
    let (databases, directory) = (Databases::new(), tempfile::tempdir().unwrap());
    let (central, _agent) = with_container(directory.path(), &databases);
    let problem = |id: &str| {
        let problems = central.get("/fleet")["problems"].as_array().unwrap().clone();
        problems.into_iter().find(|problem| problem["id"] == id).map(|problem| problem["why"].as_str().unwrap().to_owned())
    };
    edit(&databases, "structures/cont0", |cont0| cont0["resources"]["cpu"]["max"] = json!(150));
    until("the edit is in force", || cpu_max(&central) == json!(150));
    let edits: [(&str, Value); 3] = [("max", json!("lots")), ("min", json!([])), ("max", json!({"value": 1}))];
    for (key, value) in edits {
        edit(&databases, "structures/cont0", |cont0| cont0["resources"]["cpu"][key] = value.clone());
        until("it is shown", || problem("cont0").is_some_and(|why| why.contains("not a number")));
        assert_eq!(cpu_max(&central), json!(150));
    }
    assert_eq!(databases.curl("GET", "structures/cont0", None).1["resources"]["cpu"]["min"], json!([]), "left as it is");
    edit(&databases, "structures/cont0", |cont0| cont0["resources"]["cpu"] = json!({"max": 140, "min": 10, "guard": true}));
    until("it is in force again", || cpu_max(&central) == json!(140) && problem("cont0").is_none());

    // A rule and a setting.
    let (rules, services) = (orders(&central)["rules"].clone(), orders(&central)["services"].clone());
    edit(&databases, "rules/CpuRescaleUp", |rule| rule["amount"] = json!("many"));
    edit(&databases, "services/guardian", |guardian| guardian["config"]["WINDOW_TIMELAPSE"] = json!("soon"));
    until("both are shown", || problem("CpuRescaleUp").is_some() && problem("guardian").is_some());
    assert_eq!((&orders(&central)["rules"], &orders(&central)["services"]), (&rules, &services));
}

#[test]
fn a_database_that_is_deleted_and_made_again_is_recovered() {
    let (databases, directory) = (Databases::new(), tempfile::tempdir().unwrap());
    let (central, _agent) = with_container(directory.path(), &databases);
    let kept: Vec<Value> = databases.curl("GET", "structures/_all_docs?include_docs=true", None).1["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let mut document = row["doc"].clone();
            document.as_object_mut().unwrap().remove("_rev");
            document
        })
        .collect();
    // CouchDB tells the second in which a database was made.
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(databases.curl("DELETE", "structures", None).0, 200);
    until("it is told", || {
        central.get("/fleet")["store"].as_array().unwrap().iter().any(|of| of["what"] == "the feed of structures")
    });
    assert_eq!(central.send("PUT", "/structure/cont0/guard", None, "").0, 503);
    // The rules are another database.
    edit(&databases, "rules/CpuRescaleUp", |rule| rule["amount"] = json!(60));
    let amount = || central.get("/rule/CpuRescaleUp")["amount"].clone();
    until("what is there goes on", || amount() == json!(60));
    assert_eq!(databases.curl("PUT", "structures", None).0, 201);
    for mut document in kept {
        if document["_id"] == "cont0" {
            document["resources"]["cpu"]["max"] = json!(77);
        }
        let path = format!("structures/{}", document["_id"].as_str().unwrap());
        assert_eq!(databases.curl("PUT", &path, Some(&document)).0, 201);
    }
    until("what is there now is in force", || cpu_max(&central) == json!(77));
    central.put("/structure/cont0/guard", &json!({}));
    assert_eq!(databases.curl("GET", "structures/cont0", None).1["guard"], json!(true));
    until("nothing is wrong any more", || central.get("/fleet")["store"] == json!([]));
}

#[test]
fn a_request_that_is_put_into_couchdb_is_carried_out_and_removed() {
    let (databases, directory) = (Databases::new(), tempfile::tempdir().unwrap());
    let (central, mut agent) = with_container(directory.path(), &databases);
    let document =
        json!({"type": "request", "structure": "cont0", "resource": "cpu", "amount": 75, "field": "current", "priority": 1});
    assert_eq!(databases.curl("PUT", "requests/r1", Some(&document)).0, 201);
    let mut asked = Value::Null;
    until("its agent is asked", || {
        asked = orders(&central)["requests"][0].clone();
        !asked.is_null()
    });
    assert_eq!((&asked["structure"], &asked["amount"], &asked["priority"]), (&json!("cont0"), &json!(75.0), &json!(1.0)));
    let id = asked["id"].as_str().unwrap().to_owned();
    let limits = Some((Limit::At(200.0), Limit::At(275.0)));
    let done = RequestDone { id, limits, max: None, reason: None };
    central.report(&Report { requests: vec![done], ..agent.next(&[("cont0", 1.0)]) });
    until("it is removed", || databases.curl("GET", "requests/r1", None).0 == 404);
    until("it is asked no longer", || orders(&central).get("requests").is_none());

    // One that makes no sense has the reason in it, and what somebody else keeps there stays.
    assert_eq!(databases.curl("PUT", "requests/r2", Some(&json!({"structure": "cont0", "amount": 75, "theirs": 1}))).0, 201);
    until("it is refused", || databases.curl("GET", "requests/r2", None).1["state"] == "refused");
    let refused = databases.curl("GET", "requests/r2", None).1;
    assert!(refused["reason"].as_str().unwrap().contains("missing field `resource`; expected {\"structure\""), "{refused}");
    assert_eq!(refused["theirs"], json!(1));
}
