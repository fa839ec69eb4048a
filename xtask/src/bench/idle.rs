//! What the agent takes for itself with 200 containers and nothing to decide, and how soon it knows of one more.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::agent::Agent;
use super::ground::Ground;
use super::{Built, Row, median};

const CONTAINERS: usize = 200;
/// The first scale-down of all of them takes a second, and until the meter knows that they rest it has been round twice: 20 s.
const SETTLE: Duration = Duration::from_secs(25);
const SPAN: Duration = Duration::from_secs(30);
const BOUNDS: &str = "min = 50\nmax = 200\nboundary = 25";
/// Containers made one after the other, for discovery.
const MADE: usize = 20;

pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    let ground = Ground::new()?;
    let mut sleepers = Vec::new();
    for n in 0..CONTAINERS {
        let container = ground.container(&format!("bench{n}"))?;
        sleepers.push(container.run(Command::new("sleep").arg("600").stdin(Stdio::null()))?);
    }
    let agent = Agent::start(built, BOUNDS, CONTAINERS)?;
    sleep(SETTLE);

    let (began, before) = (Instant::now(), agent.cpu_times()?);
    sleep(SPAN);
    let (span, after) = (began.elapsed().as_secs_f64(), agent.cpu_times()?);
    let threads: Vec<(&String, f64)> =
        after.iter().map(|(name, s)| (name, (s - before.get(name).copied().unwrap_or(0.0)) / span * 100.0)).collect();
    let mut rows = vec![Row::at_most(
        0.5,
        format!("agent's CPU, {CONTAINERS} containers, 100 ms windows"),
        threads.iter().map(|(_, percent)| percent).sum(),
        "% of a core",
    )];
    rows.extend(threads.iter().map(|(name, percent)| Row::told(format!("  thread {name}"), *percent, "% of a core")));
    rows.push(Row::at_most(20.0, format!("agent's memory, {CONTAINERS} containers, steady"), agent.memory_mib("VmRSS")?, "MiB"));
    rows.push(Row::told("agent's memory, peak", agent.memory_mib("VmHWM")?, "MiB"));

    let waits = discovery(&ground, &agent)?;
    rows.push(Row::at_most(100.0, "a new container is known, worst", waits.iter().copied().fold(f64::NAN, f64::max), "ms"));
    rows.push(Row::told("a new container is known, median", median(waits), "ms"));
    agent.stop()?;
    Ok(rows)
}

/// How long it takes from the making of a container until the REST interface has it, in ms.
fn discovery(ground: &Ground, agent: &Agent) -> Result<Vec<f64>> {
    let mut waits = Vec::new();
    for n in 0..MADE {
        let name = format!("new{n}");
        let began = Instant::now();
        let container = ground.container(&name)?;
        while agent.get(&format!("/container/{name}"))?.is_none() {
            ensure!(began.elapsed() < Duration::from_secs(10), "container {name} is not known after 10 s");
            sleep(Duration::from_micros(500));
        }
        waits.push(began.elapsed().as_secs_f64() * 1e3);
        container.remove();
        sleep(Duration::from_millis(50));
    }
    Ok(waits)
}
