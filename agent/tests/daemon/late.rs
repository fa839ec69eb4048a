//! An agent that stood still: what it was told too late.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::bed::Bed;
use crate::files::{prefer, shares};

#[test]
fn what_was_used_after_a_windows_end_is_not_certain_of_it() {
    let bed = Bed::new("late");
    let container = bed.container("cont0");
    prefer(&container);
    // About 15 shares, under the 35 from which its limit of 50 would be raised; over a second that is far more than 35 ms.
    let _load = container.burn(1, 0.15);
    let mut config = bed.config();
    config.set("guardian.window", "cpu", "'100ms'").set("guardian", "profile", "'responsive'").set("host.max", "cpu", "1000");
    config.guard("cont0", "true", [20, 190, 15]);
    let agent = bed.run(&config);
    agent.until("its limit is down", |_| shares(&container) == Some(50.0));
    let decided = || agent.decisions("cont0").into_iter().filter(|d| d.action == "CpuRescaleUp").count();
    for _ in 0..5 {
        agent.halt();
        thread::sleep(Duration::from_secs(1));
        agent.signal(Signal::SIGCONT);
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(decided(), 0, "{:?}", agent.decisions("cont0"));
}
