//! How soon a decision stands: from the end of the window that decided it, or the kernel's early word, to the finished CPU write.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::agent::Agent;
use super::ground::Ground;
use super::{Built, Row, lateness};

/// Their waves are a little apart, so that windows have some to decide, and never all.
const CONTAINERS: u64 = 16;
/// Shares of one core in a wave; for how long it is on and off, in ms. In sum half a core.
const WAVE: (u64, u64, u64) = (10, 500, 1000);
const SPAN: Duration = Duration::from_secs(40);
/// So that a wave is above the upper threshold and its end below the lower one.
const BOUNDS: &str = "min = 4\nmax = 100\nboundary = 2";

pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    let lateness = lateness::rows()?;
    let ground = Ground::new()?;
    let waves = ground.waves(built, CONTAINERS, WAVE, SPAN.as_secs() + 30)?;
    let agent = Agent::start(built, BOUNDS, waves.len())?;
    let began = Instant::now();
    let ms = |status: &Value, name: &str, of: &str| {
        let found = status["latencies"][name][of].as_f64();
        found.map(|us| us / 1e3).with_context(|| format!("the agent's status has no {of} of {name}"))
    };
    sleep(SPAN.saturating_sub(began.elapsed()));
    let status = agent.status()?;
    let writes = status["latencies"]["reaction"]["count"].as_f64().context("the agent's status has no reaction")?;
    let mut rows = vec![
        Row::at_most(2.0, "window's end to finished CPU write, p99", ms(&status, "reaction", "p99_us")?, "ms"),
        Row::told("window's end to finished CPU write, median", ms(&status, "reaction", "p50_us")?, "ms"),
        Row::told("window's end to finished CPU write, worst", ms(&status, "reaction", "max_us")?, "ms"),
        Row::at_least(300.0, "decisions that this is of", writes, "writes"),
        Row::told("windows decided early", status["counters"]["early"].as_f64().unwrap_or(f64::NAN), "windows"),
        Row::told("one CPU write, read back, p99", ms(&status, "cpu_write", "p99_us")?, "ms"),
        Row::told("one step of the control loop, p99", ms(&status, "step", "p99_us")?, "ms"),
    ];
    rows.extend(lateness);
    agent.stop()?;
    Ok(rows)
}
