//! What all runs came to.

use super::measure::Measured;
use super::workload::{Said, Workload};
use crate::bench::strategy::Strategy;
use crate::bench::{Row, median};

/// One run.
pub(super) struct Outcome {
    pub(super) workload: Workload,
    pub(super) strategy: Strategy,
    pub(super) measured: Measured,
    pub(super) said: Said,
}

impl Outcome {
    /// Used over allocated.
    pub(super) fn utilization(&self) -> f64 {
        self.measured.used() / self.measured.allocated()
    }

    /// Throttled over used time, in %.
    pub(super) fn throttled(&self) -> f64 {
        self.measured.throttled.seconds * 1e4 / self.measured.used()
    }

    pub(super) fn periods(&self) -> f64 {
        self.measured.throttled.periods as f64
    }
}

/// All runs.
#[derive(Default)]
pub(super) struct Results {
    outcomes: Vec<Outcome>,
}

/// What the runs of one workload under one strategy came to: medians.
pub(super) struct Cell {
    pub(super) runs: usize,
    pub(super) utilization: f64,
    /// In % of used time.
    pub(super) throttled: f64,
    pub(super) periods: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// 0 to 1.
    pub(super) done: f64,
}

impl Results {
    pub(super) fn push(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// The runs of a workload under a strategy, in order.
    pub(super) fn of(&self, workload: Workload, strategy: &str) -> impl DoubleEndedIterator<Item = &Outcome> {
        self.outcomes.iter().filter(move |run| run.workload == workload && run.strategy.name() == strategy)
    }

    /// Those that were run, in order.
    pub(super) fn workloads(&self) -> Vec<Workload> {
        Workload::ALL.into_iter().filter(|workload| self.outcomes.iter().any(|run| run.workload == *workload)).collect()
    }

    /// Those that were run with a workload, in the order of the table.
    pub(super) fn strategies(&self, workload: Workload) -> Vec<Strategy> {
        let mut found: Vec<Strategy> = Vec::new();
        for run in self.outcomes.iter().filter(|run| run.workload == workload) {
            if !found.iter().any(|strategy| strategy.name() == run.strategy.name()) {
                found.push(run.strategy);
            }
        }
        // Ours last.
        found.sort_by_key(|strategy| *strategy == Strategy::Responsive);
        found
    }

    pub(super) fn cell(&self, workload: Workload, strategy: &str) -> Cell {
        let median = |of: fn(&Outcome) -> f64| median(self.of(workload, strategy).map(of).collect());
        Cell {
            runs: self.of(workload, strategy).count(),
            utilization: median(Outcome::utilization),
            throttled: median(Outcome::throttled),
            periods: median(Outcome::periods),
            p50_ms: median(|run| run.said.p50_ms),
            p99_ms: median(|run| run.said.p99_ms),
            done: median(|run| run.said.done),
        }
    }

    /// A sum over workloads, of each the mean of its runs under a strategy.
    fn pooled(&self, workloads: &[Workload], strategy: &str, of: impl Fn(&Outcome) -> f64) -> f64 {
        let mean = |workload: &Workload| {
            let runs: Vec<f64> = self.of(*workload, strategy).map(&of).collect();
            runs.iter().sum::<f64>() / runs.len() as f64
        };
        workloads.iter().map(mean).sum()
    }

    /// The rows that are held against their limits, and those that are kept.
    pub(super) fn rows(&self) -> Vec<Row> {
        const OURS: &str = "responsive";
        let all = self.workloads();
        let set: Vec<Workload> = all.iter().copied().filter(|workload| !workload.is_apart()).collect();
        let mut rows = Vec::new();
        if all.iter().all(|workload| self.of(*workload, OURS).next().is_some()) {
            let used = |set: &[Workload]| self.pooled(set, OURS, |run| run.measured.used());
            if !set.is_empty() {
                let allocated = self.pooled(&set, OURS, |run| run.measured.allocated());
                rows.push(Row::at_least(
                    0.8,
                    "responsive: utilization, pooled without the spikes",
                    used(&set) / allocated,
                    "used/alloc",
                ));
            }
            let throttled = self.pooled(&all, OURS, |run| run.measured.throttled.seconds) * 1e4 / used(&all);
            rows.push(Row::at_most(0.5, "responsive: throttled over used time, pooled", throttled, "%"));
            rows.extend(all.iter().filter(|workload| workload.is_paired()).flat_map(|workload| self.pairs(*workload)));
        }
        for workload in all {
            for strategy in self.strategies(workload) {
                let cell = self.cell(workload, strategy.name());
                let what = |of: &str| format!("{} under {}: {of}", workload.name(), strategy.name());
                rows.extend([
                    Row::kept(what("utilization"), cell.utilization, "used/alloc"),
                    Row::kept(what("throttled over used time"), cell.throttled, "%"),
                    Row::kept(what("throttled periods"), cell.periods, "periods"),
                    Row::kept(what("latency or run time, p50"), cell.p50_ms, "ms"),
                    Row::kept(what("latency or run time, p99"), cell.p99_ms, "ms"),
                    Row::kept(what("work done of work wanted"), cell.done * 100.0, "%"),
                ]);
            }
        }
        rows
    }

    /// Whether the responsive profile is told from no limit.
    fn pairs(&self, workload: Workload) -> Vec<Row> {
        let of = |strategy: &str| -> Vec<f64> { self.of(workload, strategy).map(|run| run.said.p99_ms).collect() };
        let (free, ours) = (of("no-limit"), of("responsive"));
        let noise = median(free.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect());
        let (free, ours) = (median(free), median(ours));
        let what = if workload == Workload::Compile { "run time" } else { "p99 latency" };
        let name = workload.name();
        let mut rows = vec![
            Row::told(format!("{name}: {what} without a limit, median"), free, "ms"),
            Row::told(format!("{name}: {what}, responsive, median"), ours, "ms"),
        ];
        let worse = format!("{name}: {what}, responsive over no limit");
        // A single run has nothing to be compared with.
        rows.push(if noise.is_finite() {
            Row::at_most(noise, worse, ours - free, "ms")
        } else {
            Row::told(worse, ours - free, "ms")
        });
        rows
    }
}
