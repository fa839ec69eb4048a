//! The policy's own walk-through, driven through the Orchestrator.

use serde_json::json;

use crate::bed::{Bed, shares};
use crate::process::until;

#[test]
fn a_container_is_guarded_scaled_and_reset_through_the_orchestrator() {
    let bed = Bed::new("walk");
    let container = bed.container("host0", "cont0");
    let _load = container.burn(1, 0.05);
    let central = bed.central("");
    let agent = bed.agent("host0", &central, "");
    let http = &central.http;
    http.until_known("cont0");
    http.until_known("host0");

    // Found, not guarded, not touched.
    let found = http.get("/structure/cont0");
    assert_eq!((&found["guard"], &found["host"], &found["subtype"]), (&json!(false), &json!("host0"), &json!("container")));
    assert_eq!(shares(&container), None);

    // Guarded with the Scaler inactive: requests are made, nothing is applied.
    http.put("/service/scaler/ACTIVE", json!({"value": "false"}));
    http.put("/service/guardian", json!({"WINDOW_TIMELAPSE": "0.2", "EVENT_TIMEOUT": "10"}));
    http.put("/structure/cont0/resources/cpu/max", json!({"value": "200"}));
    http.put("/structure/cont0/resources/cpu/min", json!({"value": 50}));
    http.put("/structure/cont0/limits/cpu/boundary_type", json!({"value": "absolute"}));
    http.put("/structure/cont0/limits/cpu/boundary", json!({"value": "25"}));
    http.put("/structure/cont0/resources/cpu/guard", json!({}));
    http.put("/structure/cont0/guard", json!({}));
    agent.until_guarded("cont0", "on");
    let cpu = agent.container("cont0")["resources"]["cpu"].clone();
    assert_eq!((&cpu["min"], &cpu["max"]), (&json!(50.0), &json!(200.0)));
    until("a request is made", || {
        let decisions = http.get("/decisions?structure=cont0");
        decisions.as_array().unwrap().iter().any(|d| d["what"]["outcome"] == "inactive")
    });
    assert_eq!(shares(&container), None, "nothing is written");

    // Active: it goes down to min + 2 x boundary.
    http.put("/service/scaler/ACTIVE", json!({"value": true}));
    until("it is scaled down", || shares(&container) == Some(100.0));
    until("central knows it", || http.get("/structure/cont0")["resources"]["cpu"]["current"] == json!(100));
    let limits = http.get("/structure/cont0/limits/cpu");
    assert_eq!((&limits["upper"], &limits["lower"]), (&json!(75), &json!(50)));

    // Unguarded: it stays as it is. Reset: back to its max.
    http.put("/structure/cont0/unguard", json!({}));
    agent.until_guarded("cont0", "off");
    assert_eq!(shares(&container), Some(100.0));
    http.put("/structure/cont0/reset", json!({}));
    assert_eq!(shares(&container), Some(200.0));
}

#[test]
fn a_rule_is_in_force_on_every_host() {
    let bed = Bed::new("rule");
    let central = bed.central("");
    let containers = [bed.container("host0", "a"), bed.container("host1", "b")];
    let _loads: Vec<_> = containers.iter().map(|container| container.burn(1, 0.02)).collect();
    let agents = [bed.agent("host0", &central, ""), bed.agent("host1", &central, "")];
    let http = &central.http;
    // The container lowers after six windows; a rule that asks for a hundred of them never fires.
    http.put("/rule/CpuRescaleDown/events_required", json!({"value": "100", "event_type": "down"}));
    http.put("/service/guardian", json!({"WINDOW_TIMELAPSE": 0.1, "EVENT_TIMEOUT": 5}));
    for (name, agent) in ["a", "b"].iter().zip(&agents) {
        http.until_known(name);
        http.put(&format!("/structure/{name}/resources/cpu/max"), json!({"value": 200}));
        http.put(&format!("/structure/{name}/guard"), json!({}));
        agent.until_guarded(name, "on");
    }
    until("both have a first limit", || containers.iter().all(|c| shares(c) == Some(200.0)));
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(containers.iter().all(|c| shares(c) == Some(200.0)), "no rule fires");
    http.put("/rule/CpuRescaleDown/events_required", json!({"value": 3, "event_type": "down"}));
    until("both are scaled down", || containers.iter().all(|c| shares(c).is_some_and(|limit| limit < 100.0)));
    until("both say so", || ["host0", "host1"].iter().all(|host| http.host(host)["up_to_date"] == json!(true)));
}

#[test]
fn a_hosts_max_is_in_force_there() {
    let bed = Bed::new("host-max");
    let central = bed.central("");
    let agent = bed.agent("host0", &central, "");
    let http = &central.http;
    http.until_known("host0");
    let of_agent = || agent.get("/status")["host"]["max"]["cpu"].clone();
    assert_ne!(of_agent(), json!(130.0));
    http.put("/structure/host0/resources/cpu/max", json!({"value": 130}));
    until("the host gives out no more", || of_agent() == json!(130.0));
    http.put("/structure/host0/resources/cpu/max", json!({"value": 170}));
    until("the host gives out more", || of_agent() == json!(170.0));
}

#[test]
fn a_container_that_is_subscribed_has_its_limits_at_once() {
    let bed = Bed::new("subscribe");
    let container = bed.container("host0", "cont0");
    let central = bed.central("");
    let _agent = bed.agent("host0", &central, "");
    let http = &central.http;
    http.until_known("cont0");
    // Whose document is made after its containers'.
    http.until_known("host0");
    let amounts = |max: u32, current: u32| json!({"max": max, "min": 10, "current": current, "guard": false});
    let bounds = json!({"boundary": 5, "boundary_type": "absolute"});
    let document = |host: &str| {
        let subscribed = json!({"name": "cont0", "host": host, "host_rescaler_ip": host, "host_rescaler_port": 8000, "guard": false,
            "subtype": "container", "resources": {"cpu": amounts(200, 60), "mem": amounts(1024, 512)}});
        json!({"container": subscribed, "limits": {"resources": {"cpu": bounds, "mem": bounds}}})
    };
    let (status, told) = http.send("PUT", "/structure/container/cont0", Some(&document("host9")));
    assert!(status >= 400, "{status} {told}");
    assert_eq!(shares(&container), None, "a refusal changes nothing");
    http.put("/structure/container/cont0", document("host0"));
    assert_eq!(shares(&container), Some(60.0));
    let cpu = http.get("/structure/cont0")["resources"]["cpu"].clone();
    assert_eq!((&cpu["current"], &cpu["max"]), (&json!(60), &json!(200)));
    assert_eq!(http.get("/structure/cont0").get("discovered"), None);
}
