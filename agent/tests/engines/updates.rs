//! An engine's own update of a container that is guarded: noticed, said, and handled as configured.

use std::thread;
use std::time::Duration;

use crate::agent::{Agent, Decided};
use crate::bed::{self, quota};
use crate::engine::{DOCKER, Engine, LXC, LXD, PODMAN, systemd_runs};

/// Idle it has min + 2 * boundary.
const GUARD: &str = "[[container]]\nname = 'web'\nguard = true\ncpu = { min = 20, max = 190, boundary = 25 }\n";
const FLOOR: f64 = 70.0;

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn docker() {
    are_handled(&DOCKER);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn podman() {
    are_handled(&PODMAN);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxc() {
    are_handled(&LXC);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxd() {
    are_handled(&LXD);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn docker_memory() {
    memory_is_handled(&DOCKER);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn podman_memory() {
    memory_is_handled(&PODMAN);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxc_memory() {
    memory_is_handled(&LXC);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxd_memory() {
    memory_is_handled(&LXD);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn one_under_the_burst_is_refused_by_the_kernel() {
    let bed = DOCKER.bed();
    let web = DOCKER.start("web", false);
    let agent = bed.deciding_agent(&format!("guardian.profile = 'responsive'\n{GUARD}"));
    agent.until_guarded("web");
    let path = agent.container("web")["container"]["path"].as_str().unwrap().to_owned();
    agent.until("it is at rest", |_| quota(&path) == Some(FLOOR));
    assert!(!web.can_update(50));
    assert_eq!(quota(&path), Some(FLOOR));
    assert!(web.can_update(90));
    agent.until("more is put right", |agent| quota(&path) == Some(FLOOR) && !of(agent, "Reassert").is_empty());
}

fn are_handled(engine: &'static Engine) {
    let bed = engine.bed();
    let web = engine.start("web", false);
    let path = {
        let agent = bed.deciding_agent(&format!("scaler.on_foreign_change = 'reassert'\n{GUARD}"));
        agent.until_guarded("web");
        let path = agent.container("web")["container"]["path"].as_str().unwrap().to_owned();
        agent.until("it is at rest", |_| quota(&path) == Some(FLOOR));
        web.update(50);
        is_said(&agent, "Reassert", (50.0, FLOOR));
        assert_eq!(quota(&path), Some(FLOOR));
        path
    };

    let agent = bed.deciding_agent(&format!("scaler.on_foreign_change = 'adopt'\n{GUARD}"));
    agent.until_guarded("web");
    web.update(40);
    is_said(&agent, "Adopt", (FLOOR, 40.0));
    // All quotas have been looked at again meanwhile.
    thread::sleep(Duration::from_millis(2500));
    assert_eq!((quota(&path), agent.container("web")["foreign_changes"].as_u64()), (Some(40.0), Some(1)));
    // What is decided next goes on from there.
    web.spin(1);
    agent.until("the limit is raised", |agent| !of(agent, "CpuRescaleUp").is_empty());
    web.rest();
    let raised = of(&agent, "CpuRescaleUp");
    assert_eq!((raised[0].from, raised[0].to), (Some(40.0), Some(115.0)), "{raised:?}");
}

/// Engines write the hard limit. On v1 it is the one that there is, on v2 the one below which the agent's own lies.
fn memory_is_handled(engine: &'static Engine) {
    const GUARD: &str = "guardian.guardable = ['cpu', 'mem']\n[[container]]\nname = 'web'\nguard = true\nmem = { min = 32, max = 200, boundary = 20 }\n";
    let bed = engine.bed();
    let web = engine.start("web", false);
    let limit = |agent: &Agent| agent.container("web")["resources"]["mem"]["limit"]["at"].as_f64();
    {
        let agent = bed.deciding_agent(&format!("scaler.on_foreign_change = 'reassert'\n{GUARD}"));
        agent.until_guarded("web");
        // v1's is not lowered.
        let v1 = bed::memory_is_v1();
        let rests = if v1 { 200.0 } else { 72.0 };
        agent.until("it is at rest", |agent| limit(agent) == Some(rests));
        web.update_memory(60);
        is_said(&agent, "Reassert", (60.0, rests));
        agent.until("it is put right", |agent| limit(agent) == Some(rests));
        // Above the agent's own on v2, where it is in nobody's way; systemd takes the agent's off with it.
        web.update_memory(150);
        agent.until("it is noticed, too", |agent| of(agent, "Reassert").len() == 2);
        let told = &of(&agent, "Reassert")[1];
        let stood = if v1 || systemd_runs() { 150.0 } else { rests };
        assert_eq!((told.from, told.to), (Some(stood), Some(rests)), "{told:?}");
        agent.until("it is put right, too", |agent| limit(agent) == Some(rests));
    }
    let agent = bed.deciding_agent(&format!("scaler.on_foreign_change = 'adopt'\n{GUARD}"));
    agent.until_guarded("web");
    let before = limit(&agent);
    web.update_memory(64);
    agent.until("it is noticed", |agent| !of(agent, "Adopt").is_empty());
    let told = of(&agent, "Adopt");
    assert_eq!((told[0].from, told[0].to), (before, Some(64.0)), "{told:?}");
}

/// Once, in `/decisions`, in the log, and in the metrics.
fn is_said(agent: &Agent, action: &str, (from, to): (f64, f64)) {
    agent.until("it is noticed", |agent| !of(agent, action).is_empty());
    let told = of(agent, action);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].from, told[0].to, told[0].outcome.as_str()), (Some(from), Some(to), "applied"), "{told:?}");
    let log = agent.log();
    let said: Vec<_> = log.lines().filter(|line| line.contains("something else changed the limit")).collect();
    assert!(said.len() == 1 && said[0].contains("web") && said[0].contains(action), "{said:?}");
    agent.until("it is counted", |agent| {
        let metrics = agent.send("GET", "/metrics", "").body;
        let counts = [
            "headroom_foreign_changes_total{container=\"web\"} 1\n".to_owned(),
            format!("headroom_decisions_total{{action=\"{action}\",outcome=\"applied\"}} 1\n"),
        ];
        counts.iter().all(|count| metrics.contains(count))
    });
}

fn of(agent: &Agent, action: &str) -> Vec<Decided> {
    agent.decisions("web").into_iter().filter(|decided| decided.action == action).collect()
}
