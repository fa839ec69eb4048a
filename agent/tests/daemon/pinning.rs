//! Cores of their own: the cpuset follows the limit, and no core is given out twice.

use headroom_agent::cgroup::Controller;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::agent::Agent;
use crate::bed::Bed;
use crate::files::{self, limits, prefer, read, shares};
use crate::support::TestCgroup;

/// What a container holds of all cores, and on which; checks that no core is given out beyond 100.
fn held(agent: &Agent, name: &str) -> (f64, Vec<String>) {
    let mapping = agent.status()["host"]["core_usage_mapping"].take();
    let (mut sum, mut cores) = (0.0, Vec::new());
    // Null until the first step.
    for (core, holders) in mapping.as_object().into_iter().flatten() {
        let all: f64 = holders.as_object().unwrap().values().filter_map(Value::as_f64).sum();
        assert!((all - 100.0).abs() < 0.001, "core {core}: {holders}");
        if let Some(shares) = holders[name].as_f64() {
            sum += shares;
            cores.push(core.clone());
        }
    }
    (sum, cores)
}

/// Waits until map, cpuset and quota say the same.
fn until_pinned(agent: &Agent, container: &TestCgroup, name: &str, expected: f64) {
    agent.until(&format!("{name} at {expected}, pinned"), |agent| {
        let (sum, cores) = held(agent, name);
        let cpuset = read(container, Controller::Cpuset, "cpuset.cpus");
        let in_set: Vec<String> =
            cpuset.parse::<headroom_agent::cgroup::CpuList>().unwrap().iter().map(|c| c.to_string()).collect();
        shares(container) == Some(expected) && (sum - expected).abs() < 0.001 && cores == in_set
    });
}

#[test]
fn pinned_containers_have_cores_of_their_own() {
    let bed = Bed::new("pinned");
    let [cont0, cont1] = ["cont0", "cont1"].map(|name| bed.container(name));
    [&cont0, &cont1].into_iter().for_each(prefer);
    let before = [&cont0, &cont1].map(limits);
    let mut loads = [cont0.burn(2, 0.0), cont1.burn(1, 0.0)];
    let mut config = bed.config();
    config.set("scaler", "pin_cores", "true");
    config.guard("cont0", "true", [20, 150, 10]).guard("cont1", "true", [20, 50, 5]);
    let mut agent = bed.run(&config);
    until_pinned(&agent, &cont0, "cont0", 40.0);
    until_pinned(&agent, &cont1, "cont1", 30.0);
    // Up over more than one core, and down again.
    loads[0].set_duty(1.0);
    until_pinned(&agent, &cont0, "cont0", 150.0);
    assert_eq!(held(&agent, "cont0").1.len(), 2);
    loads[0].set_duty(0.0);
    until_pinned(&agent, &cont0, "cont0", 40.0);
    assert_eq!(held(&agent, "cont0").1.len(), 1);

    // Cores that something else took are given again.
    let other = if held(&agent, "cont1").1 == ["0"] { "1" } else { "0" };
    files::write(&cont1, Controller::Cpuset, "cpuset.cpus", other);
    agent.until("the cores are put right", |agent| agent.decisions("cont1").iter().any(|d| d.action == "Reassert"));
    until_pinned(&agent, &cont1, "cont1", 30.0);

    // After a death the next one takes the cores up again.
    agent.kill9();
    config.set("agent", "restore_on_exit", "true");
    let mut agent = bed.run(&config);
    until_pinned(&agent, &cont0, "cont0", 40.0);
    until_pinned(&agent, &cont1, "cont1", 30.0);
    // A clean end gives the cores back, too: all of them as long as processes run, to the letter when there are none (v2 takes no
    // empty list from under a process).
    drop(loads);
    agent.until("nothing runs", |_| [&cont0, &cont1].iter().all(|c| c.processes().unwrap().is_empty()));
    agent.end();
    assert_eq!([&cont0, &cont1].map(limits), before);
}

#[test]
fn release_gives_the_cores_back() {
    let bed = Bed::new("unpin");
    let cont0 = bed.container("cont0");
    let cpuset = || read(&cont0, Controller::Cpuset, "cpuset.cpus");
    let before = cpuset();
    let mut config = bed.config();
    config.set("scaler", "pin_cores", "true").guard("cont0", "true", [20, 150, 10]);
    let mut agent = bed.run(&config);
    until_pinned(&agent, &cont0, "cont0", 40.0);
    assert_ne!(cpuset(), before);
    agent.kill9();
    let released = bed.release(&[]);
    assert!(released.status.success(), "{released:?}");
    assert_eq!((shares(&cont0), cpuset()), (Some(150.0), before));
    let told = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told(&released).contains("cont0: its CPUs given back, cpu lifted to 150 shares"), "{released:?}");
    // There is nothing left to give back.
    let again = bed.release(&[]);
    assert!(told(&again).contains("cont0: cpu is at its max or above already"), "{again:?}");
}

#[test]
fn cores_are_the_agents_to_choose_until_pinning_is_switched_off() {
    let bed = Bed::new("unpinned");
    let cont0 = bed.container("cont0");
    let cpuset = || read(&cont0, Controller::Cpuset, "cpuset.cpus");
    let before = cpuset();
    let mut config = bed.config();
    config.set("scaler", "pin_cores", "true").guard("cont0", "true", [20, 150, 10]);
    let agent = bed.run(&config);
    until_pinned(&agent, &cont0, "cont0", 40.0);
    let pinned = cpuset();
    // Both cores are not what it has; what it has may be put.
    let put = |cpus: &str| agent.put("/container/cont0", &format!("{{\"cpu\": {{\"cpu_num\": \"{cpus}\"}}}}"));
    let message = put("0,1").error(409);
    assert!(message.contains("cpu.cpu_num") && message.contains("scaler.pin_cores"), "{message}");
    assert_eq!(put(&pinned).status, 201);
    assert_eq!(cpuset(), pinned);

    config.set("scaler", "pin_cores", "false").write();
    agent.signal(Signal::SIGHUP);
    agent.until("its CPUs are given back", |_| cpuset() == before);
    agent.until("it is told", |agent| agent.decisions("cont0").iter().any(|d| d.action == "Unpin" && d.outcome == "applied"));
    agent.until("nothing is kept of them", |_| bed.records()["cont0"].get("cpuset").is_none());
    assert_eq!(shares(&cont0), Some(40.0));
    // Now they are left alone.
    assert_eq!(put("1").status, 201);
    agent.until("it is shown", |agent| agent.container("cont0")["cpuset"] == "1");
    assert_eq!(cpuset(), "1");
}
