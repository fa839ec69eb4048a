//! What the kernel side costs, by the kernel's own statistics of BPF programs.

use std::os::fd::OwnedFd;
use std::time::Duration;

use aya::sys::{Stats, enable_stats};

use super::{EbpfSource, Program, unavailable};
use crate::sampler::SamplerError;

/// Runs of a program while [`keep_statistics`]' handle was held. Both only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many.
    pub runs: u64,
    /// How long in sum.
    pub time: Duration,
}

impl Cost {
    /// Mean of the runs since `before`, in ns; `None` when there were none.
    pub fn mean_ns_since(self, before: Self) -> Option<f64> {
        let runs = self.runs.checked_sub(before.runs).filter(|runs| *runs > 0)?;
        Some(self.time.saturating_sub(before.time).as_nanos() as f64 / runs as f64)
    }
}

/// Makes the kernel count and time the runs of all BPF programs, as long as the handle lives. That itself costs some tens
/// of ns a run, and is part of the times: compare with [`super::Program::Empty`].
pub fn keep_statistics() -> Result<OwnedFd, SamplerError> {
    enable_stats(Stats::RunTime).map_err(|e| unavailable("enabling the statistics of BPF programs", &e))
}

impl EbpfSource {
    /// What its program on CPU time has cost so far.
    pub fn cost(&self) -> Result<Cost, SamplerError> {
        self.cost_of(self.program)
    }

    /// What one of its programs has cost so far.
    pub fn cost_of(&self, program: Program) -> Result<Cost, SamplerError> {
        let name = program.name();
        let doing = || format!("reading the statistics of {name}");
        let program = self.ebpf.program(name).ok_or_else(|| SamplerError::Ebpf { why: doing() })?;
        let info = program.info().map_err(|e| unavailable(doing(), &e))?;
        Ok(Cost { runs: info.run_count(), time: info.run_time() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_of_the_runs_between() {
        let cost = |runs, ns| Cost { runs, time: Duration::from_nanos(ns) };
        assert_eq!(cost(30, 2500).mean_ns_since(cost(10, 500)), Some(100.0));
        assert_eq!(cost(10, 500).mean_ns_since(cost(10, 500)), None);
    }
}
