//! A container that its engine starts with a limit of its own, while the agent runs: that is what was found, and what is put back.

use crate::bed::quota;
use crate::engine::{DOCKER, Engine, LXC, LXD, PODMAN};

/// Idle it has 30: less than its engine gives it. With the responsive rules a burst stands beside a quota of ours, under which an engine
/// could set none.
const SETTINGS: &str = "guardian.profile = 'responsive'\nagent.restore_on_exit = true\n\
                        [[container]]\nname = 'web'\nguard = true\ncpu = { min = 10, max = 100, boundary = 10 }\n";

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn docker() {
    has_its_own(&DOCKER);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn podman() {
    has_its_own(&PODMAN);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxc() {
    has_its_own(&LXC);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxd() {
    has_its_own(&LXD);
}

fn has_its_own(engine: &'static Engine) {
    let bed = engine.bed();
    let mut agent = bed.deciding_agent(SETTINGS);
    let _web = engine.start_limited("web");
    agent.until_guarded("web");
    let path = agent.container("web")["container"]["path"].as_str().unwrap().to_owned();
    agent.until("it is at rest", |_| quota(&path) == Some(30.0));
    assert_eq!(agent.container("web")["foreign_changes"], 0, "{:?}", agent.decisions("web"));
    assert!(agent.end().0.success());
    assert_eq!(quota(&path), Some(50.0));
}
