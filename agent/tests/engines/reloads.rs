//! `systemctl daemon-reload`, where engines have their containers' cgroups from systemd: it writes every limit as each engine has asked for it, also
//! where that is none, and that is handled as an engine's own update is.

use crate::agent::Agent;
use crate::bed::sh;
use crate::engine::{DOCKER, Engine, PODMAN};

/// Idle it has 30 of CPU, of which its engine gives it 50, and 72 MiB, of which its engine says nothing.
const GUARD: &str = "guardian.guardable = ['cpu', 'mem']\n[[container]]\nname = 'web'\nguard = true\n\
                     cpu = { min = 10, max = 100, boundary = 10 }\nmem = { min = 32, max = 200, boundary = 20 }\n";
const FLOORS: [f64; 2] = [30.0, 72.0];

#[test]
#[ignore = "cargo xtask test --on systemd runs it where systemd is"]
fn docker() {
    are_handled(&DOCKER, "system.slice/docker-");
}

#[test]
#[ignore = "cargo xtask test --on systemd runs it where systemd is"]
fn podman() {
    are_handled(&PODMAN, "machine.slice/libpod-");
}

fn are_handled(engine: &'static Engine, place: &str) {
    let bed = engine.bed();
    let _web = engine.start_limited("web");
    {
        let agent = bed.deciding_agent(&format!("scaler.on_foreign_change = 'reassert'\n{GUARD}"));
        agent.until_guarded("web");
        let found = agent.container("web");
        assert!(found["container"]["path"].as_str().unwrap().starts_with(place), "{found}");
        rests(&agent);
        for reloads in 1..=2 {
            sh("systemctl daemon-reload");
            agent.until("both are noticed", |agent| times(agent, "Reassert") == [reloads, reloads]);
            rests(&agent);
        }
    }

    let agent = bed.deciding_agent(&format!("scaler.on_foreign_change = 'adopt'\n{GUARD}"));
    agent.until_guarded("web");
    sh("systemctl daemon-reload");
    agent.until("both are noticed", |agent| times(agent, "Adopt") == [1, 1]);
    rests(&agent);
}

/// Waits until it has what an idle one has.
fn rests(agent: &Agent) {
    agent.until("it is at rest", |agent| {
        let resources = &agent.container("web")["resources"];
        ["cpu", "mem"].map(|resource| resources[resource]["applied"]["at"].as_f64()) == FLOORS.map(Some)
    });
}

/// How often this was decided of CPU and of memory.
fn times(agent: &Agent, action: &str) -> [usize; 2] {
    let decided = agent.decisions("web");
    ["cpu", "mem"].map(|resource| decided.iter().filter(|one| one.action == action && one.resource == resource).count())
}
