//! CPU time that a virtual machine's host gave to others while a bench ran: what was measured meanwhile says as much about them.

use std::fs;

use anyhow::{Context as _, Result};

use super::Row;

/// The counters when it began.
pub(super) struct Stolen(Counted);

struct Counted {
    stolen: f64,
    all: f64,
}

impl Stolen {
    pub(super) fn since_now() -> Result<Self> {
        Ok(Self(counted()?))
    }

    /// How much of all CPUs' time it was since then.
    pub(super) fn row(&self, name: &str) -> Result<Row> {
        let now = counted()?;
        let part = (now.stolen - self.0.stolen) / (now.all - self.0.all).max(1.0);
        Ok(Row::told(format!("{name}: CPU time that the machine's host took meanwhile"), part * 100.0, "%"))
    }
}

fn counted() -> Result<Counted> {
    of(&fs::read_to_string("/proc/stat").context("/proc/stat")?).context("/proc/stat: expected a line `cpu` with 8 numbers")
}

/// The first line is of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal; proc(5).
fn of(stat: &str) -> Option<Counted> {
    let ticks = stat.lines().find_map(|line| line.strip_prefix("cpu "))?.split_whitespace().map(|word| word.parse().ok());
    let ticks: Vec<f64> = ticks.take(8).collect::<Option<_>>()?;
    Some(Counted { stolen: *ticks.get(7)?, all: ticks.iter().sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eighth_number_is_what_was_stolen() {
        let counted = of("cpu  10 20 30 400 5 0 5 30 7 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n").unwrap();
        assert_eq!([counted.stolen, counted.all].map(|ticks| ticks.to_string()), ["30", "500"]);
        assert!(of("cpu0 1 2 3 4 5 6 7 8\n").is_none() && of("cpu 1 2 3\n").is_none());
    }
}
