//! The throttling counters read each second, as node agents of clusters do.
//!
//! Modelled on Koordinator's koordlet (`pkg/koordlet/qosmanager/plugins/cpuburst/cpu_burst.go`): each second a container that was
//! throttled since gets 1.2 times its quota, one that has to give back 0.8 times, within a floor and a ceiling; usage under 60 % counts as
//! saving there. Its token bucket, which ends a burst after minutes of overuse, and its watch over the whole node's load are left out: here
//! a container may keep what it uses.

use super::Bounds;
use super::decide::{Decider, Reading};

const UP: f64 = 1.2;
const DOWN: f64 = 0.8;
/// Usage under this part of the limit is low.
const LOW: f64 = 0.6;

/// One container's state.
pub(super) struct Polling {
    bounds: Bounds,
    limit: f64,
    last: Option<Reading>,
}

impl Polling {
    /// Begins at `max`.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, limit: bounds.max, last: None }
    }
}

impl Decider for Polling {
    const TICK: f64 = 1.0;

    fn limit(&self) -> f64 {
        self.limit
    }

    fn tick(&mut self, now: Reading) -> f64 {
        if let Some(last) = self.last.replace(now) {
            let usage = (now.used - last.used) / (now.at - last.at) * 100.0;
            let step = if now.throttled > last.throttled {
                UP
            } else if usage < LOW * self.limit {
                DOWN
            } else {
                1.0
            };
            self.limit = (self.limit * step).clamp(self.bounds.min, self.bounds.max);
        }
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttled_goes_up_and_low_goes_down() {
        let mut polling = Polling::new(Bounds { min: 10.0, max: 200.0 });
        let mut reading = Reading { at: 0.0, used: 0.0, throttled: 0 };
        let mut tick = |used: f64, throttled: u64| {
            (reading.at, reading.used, reading.throttled) =
                (reading.at + 1.0, reading.used + used, reading.throttled + throttled);
            format!("{:.0}", polling.tick(reading))
        };
        let limits =
            [(0.0, 0), (0.5, 0), (0.5, 0), (1.0, 0), (1.0, 3), (1.0, 1), (1.9, 9)].map(|(used, times)| tick(used, times));
        assert_eq!(limits, ["200", "160", "128", "128", "154", "184", "200"]);
    }
}
