//! Containers that nothing in the settings asks for any more, though they were guarded: their limits stay, and are put back in the end.

use nix::sys::signal::Signal;

use crate::agent::Agent;
use crate::bed::{Bed, Config};
use crate::files::{set_quota, set_shares, shares};
use crate::support::TestCgroup;

/// Guarded by the first rule and idle, three containers that came with 150 shares.
fn at_rest(bed: &Bed, config: &mut Config) -> ([TestCgroup; 3], Agent) {
    let containers = ["asked", "lost", "theirs"].map(|name| bed.container(name));
    for container in &containers {
        set_quota(container, Some(150_000), 100_000);
    }
    config.set("host.max", "cpu", "1000").guard("*", "true", [20, 100, 10]);
    let agent = bed.run(config);
    agent.until("all idle", |_| containers.each_ref().map(shares) == [Some(40.0); 3]);
    (containers, agent)
}

/// From now on only `asked` is asked for; `theirs` is given another limit by somebody.
fn loses_its_rule(agent: &Agent, config: &mut Config, containers: &[TestCgroup; 3]) {
    config.guard_nothing().guard("asked", "true", [20, 100, 10]).write();
    agent.signal(Signal::SIGHUP);
    for name in ["lost", "theirs"] {
        agent.until("it is guarded no more", |agent| agent.container(name)["guard"] == "off");
    }
    let notes = agent.notes("lost");
    assert!(notes.contains("cpu: left at 40") && notes.contains("150, which was found"), "{notes}");
    assert_eq!(agent.log().matches("guarded no more").count(), 2, "{}", agent.log());
    set_shares(&containers[2], 30);
    assert_eq!(shares(&containers[1]), Some(40.0), "unguarding leaves limits");
}

#[test]
fn what_was_found_is_put_back_at_the_agents_end() {
    let bed = Bed::new("left");
    let mut config = bed.config();
    config.set("agent", "restore_on_exit", "true");
    let (containers, mut agent) = at_rest(&bed, &mut config);
    loses_its_rule(&agent, &mut config, &containers);
    // Also by one that comes after it, and has not guarded it.
    agent.kill9();
    let mut agent = bed.run(&config);
    agent.until("it is known whose limit it is", |agent| agent.notes("lost").contains("left at 40"));
    agent.end();
    assert_eq!(containers.each_ref().map(shares), [Some(150.0), Some(150.0), Some(30.0)]);
}

#[test]
fn what_was_found_is_put_back_by_release() {
    let bed = Bed::new("left2");
    let mut config = bed.config();
    let (containers, mut agent) = at_rest(&bed, &mut config);
    loses_its_rule(&agent, &mut config, &containers);
    agent.end();
    assert_eq!(containers.each_ref().map(shares), [Some(40.0), Some(40.0), Some(30.0)]);
    let released = bed.release(&[]);
    let told = String::from_utf8_lossy(&released.stdout).into_owned();
    assert!(told.contains("asked: cpu lifted to 100 shares") && told.contains("lost: cpu put back to 150 shares"), "{told}");
    assert_eq!(containers.each_ref().map(shares), [Some(100.0), Some(150.0), Some(30.0)]);
}

/// Who says that it is not to be guarded has the limit as it is.
#[test]
fn what_somebody_said_is_not_to_be_guarded_stays() {
    let bed = Bed::new("left3");
    let mut config = bed.config();
    config.set("agent", "restore_on_exit", "true");
    let (containers, mut agent) = at_rest(&bed, &mut config);
    config.guard_nothing().guard("asked", "true", [20, 100, 10]).guard("*", "false", [20, 100, 10]).write();
    agent.signal(Signal::SIGHUP);
    agent.until("it is guarded no more", |agent| agent.container("lost")["guard"] == "off");
    assert!(!agent.notes("lost").contains("left at"), "{}", agent.notes("lost"));
    agent.end();
    assert_eq!(containers.each_ref().map(shares), [Some(150.0), Some(40.0), Some(40.0)]);
}

/// Guarded again, it goes on from where it was left, and what was found first is what is put back.
#[test]
fn one_that_gets_its_rule_back_is_guarded_as_before() {
    let bed = Bed::new("left4");
    let mut config = bed.config();
    config.set("agent", "restore_on_exit", "true");
    let (containers, mut agent) = at_rest(&bed, &mut config);
    loses_its_rule(&agent, &mut config, &containers);
    config.guard_nothing().guard("*", "true", [20, 100, 10]).write();
    agent.signal(Signal::SIGHUP);
    agent.until_guarded("lost");
    assert!(!agent.notes("lost").contains("left at"), "{}", agent.notes("lost"));
    assert!(agent.decisions("lost").iter().all(|decided| decided.action != "FirstLimit" || decided.from == Some(150.0)));
    agent.end();
    assert_eq!(shares(&containers[1]), Some(150.0));
}
