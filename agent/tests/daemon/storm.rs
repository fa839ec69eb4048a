//! Many containers that want CPU time at the same moment.

use std::thread;
use std::time::Duration;

use crate::bed::Bed;
use crate::files::shares;

const CONTAINERS: usize = 40;
/// An idle container's limit: min and two margins of 1.
const IDLE: f64 = 3.0;

/// What passes its threshold is raised, by the kernel's word or, where that came late or never, at the window's end; and the agent says
/// how often which.
#[test]
fn nobody_is_forgotten_when_all_burst_at_once() {
    let bed = Bed::new("storm");
    let names: Vec<String> = (0..CONTAINERS).map(|n| format!("cont{n}")).collect();
    let containers: Vec<_> = names.iter().map(|name| bed.container(name)).collect();
    let mut loads: Vec<_> = containers.iter().map(|container| container.burn(1, 0.0)).collect();
    let mut config = bed.config();
    config.set("guardian", "profile", "'responsive'").set("guardian.window", "cpu", "'100ms'");
    config.set("host.max", "cpu", "100000").guard("cont*", "true", [1, 100, 1]);
    let agent = bed.run(&config);
    agent.until("all idle", |_| containers.iter().all(|container| shares(container) == Some(IDLE)));
    let counted = |name: &str| agent.status()["counters"][name].as_u64().unwrap();
    let (early, missed) = (counted("early"), counted("early_missed"));

    for load in &mut loads {
        load.set_duty(1.0);
    }
    agent.until("all are raised", |agent| {
        let decided = agent.get("/decisions?limit=1000");
        let raised =
            |name: &String| decided.as_array().unwrap().iter().any(|d| d["structure"] == **name && d["action"] == "CpuRescaleUp");
        names.iter().all(raised)
    });
    // Whoever was raised had passed a threshold that was armed.
    thread::sleep(Duration::from_millis(600));
    let (early, missed) = (counted("early") - early, counted("early_missed") - missed);
    assert!(early + missed >= CONTAINERS as u64, "{early} early, {missed} missed");
    let health = &agent.status()["counters"]["source"];
    assert_eq!((&health["events_dropped"], &health["charges_dropped"]), (&0.into(), &0.into()));
}
