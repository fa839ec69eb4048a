//! Requests that somebody leaves, carried out by real Scalers.

use serde_json::{Value, json};

use crate::bed::{Agent, Bed, Central, Http, shares};
use crate::process::until;

pub(crate) fn cpu(structure: &str, amount: i32) -> Value {
    json!({"structure": structure, "resource": "cpu", "amount": amount})
}

pub(crate) fn half(structure: &str, amount: i32, with: &str) -> Value {
    json!({"structure": structure, "resource": "cpu", "amount": amount, "pair_structure": with})
}

pub(crate) fn is_gone(http: &Http, id: &str) -> bool {
    http.send("GET", &format!("/request/{id}"), None).0 == 404
}

pub(crate) fn carried_out(http: &Http, id: &str, request: &Value) {
    http.put(&format!("/request/{id}"), request.clone());
    until(&format!("{id} is carried out"), || {
        let (status, body) = http.send("GET", &format!("/request/{id}"), None);
        assert!(status == 404 || body["state"].is_null(), "{id}: {body}");
        status == 404
    });
}

pub(crate) fn refused(http: &Http, id: &str, words: &str) {
    let mut why = Value::Null;
    until(&format!("{id} is refused"), || {
        let (status, body) = http.send("GET", &format!("/request/{id}"), None);
        assert_eq!(status, 200, "{id} was carried out");
        why = body["reason"].clone();
        body["state"] == "refused"
    });
    assert!(why.as_str().unwrap().contains(words), "{id}: {why}");
}

/// Guards it between 50 and 200 shares.
pub(crate) fn guard(http: &Http, agent: &Agent, name: &str) {
    http.until_known(name);
    http.put(&format!("/structure/{name}/resources/cpu/max"), json!({"value": 200}));
    http.put(&format!("/structure/{name}/resources/cpu/min"), json!({"value": 50}));
    http.put(&format!("/structure/{name}/guard"), json!({}));
    agent.until_guarded(name, "on");
}

#[test]
fn requests_are_carried_out_under_all_of_the_scalers_rules() {
    let bed = Bed::new("asked");
    let containers = ["a", "b", "c"].map(|name| bed.container("host0", name));
    let [a, b, _] = &containers;
    let central = bed.central("");
    let http = &central.http;
    http.put("/service/guardian/ACTIVE", json!({"value": false}));
    let agent = bed.agent("host0", &central, "");
    http.until_known("host0");
    http.put("/structure/host0/resources/cpu/max", json!({"value": 300}));
    until("its bound is in force", || http.host("host0")["resources"]["cpu"]["max"] == json!(300.0));
    guard(http, &agent, "a");
    guard(http, &agent, "b");
    until("both have their first limits", || (shares(a), shares(b)) == (Some(200.0), Some(100.0)));

    carried_out(http, "less", &cpu("a", -80));
    assert_eq!(shares(a), Some(120.0));
    // To its max it lacks 100, of which the host has 80.
    carried_out(http, "more", &cpu("b", 150));
    assert_eq!(shares(b), Some(180.0));
    until("it is said that it was not all", || {
        let decisions = http.get("/decisions?structure=b");
        decisions
            .as_array()
            .unwrap()
            .iter()
            .any(|d| d["what"]["outcome"] == "partial" && d["what"]["why"].as_str().unwrap().starts_with("request more@"))
    });
    http.put("/request/none", cpu("b", 20));
    refused(http, "none", "20 shares wanted, the host has nothing free");
    http.put("/request/stranger", cpu("c", 20));
    refused(http, "stranger", "it is not guarded for this resource");

    // What one gives the other gets, or neither.
    http.put("/request/gives", half("a", -20, "b"));
    carried_out(http, "takes", &half("b", 20, "a"));
    until("both halves are removed", || is_gone(http, "gives"));
    assert_eq!((shares(a), shares(b)), (Some(100.0), Some(200.0)));
    http.put("/request/gives", half("a", -10, "b"));
    http.put("/request/takes", half("b", 10, "a"));
    refused(http, "gives", "its pair cannot be done whole");
    refused(http, "takes", "its pair cannot be done whole");
    assert_eq!((shares(a), shares(b)), (Some(100.0), Some(200.0)));

    // The limit follows its max, and the document has it.
    let max = json!({"structure": "b", "resource": "cpu", "amount": -50, "field": "max"});
    carried_out(http, "narrow", &max);
    assert_eq!((shares(b), http.get("/structure/b/resources/cpu/max")), (Some(150.0), json!(150)));
    until("it is the agent's bound", || agent.container("b")["resources"]["cpu"]["max"] == json!(150.0));

    http.put("/service/scaler/ACTIVE", json!({"value": false}));
    until("its Scaler is inactive", || http.host("host0")["scaler_active"] == json!(false));
    http.put("/request/idle", cpu("a", -10));
    refused(http, "idle", "the Scaler is inactive: nothing was written");
    assert_eq!(shares(a), Some(100.0));
    until("what was carried out is kept as history", || {
        let all = http.get("/request");
        let done = all.as_array().unwrap().iter().filter(|request| request["state"] == "done");
        let mut amounts: Vec<_> = done.map(|request| request["amount"].as_f64().unwrap()).collect();
        amounts.sort_by(f64::total_cmp);
        amounts == [-80.0, -50.0, -20.0, 20.0, 80.0]
    });
}

#[test]
fn a_request_is_carried_out_once_whatever_ends_meanwhile() {
    let bed = Bed::with_hosts("once", &["host0", "host1"]);
    let net = bed.net.as_ref().unwrap();
    let (near, far) = (bed.container("host0", "near"), bed.container("host1", "far"));
    let central = bed.central("insecure = true\nquiet_after = '2s'");
    let agents = [bed.agent("host0", &central, ""), bed.agent("host1", &central, "")];
    net.enter("central");
    central.http.put("/service/guardian/ACTIVE", json!({"value": false}));
    guard(&central.http, &agents[0], "near");
    guard(&central.http, &agents[1], "far");
    until("both have their first limits", || (shares(&near), shares(&far)) == (Some(200.0), Some(200.0)));
    let http = &central.http;
    http.put("/request/gives", half("near", -20, "far"));
    http.put("/request/takes", half("far", 20, "near"));
    refused(http, "gives", "\"near\" is on host \"host0\" and \"far\" on host \"host1\"");

    // Its host is away, and central ends.
    net.cut("host1");
    http.put("/request/later", cpu("far", -30));
    until("it is quiet", || http.host("host1")["quiet_since"].is_f64());
    let place = central.kill9();
    let central = Central::again(&bed, &place);
    net.mend("host1");
    until("it is carried out", || is_gone(&central.http, "later"));
    assert_eq!(shares(&far), Some(170.0));

    // Its agent is killed as soon as the limit moves: it may not have said so, and is asked again.
    let [_near_agent, far_agent] = agents;
    central.http.put("/request/killed", cpu("far", -30));
    until("the limit moves", || shares(&far) == Some(140.0));
    far_agent.process.kill9();
    let far_agent = bed.agent("host1", &central, "");
    until("it is settled", || {
        let (status, body) = central.http.send("GET", "/request/killed", None);
        status == 404 || body["reason"].as_str().is_some_and(|why| why.contains("the agent ended while it carried this out"))
    });
    far_agent.until_guarded("far", "on");
    assert_eq!(shares(&far), Some(140.0));
    // Its first report may come before it has found its containers.
    let heard = central.http.host("host1")["last_report"].as_f64();
    until("central has heard so", || {
        let host = central.http.host("host1");
        host["last_report"].as_f64() > heard && host["guarded"] == 1
    });

    // A host that does not come back in time.
    central.http.put("/service/scaler/REQUEST_TIMEOUT", json!({"value": 3}));
    net.cut("host1");
    until("it is quiet", || central.http.host("host1")["quiet_since"].is_f64());
    central.http.put("/request/late", cpu("far", -30));
    refused(&central.http, "late", "host \"host1\", which has \"far\", is quiet; it is 3.");
    net.mend("host1");
    until("it is back", || central.http.host("host1")["up_to_date"] == json!(true));
    carried_out(&central.http, "next", &cpu("far", -10));
    assert_eq!(shares(&far), Some(130.0), "what was refused is not carried out afterwards");
}
