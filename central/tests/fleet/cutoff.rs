//! Hosts on a network of their own, one of them cut off and brought back.

use serde_json::json;

use crate::bed::{Bed, shares};
use crate::process::until;

#[test]
fn a_host_that_is_cut_off_is_left_out_and_comes_back() {
    let bed = Bed::with_hosts("cut", &["host0", "host1"]);
    let net = bed.net.as_ref().unwrap();
    let containers = [bed.container("host0", "a"), bed.container("host1", "b")];
    let central = bed.central("insecure = true\nquiet_after = '2s'");
    let agents = [bed.agent("host0", &central, ""), bed.agent("host1", &central, "")];
    let mut loads: Vec<_> = containers.iter().map(|container| container.burn(1, 0.2)).collect();
    net.enter("central");
    let http = &central.http;
    http.put("/service/guardian", json!({"WINDOW_TIMELAPSE": 0.2, "EVENT_TIMEOUT": 10}));
    http.put("/service/refeeder/WINDOW_TIMELAPSE", json!({"value": 0.5}));
    for (name, agent) in ["a", "b"].iter().zip(&agents) {
        http.until_known(name);
        http.put(&format!("/structure/{name}/resources/cpu/max"), json!({"value": 200}));
        http.put(&format!("/structure/{name}/limits/cpu/boundary_type"), json!({"value": "absolute"}));
        http.put(&format!("/structure/{name}/limits/cpu/boundary"), json!({"value": 20}));
        http.put(&format!("/structure/{name}/guard"), json!({}));
        agent.until_guarded(name, "on");
    }
    // One application over both hosts.
    let (amounts, bounds) = (json!({"max": 400, "min": 0, "guard": false}), json!({"boundary": 20, "boundary_type": "absolute"}));
    let app = json!({"app": {"name": "app1", "guard": false, "subtype": "application", "resources": {"cpu": amounts, "mem": amounts}},
        "limits": {"resources": {"cpu": bounds, "mem": bounds}}});
    http.put("/structure/apps/app1", app);
    http.put("/structure/container/a/app1", json!({}));
    http.put("/structure/container/b/app1", json!({}));
    let usage = || http.get("/structure/app1")["resources"]["cpu"]["usage"].as_f64().unwrap_or_default();
    until("the application's usage is both containers'", || (30.0..=50.0).contains(&usage()));

    net.cut("host1");
    until("it is quiet", || http.host("host1")["quiet_since"].is_f64());
    until("the totals leave it out, and say so", || http.get("/structure/app1")["left_out"] == json!(["b"]) && usage() < 30.0);
    assert!(http.host("host0")["quiet_since"].is_null());
    // It goes on by itself.
    loads[1].set_duty(1.0);
    until("it is scaled up there", || shares(&containers[1]).is_some_and(|limit| limit >= 110.0));
    loads[1].set_duty(0.2);
    // What is changed meanwhile is in force when it is back.
    http.put("/structure/b/resources/cpu/max", json!({"value": 120}));

    net.mend("host1");
    until("it is back", || http.host("host1")["quiet_since"].is_null());
    until("it has the change", || agents[1].container("b")["resources"]["cpu"]["max"] == json!(120.0));
    until("the totals have it again", || http.get("/structure/app1").get("left_out").is_none() && usage() > 30.0);
    until("nothing of what was used is missing", || {
        let used = http.get("/accounting?structure=b")["resources"]["cpu"]["used"].as_f64().unwrap_or_default();
        (used * 3.6e7 / containers[1].cpu_time().unwrap().total_us as f64 - 1.0).abs() < 0.05
    });
}
