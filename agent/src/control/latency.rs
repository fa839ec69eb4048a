//! How long things take, in histograms of the control thread's own; summaries of them are published.

use std::collections::BTreeMap;
use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::status::Latency;

/// Upper bounds of the published buckets, in µs.
const BOUNDS: [f64; 14] = [20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7];

/// How often summaries are worked out at most.
const EVERY_NS: u64 = 2_000_000_000;

/// One histogram, in ns, of two significant digits up to 100 s.
#[derive(Debug)]
struct Timer {
    histogram: Histogram<u64>,
    sum_ns: f64,
    /// As worked out last: that takes a walk over the whole histogram.
    summary: Latency,
}

impl Timer {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1_000, 100_000_000_000, 2);
        // The bounds are constants that the crate accepts; an unbounded one would do as well.
        Self {
            histogram: histogram.unwrap_or_else(|_| Histogram::new(2).unwrap_or_else(|_| unreachable!("2 digits are valid"))),
            sum_ns: 0.0,
            summary: Latency::default(),
        }
    }

    fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.max(1));
        self.sum_ns += ns as f64;
    }

    fn summary(&mut self) -> Latency {
        // What has not been recorded again is as it was; without buckets it was never worked out.
        if self.summary.buckets.is_empty() || self.summary.count != self.histogram.len() {
            self.summary = self.worked_out();
        }
        self.summary.clone()
    }

    fn worked_out(&self) -> Latency {
        let us = |ns: u64| ns / 1_000;
        Latency {
            count: self.histogram.len(),
            sum_us: self.sum_ns / 1e3,
            buckets: BOUNDS
                .iter()
                .map(|&bound| {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the bounds are small constants")]
                    let ns = (bound * 1e3) as u64;
                    (bound, self.histogram.count_between(0, ns))
                })
                .collect(),
            p50_us: us(self.histogram.value_at_quantile(0.5)),
            p99_us: us(self.histogram.value_at_quantile(0.99)),
            max_us: us(self.histogram.max()),
        }
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timed {
    /// From the end of the deciding window (or the kernel's early word) to the finished write.
    Reaction,
    /// Of these, from the kernel's early word on.
    Early,
    /// Reading every container's CPU time once.
    Sampling,
    /// One CPU quota write, read back.
    CpuWrite,
    /// One write on a writer thread.
    SlowWrite,
    /// One whole step of the loop.
    Step,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Latencies {
    timers: [(&'static str, Timer); 6],
    published: Arc<BTreeMap<&'static str, Latency>>,
    published_ns: u64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        let names = ["reaction", "early_reaction", "sampling", "cpu_write", "slow_write", "step"];
        Self { timers: names.map(|name| (name, Timer::new())), published: Arc::default(), published_ns: 0 }
    }

    pub(super) fn record(&mut self, what: Timed, ns: u64) {
        self.timers[what as usize].1.record(ns);
    }

    /// The summaries, worked out every two seconds.
    pub(super) fn summaries(&mut self, now_ns: u64) -> Arc<BTreeMap<&'static str, Latency>> {
        if now_ns.saturating_sub(self.published_ns) >= EVERY_NS {
            self.published = Arc::new(self.timers.iter_mut().map(|(name, timer)| (*name, timer.summary())).collect());
            self.published_ns = now_ns;
        }
        Arc::clone(&self.published)
    }
}
