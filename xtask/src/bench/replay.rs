//! How fast recorded usage runs through the policy: CPU only, totals only.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use super::{Built, Row, ground, median};
use crate::process;

const WINDOWS: u32 = 2_000_000;
const RUNS: usize = 7;

const STRUCTURE: &str = r#"{"type": "structure", "subtype": "container", "name": "cont0", "guard": true,
    "resources": {"cpu": {"max": 200, "min": 50, "current": 200, "guard": true}}}"#;
const LIMITS: &str = r#"{"type": "limit", "name": "cont0", "resources": {"cpu": {"boundary": 25, "boundary_type": "absolute"}}}"#;

pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    let dir = ground::scratch()?;
    let [structure, limits, usage] = ["s.json", "l.json", "u.csv"].map(|name| dir.path().join(name));
    fs::write(&structure, STRUCTURE)?;
    fs::write(&limits, LIMITS)?;
    fs::write(&usage, recording())?;
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let mut command = Command::new(built.agent());
        command.args(["replay", "--summary", "--structure"]).arg(&structure);
        command.arg("--limits").arg(&limits).arg("--usage").arg(&usage);
        let (began, used) = (Instant::now(), children_s()?);
        process::run(&mut command)?;
        wall.push(f64::from(WINDOWS) / began.elapsed().as_secs_f64());
        cpu.push(f64::from(WINDOWS) / (children_s()? - used));
    }
    Ok(vec![
        Row::at_least(1e6, "replay, CPU only, --summary, per second of one core", median(cpu), "windows"),
        Row::told("replay, the same, per second of the wall clock", median(wall), "windows"),
    ])
}

/// CPU time of all our children that have ended, in s.
fn children_s() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// Five minutes idle, five busy, and so on, with noise; the limit goes up and down every time.
fn recording() -> String {
    let mut text = String::from("timestamp,cpu\n");
    let mut random = 1_u32;
    for window in 0..WINDOWS {
        // Numerical Recipes' generator: any will do.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(random >> 16) / 6_553.6;
        let usage = if window / 30 % 2 == 0 { 20.0 + noise } else { 150.0 + noise };
        // A string takes everything.
        writeln!(text, "{},{usage:.2}", 1_700_000_000 + u64::from(window) * 10).ok();
    }
    text
}
