//! What the agent takes for itself with 200 containers that each burst once a second and are raised and lowered for it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::agent::Agent;
use super::ground::Ground;
use super::{Built, Row};

const CONTAINERS: u64 = 200;
/// 4 ms of CPU time in 10 ms, then rest to the end of the second.
const WAVE: (u64, u64, u64) = (40, 10, 990);
const SETTLE: Duration = Duration::from_secs(10);
const SPAN: Duration = Duration::from_secs(30);
/// At rest at 3 shares, of which a burst uses more.
const BOUNDS: &str = "min = 1\nmax = 100";

pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    let ground = Ground::new()?;
    let waves = ground.waves(built, CONTAINERS, WAVE, SETTLE.as_secs() + SPAN.as_secs() + 60)?;
    let agent = Agent::start_with(built, "[guardian]\nprofile = \"responsive\"", BOUNDS, waves.len())?;
    sleep(SETTLE);

    let (began, before, raised, lowered) =
        (Instant::now(), agent.cpu_times()?, decided(&agent, "CpuRescaleUp")?, decided(&agent, "CpuRescaleDown")?);
    sleep(SPAN);
    let (span, after) = (began.elapsed().as_secs_f64(), agent.cpu_times()?);
    let per_s = |now: f64, before: f64| (now - before) / span;
    let raises = per_s(decided(&agent, "CpuRescaleUp")?, raised);
    let lowerings = per_s(decided(&agent, "CpuRescaleDown")?, lowered);
    let threads: Vec<(&String, f64)> =
        after.iter().map(|(name, s)| (name, per_s(*s, before.get(name).copied().unwrap_or(0.0)) * 100.0)).collect();
    ensure!(raises > 0.0, "no burst was raised");
    let sum = threads.iter().map(|(_, percent)| percent).sum();
    let mut rows =
        vec![Row::at_most(5.0, format!("agent's CPU, {CONTAINERS} containers bursting once a second"), sum, "% of a core")];
    rows.extend(threads.iter().map(|(name, percent)| Row::told(format!("  thread {name}, bursting"), *percent, "% of a core")));
    rows.push(Row::told("steps up", raises, "/s"));
    rows.push(Row::told("steps down", lowerings, "/s"));
    rows.push(Row::told("agent's memory, bursting", agent.memory_mib("VmRSS")?, "MiB"));
    agent.stop()?;
    Ok(rows)
}

fn decided(agent: &Agent, action: &str) -> Result<f64> {
    let status = agent.status()?;
    let counts = status["counters"]["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = counts.iter().filter(|count| count["action"] == action && count["outcome"] == "applied");
    Ok(of.filter_map(|count| count["count"].as_f64()).sum())
}
