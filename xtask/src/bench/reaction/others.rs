//! Bursts under what others do. It takes seconds until they raise a limit, so containers burst side by side, each until it is raised; by
//! then they have wanted no more than their small limits gave them.

use std::thread::{scope, sleep};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::burst::{Bursting, Phases, monotonic};
use super::{Burst, COMPARED_AT, Cell};
use crate::bench::Built;
use crate::bench::ground::Ground;
use crate::bench::strategy::{Bounds, Strategy};

/// So many, at their small limits, leave a core for the rest.
const CONTAINERS: usize = 5;
/// How often the limit is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// Nobody takes so long.
const PATIENCE: f64 = 90.0;

/// Bursts under a strategy that takes part in this. The slow ones make do with fewer than `count`.
pub(super) fn run(built: &Built, strategy: Strategy, threads: u32, count: usize) -> Result<Cell> {
    eprintln!("bench: reaction: {}, {threads} burning", strategy.name());
    // How many rounds, how long one of its ticks is, and the min with which it idles there.
    let (rounds, interval, min) = match strategy {
        Strategy::Classic10s(margin) => (count.div_ceil(40), 5.0, 2.0f64.mul_add(-margin, COMPARED_AT)),
        _ => (count.div_ceil(CONTAINERS), 1.0, COMPARED_AT),
    };
    let bounds = Bounds { min, max: 200.0 };
    let mut bursts = Vec::new();
    for round in 0..rounds {
        let ground = Ground::new()?;
        let mut containers = Vec::new();
        for n in 0..CONTAINERS {
            containers.push(Bursting::new(built, &ground, format!("burst{n}"), threads)?);
        }
        let places: Vec<_> = containers.iter().map(|one| one.container.clone()).collect();
        // Five minutes of rest.
        let driving = strategy.start(built, &places.iter().collect::<Vec<_>>(), bounds, &vec![0.0; 3000])?;
        let seed = u64::try_from(round * CONTAINERS)?;
        let ended = scope(|scope| {
            let one = |(one, seed): (&mut Bursting, u64)| burst(one, interval * Phases::new(seed).next());
            let running: Vec<_> = containers.iter_mut().zip(seed + 1..).map(|pair| scope.spawn(move || one(pair))).collect();
            let joined = running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a burst's thread panicked")));
            joined.collect::<Result<Vec<_>>>()
        });
        bursts.extend(ended?);
        driving.stop()?;
    }
    Ok(Cell { name: strategy.name().to_owned(), threads, bursts, word_to_write: None })
}

fn burst(one: &mut Bursting, after: f64) -> Result<Burst> {
    sleep(Duration::from_secs_f64(after));
    let (limit, before) = (one.cpu.limit()?.context("a container has no limit")?, one.cpu.throttled()?);
    let began = one.start()?;
    let mut raised_ms = None;
    loop {
        sleep(LOOK);
        let now = monotonic()?;
        if one.cpu.limit()?.is_none_or(|now| now > limit) {
            raised_ms = Some((now - began) * 1e3);
        }
        if raised_ms.is_some() || now - began > PATIENCE {
            break;
        }
    }
    let after = one.cpu.throttled()?;
    one.stop()?;
    let (periods, seconds) = (after.periods - before.periods, after.seconds - before.seconds);
    Ok(Burst { limit, raised_ms, used_ms: None, throttled_periods: periods, throttled_ms: seconds * 1e3 })
}
