//! Control quality: how tightly limits follow usage, and whom that hurts.
//!
//! Each workload runs in a container of its own under each strategy, one after the other. What is measured is the kernel's: CPU time
//! used, the limit in force (looked at every 10 ms), throttled time and periods. *Utilization* is used over allocated share-seconds; without
//! a limit a container is counted as having its `max`, as a fixed-size instance. The workload itself says how late its work was (its own
//! latencies, or its run time) and how much of what was wanted it did.
//!
//! The containers' cgroup has the highest weight there is, so that what else runs on the machine disturbs them less; it does so still, and
//! all strategies alike.
//!
//! `fixed-mean` and `fixed-peak` come from the run without a limit: its mean usage, and the highest of its means over 1 s.
//!
//! The web server and the compile job run without a limit and under the responsive profile in turns, `--runs` times each, so that a trend of
//! the machine favours neither. Responsive passes when the median of its p99 latencies (run times) is above the median without a limit by no
//! more than two runs without any limit differ: the median of the absolute differences of consecutive ones.

mod chart;
mod measure;
mod record;
mod results;
mod table;
mod workload;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::ground::Ground;
use super::strategy::{Bounds, CLASSIC_BOUNDARY, Strategy, Tuned};
use super::{Built, Row};
use crate::repo;
use measure::Meter;
use results::{Outcome, Results};
use workload::Workload;

/// What it is called on the command line.
pub(super) const NAME: &str = "control";

/// Between which limits move, in shares: `max` is a fixed-size instance of two cores.
const BOUNDS: Bounds = Bounds { min: 10.0, max: 200.0 };

/// How much of the control bench is run.
#[derive(clap::Args, Clone)]
#[group(id = "control")]
pub(super) struct Options {
    /// control: pairs of runs without a limit and under the responsive profile, for the web server and the compile job
    #[arg(long, default_value_t = 10, value_name = "N")]
    runs: usize,
    /// control: only these workloads: square, ramp, sawtooth, spikes, web, compile
    #[arg(long, value_name = "WORKLOAD", value_parser = Workload::ALL.map(Workload::name))]
    only: Vec<String>,
    /// control: only these strategies, beside no-limit: fixed-mean, fixed-peak, classic-10s, polling-1s, classic-100ms, responsive
    #[arg(long, value_name = "STRATEGY")]
    under: Vec<String>,
    /// control: how long a load other than the compile job runs, instead of its own time
    #[arg(long, value_name = "S")]
    seconds: Option<u32>,
    /// control: write docs/control.svg also if this is no full run
    #[arg(long)]
    charts: bool,
    #[command(flatten)]
    pub(super) tuned: Tuned,
}

impl Options {
    fn workloads(&self) -> Vec<Workload> {
        let wanted = |workload: &Workload| self.only.is_empty() || self.only.iter().any(|name| name == workload.name());
        Workload::ALL.into_iter().filter(wanted).collect()
    }

    fn is_wanted(&self, strategy: Strategy) -> bool {
        self.under.is_empty() || self.under.iter().any(|name| name == strategy.name())
    }

    fn is_full(&self) -> bool {
        self.only.is_empty() && self.under.is_empty() && self.seconds.is_none() && self.runs >= 10 && !self.tuned.is_any()
    }

    /// How often a workload is run without a limit and under the responsive profile.
    fn pairs(&self, workload: Workload) -> usize {
        if workload.is_paired() { self.runs } else { 1 }
    }
}

pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    let options = &built.control;
    ensure!(options.runs > 0, "--runs 0: expected 1 or more");
    let ground = Ground::new()?;
    ground.go_first()?;
    let mut bench = Bench { built, ground, progress: Progress::new(options), results: Results::default() };
    for workload in options.workloads() {
        bench.workload(workload).with_context(|| format!("workload {}", workload.name()))?;
    }
    let results = bench.results;
    record::keep(built, &results)?;
    let picture = built.results.join("control.svg");
    chart::draw(&results, &picture)?;
    if options.is_full() || options.charts {
        let docs = repo::root().join("docs/control.svg");
        std::fs::copy(&picture, &docs).with_context(|| format!("writing {}", docs.display()))?;
    }
    super::print(&table::table(&results))?;
    Ok(results.rows())
}

struct Bench<'a> {
    built: &'a Built,
    ground: Ground,
    progress: Progress,
    results: Results,
}

impl Bench<'_> {
    fn workload(&mut self, workload: Workload) -> Result<()> {
        let options = &self.built.control;
        for _ in 0..options.pairs(workload) {
            self.run(workload, Strategy::NoLimit, &[])?;
            if options.is_wanted(Strategy::Responsive) {
                self.run(workload, Strategy::Responsive, &[])?;
            }
        }
        let free = self.results.of(workload, Strategy::NoLimit.name()).last().context("there is no run without a limit")?;
        let past: Vec<f64> = free.measured.usage();
        let fixed = [Strategy::Fixed("fixed-mean", free.measured.mean()), Strategy::Fixed("fixed-peak", free.measured.peak())];
        for strategy in fixed.into_iter().chain([Strategy::Classic10s(CLASSIC_BOUNDARY), Strategy::Polling, Strategy::Classic]) {
            if options.is_wanted(strategy) {
                self.run(workload, strategy, &past)?;
            }
        }
        Ok(())
    }

    fn run(&mut self, workload: Workload, strategy: Strategy, past: &[f64]) -> Result<()> {
        let name = strategy.name();
        self.progress.next(workload, name);
        let began = Instant::now();
        let seconds = self.built.control.seconds.unwrap_or(workload.seconds());
        let container = self.ground.container(&format!("{}-{name}", workload.name()))?;
        let load = workload.prepare(self.built, &container, seconds)?;
        let driving = strategy.start(self.built, &[&container], BOUNDS, past).with_context(|| format!("strategy {name}"))?;
        let meter = Meter::start(&container, BOUNDS.max)?;
        let said = load.go();
        let measured = meter.stop()?;
        driving.stop()?;
        container.remove();
        ensure!(
            !measured.usage().is_empty(),
            "{} under {name} was over within a window: it has not done its work",
            workload.name()
        );
        let outcome = Outcome { workload, strategy, measured, said: said? };
        self.progress.done(workload, began.elapsed(), &outcome);
        self.results.push(outcome);
        Ok(())
    }
}

/// Tells how far it is.
struct Progress {
    /// How many runs of each workload are left, and how long the last one took.
    left: Vec<(Workload, usize, Duration)>,
}

impl Progress {
    fn new(options: &Options) -> Self {
        let others =
            [Strategy::Fixed("fixed-mean", 0.0), Strategy::Fixed("fixed-peak", 0.0), Strategy::Classic10s(CLASSIC_BOUNDARY)]
                .into_iter()
                .chain([Strategy::Polling, Strategy::Classic]);
        let others = others.filter(|strategy| options.is_wanted(*strategy)).count();
        let per_pair = 1 + usize::from(options.is_wanted(Strategy::Responsive));
        let left = options.workloads().into_iter().map(|workload| {
            let seconds = options.seconds.unwrap_or(workload.seconds());
            (workload, options.pairs(workload) * per_pair + others, Duration::from_secs(u64::from(seconds) + 1))
        });
        Self { left: left.collect() }
    }

    fn next(&self, workload: Workload, strategy: &str) {
        let runs: usize = self.left.iter().map(|(_, runs, _)| runs).sum();
        let seconds: f64 = self.left.iter().map(|(_, runs, each)| *runs as f64 * each.as_secs_f64()).sum();
        let name = workload.name();
        eprintln!("bench: control: {name} under {strategy}; {runs} runs, about {:.0} min left", (seconds / 60.0).ceil());
    }

    fn done(&mut self, workload: Workload, took: Duration, outcome: &Outcome) {
        for (_, runs, each) in self.left.iter_mut().filter(|(one, ..)| *one == workload) {
            (*runs, *each) = (runs.saturating_sub(1), took);
        }
        eprintln!("bench: control:   {}", table::line(outcome));
    }
}
