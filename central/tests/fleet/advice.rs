//! A host that only advises, in a fleet.

use serde_json::json;

use crate::bed::{Bed, shares};
use crate::process::until;

#[test]
fn what_a_host_advises_stays_advice_until_the_host_says_otherwise() {
    let bed = Bed::new("advice");
    let container = bed.container("host0", "cont0");
    let _load = container.burn(1, 0.05);
    let central = bed.central("");
    let own = "[[container]]\nname = 'cont0'\nguard = 'advise'\ncpu = { min = 20, max = 200, boundary = 10 }\n";
    let agent = bed.agent("host0", &central, own);
    let http = &central.http;
    http.until_known("cont0");

    // What the table says is taken over, but for the advice: at central it is not guarded.
    let document = http.get("/structure/cont0");
    assert_eq!((&document["guard"], &document["resources"]["cpu"]["max"]), (&json!(false), &json!(200)));
    agent.until_guarded("cont0", "off");

    // Guarded at central: decided by its document's bounds, and nothing is written.
    http.put("/service/guardian", json!({"WINDOW_TIMELAPSE": 0.1, "EVENT_TIMEOUT": 5}));
    http.put("/structure/cont0/resources/cpu/min", json!({"value": 50}));
    http.put("/structure/cont0/guard", json!({}));
    agent.until_guarded("cont0", "advise");
    until("it would be scaled down", || agent.container("cont0")["resources"]["cpu"]["limit"] == json!({"at": 70.0}));
    until("central's audit has it", || {
        let decisions = http.get("/decisions?structure=cont0");
        decisions.as_array().unwrap().iter().any(|d| d["what"]["outcome"] == "advised")
    });
    let reason = agent.container("cont0")["reason"].to_string();
    assert!(reason.contains("central's documents, only advised by [[container]] in"), "{reason}");
    assert_eq!(shares(&container), None);

    // The host lets it go.
    let file = bed.dir.path().join("host0/agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("'advise'", "true")).unwrap();
    agent.process.reread();
    agent.until_guarded("cont0", "on");
    until("it is scaled down", || shares(&container) == Some(70.0));
}
