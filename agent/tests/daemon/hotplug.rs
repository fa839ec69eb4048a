//! A CPU that goes and comes back under a running agent. On cgroup v2: on v1 the kernel itself empties the cpuset of who had that CPU only
//! and moves its processes to the parent.

use std::fs;

use headroom_agent::cgroup::{Controller, CpuList};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::bed::Bed;
use crate::files::{prefer, read, shares};
use crate::support::TestCgroup;

const SWITCH: &str = "/sys/devices/system/cpu/cpu1/online";

/// CPU 1, which comes back when this is dropped.
struct Cpu1;

impl Cpu1 {
    /// What is online goes offline, and back.
    fn switch(on: bool) {
        fs::write(SWITCH, if on { "1" } else { "0" }).unwrap_or_else(|e| panic!("{SWITCH}: {e}"));
    }
}

impl Drop for Cpu1 {
    fn drop(&mut self) {
        // It may not have gone.
        drop(fs::write(SWITCH, "1"));
    }
}

/// What the agent tells of the host: the online CPUs, what may be given out, and the cores of the map.
fn host(agent: &Agent) -> (Value, Value, Vec<String>) {
    let mut host = agent.status()["host"].take();
    let max = host["max"]["cpu"].take();
    let cores = host["core_usage_mapping"].as_object().into_iter().flatten().map(|(core, _)| core.clone()).collect();
    (host["online_cpus"].take(), max, cores)
}

/// Waits until status, map and metrics say so.
fn until_host_has(agent: &Agent, cpus: &[u32]) {
    let expected = (json!(cpus), json!(100.0 * cpus.len() as f64), cpus.iter().map(ToString::to_string).collect::<Vec<_>>());
    agent.until(&format!("CPUs {cpus:?}, now {:?}", host(agent)), |agent| host(agent) == expected);
    let metrics = agent.send("GET", "/metrics", "").body;
    assert!(metrics.contains(&format!("\nheadroom_host_online_cpus {}\n", cpus.len())), "{metrics}");
}

/// Where a container can run.
fn cpus(container: &TestCgroup) -> Vec<u32> {
    let effective: CpuList = read(container, Controller::Cpuset, "cpuset.cpus.effective").parse().unwrap();
    effective.iter().collect()
}

#[test]
#[ignore = "takes a CPU away from the machine: cargo xtask test runs it in VMs"]
fn a_cpu_may_go_and_come_back() {
    let bed = Bed::new("hotplug");
    let [cont0, cont1] = ["cont0", "cont1"].map(|name| bed.container(name));
    [&cont0, &cont1].into_iter().for_each(prefer);
    let mut loads = [cont0.burn(2, 0.0), cont1.burn(1, 0.0)];
    let mut config = bed.config();
    config.set("scaler", "pin_cores", "true");
    config.guard("cont0", "true", [20, 150, 10]).guard("cont1", "true", [20, 50, 5]);
    let _back_again = Cpu1;
    let mut agent = bed.run(&config);
    until_host_has(&agent, &[0, 1]);
    agent.until("cont0 is idle", |_| shares(&cont0) == Some(40.0));
    agent.until("cont1 is idle", |_| shares(&cont1) == Some(30.0));
    loads[0].set_duty(1.0);
    agent.until("cont0 has more than a core", |_| shares(&cont0) == Some(150.0) && cpus(&cont0) == [0, 1]);

    // What is above the host's new max stays as it is until the policy lowers it: nobody is throttled for it.
    Cpu1::switch(false);
    until_host_has(&agent, &[0]);
    assert_eq!([&cont0, &cont1].map(cpus), [[0], [0]], "both can run on what is left");
    loads[0].set_duty(0.0);
    agent.until("cont0 comes down", |_| shares(&cont0) == Some(40.0));
    // More than what is left is not given out: 100 - 30.
    loads[0].set_duty(1.0);
    agent.until("cont0 has what is free", |_| shares(&cont0) == Some(70.0));

    Cpu1::switch(true);
    until_host_has(&agent, &[0, 1]);
    agent.until("cont0 has more than a core again", |_| shares(&cont0) == Some(150.0) && cpus(&cont0) == [0, 1]);
    assert!(agent.end().0.success());
}
