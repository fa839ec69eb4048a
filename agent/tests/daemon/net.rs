//! What containers use of the network, as the agent shows it.

use std::thread;
use std::time::Duration;

use headroom_agent::cgroup::{Hierarchies, Mode};

use crate::agent::Agent;
use crate::bed::Bed;
use crate::talk::{Network, Role, over_a_cable};

/// What a container sends and receives.
const SAID: [u64; 2] = [4 << 20, 8 << 20];
/// Until every container has been read whole again: ten windows of memory.
const ROUND: Duration = Duration::from_secs(2);

/// In Mbit/s.
fn usage(agent: &Agent, name: &str) -> Option<f64> {
    agent.container(name)["resources"]["net"]["usage"].as_f64()
}

#[test]
fn a_container_in_the_hosts_network_is_shown_where_sockets_are_counted() {
    let bed = Bed::new("net");
    let [shares, own, quiet] = ["shares", "own", "quiet"].map(|name| bed.container(name));
    let agent = bed.run(&bed.config());
    agent.until("all are known", |agent| ["shares", "own", "quiet"].iter().all(|name| !agent.container(name).is_null()));
    let reason = agent.status()["host"]["net_reason"].clone();
    let told = agent.log().matches("network usage is read from interfaces, not counted at sockets").count();
    if Hierarchies::probe().unwrap().mode() == Mode::V2 {
        assert!(reason.is_null() && told == 0, "{reason}");
        for (name, container, network) in [("shares", &shares, Network::Host), ("own", &own, Network::Own)] {
            over_a_cable(Role::Asks, network, SAID, |process| container.add(process));
            agent.until("what it used is shown", |agent| usage(agent, name).is_some_and(|usage| usage > 0.0));
        }
    } else {
        assert!(reason.as_str().unwrap().contains("v2 tree") && told == 1, "{reason}, told {told} times");
        over_a_cable(Role::Asks, Network::Host, SAID, |process| shares.add(process));
        thread::sleep(ROUND);
        assert_eq!(usage(&agent, "shares"), None, "the host's interfaces are nobody's");
    }
    assert!(usage(&agent, "quiet").is_none_or(|usage| usage == 0.0));
    drop(quiet);
}
