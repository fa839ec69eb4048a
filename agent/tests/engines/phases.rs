//! A real load in a container of each engine: what nobody asked for leaves it as it is, what is guarded follows the five phases.

use std::thread;
use std::time::Duration;

use crate::agent::Agent;
use crate::bed::{limits, quota};
use crate::engine::{DOCKER, Engine, LXC, LXD, PODMAN};
use crate::policy::assert_follows;

const MIN: u32 = 20;
const MAX: u32 = 190;
const BOUNDARY: u32 = 25;
const FLOOR: f64 = 70.0;

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn docker() {
    follows(&DOCKER);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn podman() {
    follows(&PODMAN);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxc() {
    follows(&LXC);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxd() {
    follows(&LXD);
}

fn follows(engine: &'static Engine) {
    let bed = engine.bed();
    let web = engine.start("web", false);
    let windows = "guardian.window.cpu = '300ms'\n";
    let path = {
        let agent = bed.deciding_agent(windows);
        let found = agent.container("web");
        assert_eq!((&found["guard"], &found["container"]["engine"]), (&"off".into(), &engine.name.into()), "{found}");
        let path = found["container"]["path"].as_str().unwrap().to_owned();
        let before = limits(&path);
        assert!(before.len() > 5, "{before:?}");
        web.spin(2);
        agent.until("the load is seen", |agent| usage(agent) > 100.0);
        thread::sleep(Duration::from_secs(1));
        web.rest();
        agent.until("the rest is seen", |agent| usage(agent) < 10.0);
        thread::sleep(Duration::from_secs(1));
        assert_eq!(limits(&path), before);
        assert!(agent.decisions("web").is_empty() && bed.records().is_empty());
        path
    };

    let guard =
        format!("[[container]]\nname = 'web'\nguard = true\ncpu = {{ min = {MIN}, max = {MAX}, boundary = {BOUNDARY} }}\n");
    let agent = bed.deciding_agent(&format!("{windows}{guard}"));
    assert_eq!(agent.container("web")["container"]["path"], path.as_str());
    let at = |shares: f64| agent.until(&format!("a limit of {shares}"), |_| quota(&path) == Some(shares));
    // Idle.
    at(FLOOR);
    // Heavy: two processes want more than max.
    web.spin(2);
    at(f64::from(MAX));
    // Settled: one process is more than the floor is for, and less than max.
    web.rest();
    web.spin(1);
    agent.until("it fits the usage", |_| quota(&path).is_some_and(|shares| FLOOR < shares && shares < f64::from(MAX)));
    web.rest();
    at(FLOOR);

    let decided = agent.decisions("web");
    let told: Vec<_> = decided.iter().map(|d| (d.action.as_str(), d.outcome.as_str(), d.from, d.to)).collect();
    assert_eq!(told[0], ("FirstLimit", "applied", None, Some(190.0)));
    assert_eq!(told[1], ("CpuRescaleDown", "applied", Some(190.0), Some(FLOOR)));
    assert_eq!(told[2], ("CpuRescaleUp", "applied", Some(FLOOR), Some(145.0)));
    decided.iter().skip(1).for_each(|decided| assert_follows(decided, [MIN, MAX, BOUNDARY]));
}

fn usage(agent: &Agent) -> f64 {
    agent.container("web")["resources"]["cpu"]["usage"].as_f64().unwrap_or(f64::NAN)
}
