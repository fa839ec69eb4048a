//! Agents need central for none of their decisions.

use serde_json::json;

use crate::bed::{Bed, Central, shares};
use crate::process::until;

const GUARDED: &str = "[[container]]\nname = '*'\nguard = true\ncpu = { min = 50, max = 200, boundary = 25 }";

#[test]
fn decisions_go_on_without_central_and_the_accounts_lose_nothing() {
    let bed = Bed::new("alone");
    let container = bed.container("host0", "cont0");
    let central = bed.central("");
    central.http.put("/service/guardian", json!({"WINDOW_TIMELAPSE": "0.2", "EVENT_TIMEOUT": "10"}));
    // What its host's own settings say is what central's new documents say.
    let agent = bed.agent("host0", &central, GUARDED);
    central.http.until_known("cont0");
    let mut load = container.burn(1, 0.05);
    assert_eq!(central.http.get("/structure/cont0")["guard"], json!(true));
    agent.until_guarded("cont0", "on");
    until("it is scaled down", || shares(&container) == Some(100.0));

    let place = central.kill9();
    load.set_duty(1.0);
    until("it is scaled up", || shares(&container).is_some_and(|limit| limit > 100.0));

    let central = Central::again(&bed, &place);
    let http = &central.http;
    until("it reports again", || http.host("host0")["quiet_since"].is_null() && !http.host("host0").is_null());
    until("what was decided meanwhile is in the audit", || {
        let decisions = http.get("/decisions?structure=cont0");
        decisions.as_array().unwrap().iter().any(|d| d["what"]["action"] == "CpuRescaleUp")
    });
    load.set_duty(0.0);
    let used = || http.get("/accounting?structure=cont0")["resources"]["cpu"]["used"].as_f64().unwrap_or_default();
    // Both in share-hours.
    let kernel = || container.cpu_time().unwrap().total_us as f64 / 3.6e7;
    until("all that was used is in the accounts", || (used() / kernel() - 1.0).abs() < 0.02);
}

#[test]
fn an_agent_that_starts_alone_goes_by_what_it_last_had() {
    let bed = Bed::new("kept");
    let container = bed.container("host0", "cont0");
    let _load = container.burn(1, 0.02);
    let central = bed.central("");
    central.http.put("/service/guardian", json!({"WINDOW_TIMELAPSE": 0.2, "EVENT_TIMEOUT": 10}));
    let agent = bed.agent("host0", &central, "");
    central.http.until_known("cont0");
    central.http.put("/structure/cont0/resources/cpu/max", json!({"value": 150}));
    central.http.put("/structure/cont0/guard", json!({}));
    agent.until_guarded("cont0", "on");
    agent.process.end();
    let url = central.url.clone();
    let place = central.kill9();

    let gone = Central::again(&bed, &place);
    assert_eq!(gone.url, url);
    gone.process.pause();
    let agent = bed.agent("host0", &gone, "");
    agent.until_guarded("cont0", "on");
    assert_eq!(agent.container("cont0")["resources"]["cpu"]["max"], json!(150.0));
    assert_eq!(agent.container("cont0")["reason"], json!("central's documents"));
    gone.process.go_on();
    until("it is linked again", || gone.http.host("host0")["up_to_date"] == json!(true));
}
