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

    /// All that were run, in the order of the table.
    pub(super) fn all_strategies(&self) -> Vec<Strategy> {
        let mut all: Vec<Strategy> = Vec::new();
        for strategy in self.workloads().into_iter().flat_map(|workload| self.strategies(workload)) {
            if !all.iter().any(|one| one.name() == strategy.name()) {
                all.push(strategy);
            }
        }
        all.sort_by_key(|strategy| *strategy == Strategy::Responsive);
        all
    }

    /// A sum over workloads, of each the mean of its runs under a strategy; `None` if one was not run under it.
    fn pooled(&self, workloads: &[Workload], strategy: &str, of: fn(&Outcome) -> f64) -> Option<f64> {
        let mean = |workload: &Workload| {
            let runs: Vec<f64> = self.of(*workload, strategy).map(of).collect();
            (!runs.is_empty()).then(|| runs.iter().sum::<f64>() / runs.len() as f64)
        };
        workloads.iter().map(mean).sum()
    }

    /// Used over allocated, pooled: each workload counts by what it was given in a run.
    pub(super) fn utilization(&self, workloads: &[Workload], strategy: &str) -> Option<f64> {
        let used = self.pooled(workloads, strategy, |run| run.measured.used())?;
        Some(used / self.pooled(workloads, strategy, |run| run.measured.allocated())?).filter(|ratio| ratio.is_finite())
    }

    /// Throttled over used time, pooled, in %.
    pub(super) fn throttled(&self, workloads: &[Workload], strategy: &str) -> Option<f64> {
        let throttled = self.pooled(workloads, strategy, |run| run.measured.throttled.seconds)?;
        Some(throttled * 1e4 / self.pooled(workloads, strategy, |run| run.measured.used())?).filter(|ratio| ratio.is_finite())
    }

    /// The rows that are held against their limits, and those that are kept.
    pub(super) fn rows(&self) -> Vec<Row> {
        let all = self.workloads();
        let set: Vec<Workload> = all.iter().copied().filter(|workload| !workload.is_apart()).collect();
        let ours = Strategy::Responsive.name();
        let mut rows = Vec::new();
        if let Some(ratio) = self.utilization(&set, ours) {
            rows.push(Row::at_least(0.8, "responsive: utilization, pooled without the spikes", ratio, "used/alloc"));
        }
        if let Some(percent) = self.throttled(&all, ours) {
            rows.push(Row::at_most(0.5, "responsive: throttled over used time, pooled", percent, "%"));
        }
        rows.extend(all.iter().filter(|workload| workload.is_paired()).flat_map(|workload| self.pairs(*workload)));
        for strategy in self.all_strategies() {
            let name = strategy.name();
            let pooled = [(self.utilization(&set, name), "utilization, pooled without the spikes", "used/alloc")]
                .into_iter()
                .chain([(self.throttled(&all, name), "throttled over used time, pooled", "%")]);
            if strategy != Strategy::Responsive {
                rows.extend(pooled.filter_map(|(value, what, unit)| Some(Row::told(format!("{name}: {what}"), value?, unit))));
            }
        }
        rows.extend(all.into_iter().flat_map(|workload| self.kept(workload)));
        rows
    }

    /// Every figure of the table.
    fn kept(&self, workload: Workload) -> Vec<Row> {
        let mut rows = Vec::new();
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
        rows
    }

    /// Whether the responsive profile is told from no limit.
    fn pairs(&self, workload: Workload) -> Vec<Row> {
        let of = |strategy: &str| -> Vec<f64> { self.of(workload, strategy).map(|run| run.said.p99_ms).collect() };
        let (free, ours) = (of(Strategy::NoLimit.name()), of(Strategy::Responsive.name()));
        if ours.is_empty() {
            return Vec::new();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::control::measure::Sample;
    use crate::bench::row;
    use crate::bench::strategy::Throttled;

    /// 10 s at `usage` under `limit`, in shares.
    fn run(workload: Workload, strategy: Strategy, (usage, limit): (f64, f64), p99_ms: f64) -> Outcome {
        let samples = [(0.0, 0.0), (10.0, usage / 10.0)].map(|(at, used)| Sample { at, used, limit }).to_vec();
        let throttled = Throttled { periods: 3, seconds: 0.01 };
        let measured = Measured { began: 0.0, samples, throttled };
        Outcome { workload, strategy, measured, said: Said { p50_ms: 1.0, p99_ms, done: 1.0 } }
    }

    fn value(rows: &[Row], what: &str) -> (String, String) {
        let row = &row::json(rows)[what];
        (format!("{:.3}", row["value"].as_f64().unwrap_or(f64::NAN)), row["limit"].to_string())
    }

    #[test]
    fn pairs_are_told_from_noise_and_workloads_are_pooled_once() {
        let mut results = Results::default();
        for (free, ours) in [(10.0, 12.0), (14.0, 13.0), (11.0, 12.5)] {
            results.push(run(Workload::Web, Strategy::NoLimit, (40.0, 200.0), free));
            results.push(run(Workload::Web, Strategy::Responsive, (40.0, 50.0), ours));
        }
        for kind in ["square", "spikes"] {
            let limit = if kind == "square" { 150.0 } else { 1000.0 };
            results.push(run(Workload::Shape(kind), Strategy::NoLimit, (100.0, 200.0), 8.0));
            results.push(run(Workload::Shape(kind), Strategy::Responsive, (100.0, limit), 8.0));
        }
        let rows = results.rows();
        // (40 + 100) of (50 + 150), however often the web server was run.
        let pooled = value(&rows, "responsive: utilization, pooled without the spikes");
        assert_eq!(pooled, ("0.700".into(), "0.8".into()));
        // 0.03 s of 24 s of CPU time.
        assert_eq!(value(&rows, "responsive: throttled over used time, pooled").0, "0.125");
        // Runs without a limit are 4 and 3 apart; the medians are 12.5 and 11.
        let worse = value(&rows, "web: p99 latency, responsive over no limit");
        assert_eq!(worse, ("1.500".into(), "3.5".into()));
        assert_eq!(results.all_strategies(), [Strategy::NoLimit, Strategy::Responsive]);
    }
}
