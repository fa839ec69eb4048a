//! A container that starts while the agent runs: its engine makes the cgroup first, and writes limits into it a little later.

use std::thread;
use std::time::Duration;

use crate::bed::Bed;
use crate::files::{limits, set_shares, shares};

#[test]
fn what_its_engine_sets_is_what_was_found() {
    for profile in ["classic", "responsive"] {
        let bed = Bed::new("starts");
        let mut config = bed.config();
        config.set("agent", "restore_on_exit", "true").set("guardian", "profile", &format!("'{profile}'"));
        config.guard("cont0", "true", [10, 100, 10]);
        let mut agent = bed.run(&config);
        let cont0 = bed.container("cont0");
        agent.until("it is known", |agent| agent.container("cont0")["guard"] == "off");
        thread::sleep(Duration::from_millis(100));
        set_shares(&cont0, 50);
        let from_its_engine = limits(&cont0);
        agent.until_guarded("cont0");
        agent.until("idle", |_| shares(&cont0) == Some(30.0));
        assert_eq!(agent.container("cont0")["foreign_changes"], 0);
        assert_eq!(bed.records()["cont0"]["resources"]["cpu"]["limit"]["at"], 50.0);
        let first = &agent.decisions("cont0")[0];
        assert_eq!((first.action.as_str(), first.from), ("CpuRescaleDown", Some(50.0)), "{first:?}");
        agent.end();
        assert_eq!(limits(&cont0), from_its_engine);
    }
}
