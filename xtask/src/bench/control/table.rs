//! The results for people.

use std::fmt::Write as _;

use super::results::{Outcome, Results};
use super::workload::Workload;

/// A block for each workload, a line for each strategy.
pub(super) fn table(results: &Results) -> String {
    let mut text = String::new();
    for workload in results.workloads() {
        let time = if workload == Workload::Compile { "run time" } else { "p99 ms" };
        // A string takes everything.
        writeln!(
            text,
            "{:<15} {:>5} {:>12} {:>10} {:>8} {:>10} {time:>10} {:>7}",
            workload.name(),
            "runs",
            "utilization",
            "throttled",
            "periods",
            "p50 ms",
            "done"
        )
        .ok();
        for strategy in results.strategies(workload) {
            let cell = results.cell(workload, strategy.name());
            writeln!(
                text,
                "  {:<13} {:>5} {:>12.3} {:>9.2}% {:>8.0} {:>10.1} {:>10.1} {:>6.1}%",
                strategy.name(),
                cell.runs,
                cell.utilization,
                cell.throttled,
                cell.periods,
                cell.p50_ms,
                cell.p99_ms,
                cell.done * 100.0
            )
            .ok();
        }
        writeln!(text).ok();
    }
    text
}

/// One run, in short.
pub(super) fn line(run: &Outcome) -> String {
    let (said, measured) = (&run.said, &run.measured);
    format!(
        "utilization {:.3} (mean {:.1} shares of {:.1}), throttled {:.2}% in {} periods, p50 {:.1} ms, p99 {:.1} ms, {:.1}% done",
        run.utilization(),
        measured.mean(),
        measured.allocated() / measured.span(),
        run.throttled(),
        measured.throttled.periods,
        said.p50_ms,
        said.p99_ms,
        said.done * 100.0
    )
}
