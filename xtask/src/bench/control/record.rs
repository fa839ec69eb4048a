//! The usage of each run, in the format that `headroom-agent replay` reads, beside the documents it takes; and that it does take them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::BOUNDS;
use super::measure::{Measured, WINDOW};
use super::results::Results;
use crate::bench::Built;
use crate::bench::strategy::Strategy;
use crate::process;

/// Writes `target/bench/control/<workload>-<strategy>.csv` of the last run of each, and the documents for both profiles:
/// `structure.json`, `limits-classic.json` and `limits-responsive.json`. Replays every one.
pub(super) fn keep(built: &Built, results: &Results) -> Result<()> {
    let dir = built.results.join("control");
    fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let write = |name: &str, text: String| -> Result<_> {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    let structure = write("structure.json", structure().to_string() + "\n")?;
    write("limits-classic.json", limits(built, Strategy::Classic).to_string() + "\n")?;
    let limits = write("limits-responsive.json", limits(built, Strategy::Responsive).to_string() + "\n")?;
    for workload in results.workloads() {
        for strategy in results.strategies(workload) {
            let Some(run) = results.of(workload, strategy.name()).next_back() else { continue };
            let usage = write(&format!("{}-{}.csv", workload.name(), strategy.name()), csv(&run.measured))?;
            check(built, &structure, &limits, &usage, run.measured.usage().len())?;
        }
    }
    Ok(())
}

fn structure() -> Value {
    let cpu = json!({"min": BOUNDS.min, "max": BOUNDS.max, "current": BOUNDS.max, "guard": true});
    json!({"type": "structure", "subtype": "container", "name": "container", "guard": true, "resources": {"cpu": cpu}})
}

fn limits(built: &Built, strategy: Strategy) -> Value {
    let (boundary, kind) = strategy.boundary(&built.control.tuned);
    json!({"type": "limit", "name": "container", "resources": {"cpu": {"boundary": boundary, "boundary_type": kind}}})
}

/// A row a window, with the time of its end.
fn csv(measured: &Measured) -> String {
    let mut text = String::from("timestamp,cpu\n");
    for (n, usage) in measured.usage().into_iter().enumerate() {
        // A string takes everything.
        writeln!(text, "{:.1},{usage:.2}", measured.began + (n + 1) as f64 * WINDOW).ok();
    }
    text
}

/// Replay has to read each window.
fn check(built: &Built, structure: &Path, limits: &Path, usage: &Path, windows: usize) -> Result<()> {
    let mut command = Command::new(built.agent());
    command.args(["replay", "--summary", "--window", "100ms", "--event-timeout", "5s", "--structure"]).arg(structure);
    command.arg("--limits").arg(limits).arg("--usage").arg(usage);
    let said: Value = serde_json::from_slice(&process::output(&mut command)?)?;
    let read = said["resources"]["cpu"]["windows"].as_u64();
    ensure!(read == Some(windows as u64), "replay has read {read:?} windows of {}, expected {windows}", usage.display());
    Ok(())
}
