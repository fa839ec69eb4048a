//! The privileges that the unit in `configs/systemd` grants, and no others: enough to guard by eBPF. What is missing is named.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

use headroom_agent::cgroup::{Hierarchies, Mode};

use crate::agent::{Agent, BINARY};
use crate::bed::Bed;
use crate::files::{directories, shares};

const UNIT: &str = include_str!("../../../configs/systemd/headroom-agent.service");
/// Who owns a container that is not root's.
const SOMEBODY: u32 = 12_345;

/// Those of the unit, as `bpf`.
pub(crate) fn granted() -> Vec<String> {
    let line = UNIT.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    line.split_whitespace().map(|name| name.strip_prefix("CAP_").unwrap().to_lowercase()).collect()
}

/// The agent, with these privileges and no way to more.
pub(crate) fn with(privileges: &[String]) -> Command {
    let kept: Vec<_> = privileges.iter().map(|name| format!("+{name}")).collect();
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set=-all,{}", kept.join(","))).args(["--inh-caps=-all", "--no-new-privs", BINARY]);
    command
}

/// How many privileges it has in force.
fn in_force(agent: &Agent) -> u32 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap().count_ones()
}

#[test]
fn the_units_privileges_are_enough() {
    let bed = Bed::new("unit");
    let [roots, others] = ["roots", "others"].map(|name| bed.container(name));
    // As a rootless engine's: directories and files are somebody else's.
    for directory in directories(&others) {
        let files = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
        files.chain([directory]).for_each(|path| chown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap());
    }
    let mut loads = [&roots, &others].map(|container| container.burn(1, 0.0));
    let mut config = bed.config();
    config.guard("*", "true", [20, 90, 10]).write();
    let granted = granted();
    let agent = Agent::start(with(&granted), bed.dir());
    assert_eq!(in_force(&agent), u32::try_from(granted.len()).unwrap(), "{granted:?}");
    let host = &agent.status()["host"];
    assert_eq!(host["source"], "ebpf", "{host}");
    assert_eq!(host["net_reason"].is_null(), Hierarchies::probe().unwrap().mode() == Mode::V2, "{host}");
    for container in [&roots, &others] {
        agent.until("it comes down to its floor", |_| shares(container) == Some(40.0));
    }
    for load in &mut loads {
        load.set_duty(1.0);
    }
    for container in [&roots, &others] {
        agent.until("it goes up", |_| shares(container).is_some_and(|shares| shares > 40.0));
    }
    for name in ["roots", "others"] {
        let decided = agent.decisions(name);
        assert!(decided.iter().all(|d| d.outcome == "applied"), "{decided:?}");
    }
}

#[test]
fn the_one_that_is_missing_is_named() {
    for missing in ["bpf", "perfmon"] {
        let bed = Bed::new("missing");
        let container = bed.container("cont0");
        let mut config = bed.config();
        config.guard("cont0", "true", [20, 90, 10]).write();
        let kept: Vec<_> = granted().into_iter().filter(|name| name != missing).collect();
        let agent = Agent::start(with(&kept), bed.dir());
        let host = &agent.status()["host"];
        assert_eq!(host["source"], "cgroupfs");
        let reason = host["source_reason"].as_str().unwrap();
        let named = ["CAP_BPF", "CAP_PERFMON"].map(|name| reason.contains(&format!("{name}: missing")));
        assert_eq!(named, [missing == "bpf", missing == "perfmon"], "without {missing}: {reason}");
        agent.until("it guards all the same", |_| shares(&container) == Some(40.0));
    }
}

#[test]
fn without_net_admin_interfaces_are_read() {
    let bed = Bed::new("netless");
    let container = bed.container("cont0");
    let mut config = bed.config();
    config.guard("cont0", "true", [20, 90, 10]).write();
    let kept: Vec<_> = granted().into_iter().filter(|name| name != "net_admin").collect();
    let agent = Agent::start(with(&kept), bed.dir());
    let host = &agent.status()["host"];
    assert_eq!(host["source"], "ebpf", "{host}");
    let v2 = Hierarchies::probe().unwrap().mode() == Mode::V2;
    let why = host["net_reason"].as_str().unwrap();
    assert!(why.contains(if v2 { "CAP_NET_ADMIN is missing" } else { "v2 tree" }), "{why}");
    agent.until("it guards all the same", |_| shares(&container) == Some(40.0));
}
