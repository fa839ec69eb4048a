//! What the kernel says of a container while its workload runs.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::bench::ground::Container;
use crate::bench::strategy::{Cpu, Throttled};

/// How often is looked.
const EVERY: Duration = Duration::from_millis(10);
/// Length of a window of usage, in s.
pub(super) const WINDOW: f64 = 0.1;

/// A thread that looks at a container.
pub(super) struct Meter {
    end: Sender<()>,
    thread: JoinHandle<Result<Measured>>,
}

/// One look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// In s since the beginning.
    pub(super) at: f64,
    /// CPU time used since then, in s.
    pub(super) used: f64,
    /// The limit in force, in shares; `max` where there is none.
    pub(super) limit: f64,
}

/// A whole run.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// When it began, in s since the epoch.
    pub(super) began: f64,
    /// The first at 0 s, the last at the end.
    pub(super) samples: Vec<Sample>,
    pub(super) throttled: Throttled,
}

impl Meter {
    /// Begins now. `max`: what a container without a limit is counted as, in shares.
    pub(super) fn start(container: &Container, max: f64) -> Result<Self> {
        let cpu = Cpu::open(container)?;
        let (end, ended) = channel();
        let thread = std::thread::Builder::new().name("meter".into()).spawn(move || {
            let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
            let (start, used, throttled) = (Instant::now(), cpu.used()?, cpu.throttled()?);
            let mut samples = Vec::new();
            loop {
                let at = start.elapsed().as_secs_f64();
                let limit = cpu.limit()?.map_or(max, |limit| limit.min(max));
                samples.push(Sample { at, used: cpu.used()? - used, limit });
                if ended.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            let now = cpu.throttled()?;
            let throttled = Throttled { periods: now.periods - throttled.periods, seconds: now.seconds - throttled.seconds };
            Ok(Measured { began, samples, throttled })
        })?;
        Ok(Self { end, thread })
    }

    pub(super) fn stop(self) -> Result<Measured> {
        drop(self.end);
        match self.thread.join() {
            Ok(measured) => measured,
            Err(_) => bail!("the thread that measures panicked"),
        }
    }
}

impl Measured {
    /// How long it ran, in s.
    pub(super) fn span(&self) -> f64 {
        self.samples.last().map_or(0.0, |last| last.at)
    }

    /// Used share-seconds.
    pub(super) fn used(&self) -> f64 {
        self.samples.last().map_or(0.0, |last| last.used * 100.0)
    }

    /// Allocated share-seconds: the limit's area. A limit counts until the next look.
    pub(super) fn allocated(&self) -> f64 {
        self.samples.windows(2).map(|pair| pair[0].limit * (pair[1].at - pair[0].at)).sum()
    }

    /// Mean usage, in shares.
    pub(super) fn mean(&self) -> f64 {
        self.used() / self.span()
    }

    /// The highest mean over 1 s, in shares.
    pub(super) fn peak(&self) -> f64 {
        self.means(1.0).into_iter().fold(0.0, f64::max)
    }

    /// Mean usage over each window of 100 ms, in shares.
    pub(super) fn usage(&self) -> Vec<f64> {
        self.means(WINDOW)
    }

    /// Mean usage over each whole window of so many seconds, in shares. Between two looks usage is taken as even.
    fn means(&self, window: f64) -> Vec<f64> {
        let (mut means, mut before) = (Vec::new(), 0.0);
        for pair in self.samples.windows(2) {
            let [from, to] = [pair[0], pair[1]];
            let mut end = window * (means.len() + 1) as f64;
            while end <= to.at {
                let used = from.used + (to.used - from.used) * (end - from.at) / (to.at - from.at);
                means.push((used - before) / window * 100.0);
                before = used;
                end = window * (means.len() + 1) as f64;
            }
        }
        means
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(samples: &[(f64, f64, f64)]) -> Measured {
        let samples = samples.iter().map(|&(at, used, limit)| Sample { at, used, limit }).collect();
        Measured { began: 0.0, samples, throttled: Throttled::default() }
    }

    #[test]
    fn areas_and_means() {
        // Half a second at 100 shares under a limit of 120, then idle under 20.
        let run = measured(&[(0.0, 0.0, 120.0), (0.25, 0.25, 120.0), (0.5, 0.5, 20.0), (2.0, 0.5, 20.0)]);
        let figures = [run.used(), run.allocated(), run.mean(), run.peak()];
        assert_eq!(figures.map(|figure| format!("{figure:.0}")), ["50", "90", "25", "50"]);
        let usage: Vec<String> = run.usage().iter().map(|usage| format!("{usage:.0}")).collect();
        assert_eq!((usage.len(), usage[..6].join(" ").as_str()), (20, "100 100 100 100 100 0"));
    }
}
