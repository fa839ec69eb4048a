//! What came of it: decisions, share-seconds, utilization, throttling.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::agent::{Container, Decision, Throttling, amount};

/// The text for people. `before` and `after` are the statuses at both ends of the run.
pub(super) fn summary(before: &[Container], after: &[Container], decisions: &[Decision], names: &[&str]) -> Result<String> {
    let mut text = String::from("Decisions\n");
    let began = decisions.first().map_or(0.0, |d| d.at);
    for d in decisions {
        let limit = |l| amount(l).map_or_else(|| "none".to_owned(), |a| format!("{a:.0}"));
        let change = format!("{} -> {}", limit(&d.from), limit(&d.to));
        let outcome = if d.outcome == "applied" { String::new() } else { format!(" ({})", d.outcome) };
        // The reason begins with the action where a rule decided, and has its numbers behind a semicolon.
        let why = if d.why.starts_with(&d.action) { d.why.clone() } else { format!("{}; {}", d.action, d.why) };
        let mut why = why.split("; ");
        writeln!(text, "{:>6.1}s {:<5}  {change:<11}  {}{outcome}", d.at - began, d.structure, why.next().unwrap_or_default())?;
        for more in why {
            writeln!(text, "{:>16}{more}", "")?;
        }
    }
    writeln!(
        text,
        "\n{:<6}{:>8}{:>11}{:>10}{:>13}{:>14}{:>17}",
        "", "used", "allocated", "reserved", "utilization", "fixed at max", "throttled"
    )?;
    for name in names {
        let of = |all: &[Container]| {
            all.iter().find(|c| c.name() == *name).cloned().with_context(|| format!("{name} is not in the status"))
        };
        let (first, last) = (of(before)?, of(after)?);
        let (Some(a), Some(b)) = (first.cpu(), last.cpu()) else { continue };
        let (used, allocated, reserved) =
            (b.areas.used - a.areas.used, b.areas.allocated - a.areas.allocated, b.areas.reserved - a.areas.reserved);
        let per_cent = |part: f64, whole: f64| if whole > 0.0 { format!("{:.0} %", part / whole * 100.0) } else { "-".into() };
        let zero = Throttling { periods: 0, throttled_periods: 0 };
        let (t0, t1) = (first.throttling.unwrap_or(zero), last.throttling.unwrap_or(zero));
        let throttled = format!("{} of {}", t1.throttled_periods - t0.throttled_periods, t1.periods - t0.periods);
        writeln!(
            text,
            "{name:<6}{used:>8.0}{allocated:>11.0}{reserved:>10.0}{:>13}{:>14}{throttled:>17}",
            per_cent(used, allocated),
            per_cent(used, reserved),
        )?;
    }
    if !decisions.iter().any(|d| d.structure == names[0] && d.action == "CpuRescaleUp") {
        text.push_str(
            "The load never came near the limit: this machine is too busy with other things to show the five phases.\n",
        );
    }
    text.push_str("used, allocated, reserved (at max all the time): share-seconds, 100 = one core for\na second; utilization: used / allocated; throttled: periods of the kernel's.\n");
    Ok(text)
}
