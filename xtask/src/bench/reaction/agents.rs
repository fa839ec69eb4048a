//! Bursts under the agent. They are short, and containers take turns, so that each is back at its idle limit for its next.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::burst::{Bursting, Phases, epoch, used_until};
use super::{Burst, Cell};
use crate::bench::Built;
use crate::bench::agent::Agent;
use crate::bench::ground::{Ground, Running};
use crate::bench::strategy::Throttled;

/// How many containers take turns.
const CONTAINERS: usize = 20;
/// How long a burst is: in it a limit gets from 5 shares to two cores, and periods end in which it would have been throttled.
const BURST: Duration = Duration::from_millis(200);
/// Between two bursts, beside a window's length of random phase.
const PAUSE: Duration = Duration::from_millis(50);
/// What containers take to idle at their limits after the agent has started.
const SETTLE: Duration = Duration::from_secs(6);
const MAX: f64 = 200.0;
/// In % of the limit.
const BOUNDARY: f64 = 6.0;

/// The responsive profile, as it is. `busy`: beside a spinning process for each core.
pub(super) fn early(built: &Built, limit: f64, threads: u32, count: usize, busy: bool) -> Result<Cell> {
    let name = if busy { "responsive beside busy cores" } else { "responsive" };
    let mut cell = run(built, "[guardian]\nprofile = \"responsive\"", name, (limit, threads, count), busy)?;
    ensure!(cell.word_to_write.is_some(), "nothing was decided early");
    cell.bursts.truncate(count);
    Ok(cell)
}

/// The same rules, decided at the ends of windows: without the kernel side there is no early word.
pub(super) fn at_windows_ends(built: &Built, limit: f64, threads: u32, count: usize) -> Result<Cell> {
    let settings = "[guardian]\nprofile = \"responsive\"\n[sampler]\nsource = \"cgroupfs\"";
    let mut cell = run(built, settings, "at ends of 100 ms windows", (limit, threads, count), false)?;
    cell.word_to_write = None;
    Ok(cell)
}

fn run(built: &Built, settings: &str, name: &str, (limit, threads, count): (f64, u32, usize), busy: bool) -> Result<Cell> {
    eprintln!("bench: reaction: {name}, {threads} burning from {limit} shares");
    let ground = Ground::new()?;
    let mut containers = Vec::new();
    for n in 0..CONTAINERS {
        containers.push(Bursting::new(built, &ground, format!("burst{n}"), threads)?);
    }
    // No lowering takes `lower` under min.
    let margin = (limit * BOUNDARY / 100.0).floor().max(1.0);
    let bounds = format!(
        "min = {}\nmax = {MAX}\nboundary = {BOUNDARY}\nboundary_type = \"percentage_of_current\"",
        2.0f64.mul_add(-margin, limit)
    );
    let agent = Agent::start_with(built, settings, &bounds, CONTAINERS)?;
    // Beside the containers, not in one.
    let hogs = if busy { hogs()? } else { Vec::new() };
    sleep(SETTLE);
    let epoch = epoch()?;
    let mut phases = Phases::new(u64::from(threads));
    let mut bursts = Vec::new();
    while bursts.len() < count {
        let (mut begun, mut ran) = (Vec::new(), Vec::new());
        for one in &mut containers {
            sleep(PAUSE + Duration::from_millis(100).mul_f64(phases.next()));
            let (limit, before) = (one.cpu.limit()?.context("a container has no limit")?, one.cpu.throttled()?);
            begun.push((one.start()? + epoch, limit, before));
            sleep(BURST);
            ran.push(one.stop()?);
        }
        // The last of them is back at its idle limit, and its last period has ended.
        sleep(Duration::from_secs(2));
        let raises = raises(&agent)?;
        for ((one, (at, limit, before)), ran) in containers.iter().zip(begun).zip(ran) {
            let Throttled { periods, seconds } = one.cpu.throttled()?;
            let first = raises.iter().filter(|(name, raised)| *name == one.name && *raised >= at).map(|(_, raised)| raised - at);
            let soonest = first.fold(f64::INFINITY, f64::min);
            let was_raised = soonest <= BURST.as_secs_f64() + 0.2;
            bursts.push(Burst {
                limit,
                raised_ms: was_raised.then_some(soonest * 1e3),
                used_ms: was_raised.then(|| used_until(&ran, at + soonest - epoch) * 1e3),
                throttled_periods: periods - before.periods,
                throttled_ms: (seconds - before.seconds) * 1e3,
            });
        }
    }
    let word_to_write = word_to_write(&agent.status()?);
    drop(hogs);
    agent.stop()?;
    Ok(Cell { name: name.to_owned(), threads, bursts, word_to_write })
}

/// Name and time, in s since the epoch, of each raise of late.
fn raises(agent: &Agent) -> Result<Vec<(String, f64)>> {
    let text = agent.get("/decisions?limit=1000")?.context("the agent does not tell its decisions")?;
    let decisions: Vec<Value> = serde_json::from_str(&text)?;
    let raise = |decision: Value| {
        let is_raise = decision["action"] == "CpuRescaleUp" && decision["outcome"] == "applied";
        is_raise.then(|| Some((decision["structure"].as_str()?.to_owned(), decision["at"].as_f64()?)))
    };
    decisions.into_iter().filter_map(raise).map(|raise| raise.context("a decision has no structure or no time")).collect()
}

fn word_to_write(status: &Value) -> Option<(f64, f64)> {
    let early = &status["latencies"]["early_reaction"];
    let ms = |of: &str| early[of].as_f64().map(|us| us / 1e3);
    (early["count"].as_f64()? > 0.0).then_some((ms("p50_us")?, ms("p99_us")?))
}

fn hogs() -> Result<Vec<Running>> {
    let cores = std::thread::available_parallelism()?.get();
    let hog = |_| Running::start(Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()));
    (0..cores).map(hog).collect()
}
