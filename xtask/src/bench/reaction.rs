//! From the start of a burst to the limit that lets it run, and whom that spares a throttled period.
//!
//! A container idles at a small limit, then burns 1 or 2 threads, at random phase to windows and periods, again and again. The load says
//! when it began, the agent's decisions when the limit was raised (after the write), the kernel what it throttled: from before a burst to
//! before the next, so with the lowering after it. Others' ways are measured beside it in the same run; those that take seconds in several
//! containers at once, each burst until its limit is raised.

mod agents;
mod burst;
mod chart;
mod others;

use anyhow::{Context as _, Result, ensure};

use super::stolen::Stolen;
use super::strategy::Strategy;
use super::{Built, Row, lateness, median};

/// What it is called on the command line.
pub(super) const NAME: &str = "reaction";

/// How much of the reaction bench is run.
#[derive(clap::Args, Clone)]
pub(super) struct Options {
    /// reaction: bursts of each kind
    #[arg(long, default_value_t = 200, value_name = "N")]
    bursts: usize,
}

impl Options {
    fn is_full(&self) -> bool {
        self.bursts >= 200
    }
}

/// What is expected of the time between the kernel's word and the finished write, in ms: median and 99th percentile with the machine
/// otherwise idle, 99th percentile with every core busy.
const WORD_TO_WRITE: (f64, f64, f64) = (0.150, 1.0, 5.0);
/// From this limit on, in shares, no burst may see a throttled period; below, only one.
const SPARED_FROM: f64 = 20.0;
/// In shares: an idle container's limit is its min and two of these.
const CLASSIC_BOUNDARY: f64 = 5.0;
/// The limit at which ways are compared, in shares.
const COMPARED_AT: f64 = 20.0;

/// One burst.
#[derive(Clone, Copy, Debug)]
struct Burst {
    /// The limit when it began, in shares.
    limit: f64,
    /// Until the limit was raised first, in ms; `None` if that never came.
    raised_ms: Option<f64>,
    /// CPU time that it had used by then, where that is known, in ms.
    used_ms: Option<f64>,
    throttled_periods: u64,
    throttled_ms: f64,
}

/// Bursts of one kind.
struct Cell {
    name: String,
    threads: u32,
    bursts: Vec<Burst>,
    /// From the kernel's word to the finished write, in ms: median, 99th percentile.
    word_to_write: Option<(f64, f64)>,
}

impl Cell {
    fn times(&self) -> Vec<f64> {
        self.bursts.iter().filter_map(|burst| burst.raised_ms).collect()
    }

    fn limit(&self) -> f64 {
        median(self.bursts.iter().map(|burst| burst.limit).collect())
    }

    /// Bursts that were throttled in more periods than so many. One that a raise has freed within the period is in none of the kernel's
    /// periods, and was throttled all the same.
    fn throttled(&self, more_than: u64) -> f64 {
        let is_one = |burst: &&Burst| burst.throttled_periods > more_than || (more_than == 0 && burst.throttled_ms > 0.0);
        self.bursts.iter().filter(is_one).count() as f64
    }
}

pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    let count = built.reaction.bursts;
    ensure!(count >= 8, "--bursts {count}: expected 8 or more");
    let mut rows = Vec::from(lateness::rows()?);
    let mut compared = Vec::new();
    for limit in [5.0, 10.0, 20.0, 50.0] {
        for threads in [1, 2] {
            let stolen = Stolen::since_now()?;
            let cell = agents::early(built, limit, threads, count, false)?;
            rows.extend(early_rows(&cell));
            rows.push(stolen.row(&format!("{limit:.0} shares, {threads} burning"))?);
            if limit >= COMPARED_AT && compared.len() < 2 {
                rows.extend(word_rows(&cell)?);
                compared.push(cell);
            }
        }
    }
    let busy = agents::early(built, COMPARED_AT, 1, count, true)?;
    let (_, p99) = busy.word_to_write.context("the agent's status has no early_reaction")?;
    rows.push(Row::at_most(WORD_TO_WRITE.2, "kernel's word to finished write, every core busy, p99", p99, "ms"));
    rows.extend(compared_rows(&busy));
    for threads in [1, 2] {
        compared.push(agents::at_windows_ends(built, COMPARED_AT, threads, count)?);
    }
    for strategy in [Strategy::Polling, Strategy::Classic10s(CLASSIC_BOUNDARY)] {
        for threads in [1, 2] {
            compared.push(others::run(built, strategy, threads, count)?);
        }
    }
    for cell in &compared {
        rows.extend(compared_rows(cell));
    }
    chart::write(built, &compared)?;
    Ok(rows)
}

fn word_rows(cell: &Cell) -> Result<[Row; 2]> {
    let (p50, p99) = cell.word_to_write.context("the agent's status has no early_reaction")?;
    let row = |limit, which, value| {
        let threads = cell.threads;
        Row::at_most(limit, format!("kernel's word to finished write, {threads} burning, {which}"), value, "ms")
    };
    Ok([row(WORD_TO_WRITE.0, "median", p50), row(WORD_TO_WRITE.1, "p99", p99)])
}

fn early_rows(cell: &Cell) -> Vec<Row> {
    let (limit, count) = (cell.limit(), cell.bursts.len());
    let name = format!("{limit:.0} shares, {} burning", cell.threads);
    // 100 shares are 100 ms of CPU time in a period, and as much again is saved up.
    let saved_up = 2.0 * limit;
    let (mut times, mut used) = (cell.times(), cell.bursts.iter().filter_map(|burst| burst.used_ms).collect::<Vec<_>>());
    let throttled_ms: f64 = cell.bursts.iter().map(|burst| burst.throttled_ms).sum();
    let missed = (count - times.len()) as f64;
    let mut rows = vec![
        Row::told(format!("{name}: start to raised limit, median"), median(times.clone()), "ms"),
        Row::told(format!("{name}: start to raised limit, p99"), percentile(&mut times, 0.99), "ms"),
        // The time in which quota and burst last is over when so much is used: threads do not always get the CPUs that they want.
        Row::at_most(
            saved_up,
            format!("{name}: CPU time used by then, p99, of quota and burst"),
            percentile(&mut used, 0.99),
            "ms",
        ),
        Row::at_most(0.0, format!("{name}: bursts that were never raised, of {count}"), missed, "bursts"),
    ];
    rows.push(if limit >= SPARED_FROM {
        Row::at_most(0.0, format!("{name}: bursts with a throttled period, of {count}"), cell.throttled(0), "bursts")
    } else {
        Row::at_most(0.0, format!("{name}: bursts with more than one throttled period, of {count}"), cell.throttled(1), "bursts")
    });
    if limit < SPARED_FROM {
        rows.push(Row::told(format!("{name}: bursts with a throttled period, of {count}"), cell.throttled(0), "bursts"));
    }
    rows.push(Row::told(format!("{name}: throttled, mean"), throttled_ms / count as f64, "ms"));
    rows
}

fn compared_rows(cell: &Cell) -> Vec<Row> {
    let name = format!("{}, {} burning from {:.0} shares", cell.name, cell.threads, cell.limit());
    let mut times = cell.times();
    let count = cell.bursts.len();
    let throttled_ms: f64 = cell.bursts.iter().map(|burst| burst.throttled_ms).sum();
    vec![
        Row::told(format!("{name}: start to raised limit, median"), median(times.clone()), "ms"),
        Row::told(format!("{name}: start to raised limit, p99"), percentile(&mut times, 0.99), "ms"),
        Row::told(format!("{name}: bursts with a throttled period, of {count}"), cell.throttled(0), "bursts"),
        Row::told(format!("{name}: throttled, mean"), throttled_ms / count as f64, "ms"),
    ]
}

/// The value that this part of them is not above.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small count")]
fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (part * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|part| percentile(&mut values, part).to_string()), ["100", "198", "200"]);
        assert!(percentile(&mut [], 0.99).is_nan());
    }
}
