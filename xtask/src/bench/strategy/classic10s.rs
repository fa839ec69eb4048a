//! The classic rules as the earlier framework ran them: a monitor writes the usage to a database every 5 s, the Guardian judges every
//! 10 s a window of 10 s that ended 10 s ago (`WINDOW_TIMELAPSE` and `WINDOW_DELAY`), the Scaler asks for requests every 5 s. The rules
//! and the policy's code are the very ones of the agent.

use std::collections::VecDeque;
use std::sync::Arc;

use headroom_model::policy::guardian::{self, Guarded, Guardian, Judgement, Subject};
use headroom_model::policy::rules::RuleSet;
use headroom_model::policy::thresholds::Boundary;
use headroom_model::profile::Profile;
use headroom_model::resource::{Resource, ResourceSet};

use super::Bounds;
use super::decide::{Decider, Reading};

/// The defaults of `EVENT_TIMEOUT`, `WINDOW_TIMELAPSE` and `WINDOW_DELAY`, in s.
const EVENT_TIMEOUT: f64 = 100.0;
const WINDOW: f64 = 10.0;
const DELAY: f64 = 10.0;
/// The monitor's and the Scaler's intervals, in ticks, and the Guardian's. The Scaler's stands in the middle of the monitor's.
const FEED: u64 = 2;
const JUDGE: u64 = 4;

/// One container's state.
pub(super) struct Classic10s {
    guardian: Guardian,
    subject: Subject,
    out: Judgement,
    bounds: Bounds,
    limit: f64,
    ticks: u64,
    /// What the database has: when, and the CPU time used until then.
    feed: VecDeque<(f64, f64)>,
    /// A request that the Scaler has not seen yet.
    pending: Option<f64>,
}

impl Classic10s {
    /// Begins at `max`; `boundary` is in shares.
    pub(super) fn new(bounds: Bounds, boundary: f64) -> Self {
        let mut subject = Subject::new("container");
        let Bounds { min, max } = bounds;
        let guarded = guardian::Bounds { min, max, boundary: Boundary::absolute(boundary), weight: 1.0 };
        subject.resources[Resource::Cpu] = Some(Guarded::new(guarded, Some(max), None));
        Self {
            guardian: Guardian::new(Arc::new(RuleSet::compile(&Profile::Classic.rules())), EVENT_TIMEOUT, false),
            subject,
            out: Judgement::default(),
            bounds,
            limit: max,
            ticks: 0,
            feed: VecDeque::new(),
            pending: None,
        }
    }

    /// Mean usage between two points of the feed, in shares; `None` where it does not reach back so far.
    fn mean(&self, from: f64, to: f64) -> Option<f64> {
        // Real ticks are a little late at times.
        let used = |at: f64| self.feed.iter().find(|(when, _)| (when - at).abs() < 0.5 * Self::TICK);
        let ((from, before), (to, after)) = (used(from)?, used(to)?);
        Some((after - before) / (to - from) * 100.0)
    }

    fn judge(&mut self, now: f64) {
        const CPU: ResourceSet = ResourceSet::only(Resource::Cpu);
        let usage = self.mean(now - DELAY - WINDOW, now - DELAY);
        if let Some(guarded) = &mut self.subject.resources[Resource::Cpu] {
            guarded.usage = usage;
        }
        self.guardian.judge(&mut self.subject, CPU, now, &mut self.out);
        self.subject.next_window(CPU);
        if let Some(request) = self.out.requests.last() {
            self.pending = Some(request.amount);
        }
    }
}

impl Decider for Classic10s {
    const TICK: f64 = 2.5;

    fn limit(&self) -> f64 {
        self.limit
    }

    fn tick(&mut self, now: Reading) -> f64 {
        if self.ticks.is_multiple_of(FEED) {
            self.feed.push_back((now.at, now.used));
            self.feed.retain(|(at, _)| *at >= now.at - DELAY - WINDOW - Self::TICK);
            if self.ticks.is_multiple_of(JUDGE) {
                self.judge(now.at);
            }
        } else if let Some(amount) = self.pending.take() {
            self.limit = (self.limit + amount).clamp(self.bounds.min, self.bounds.max);
            self.subject.set_limit(Resource::Cpu, self.limit, false);
        }
        self.ticks += 1;
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the limit has changed, and to what, with `usage(at)` in shares.
    fn run(seconds: f64, usage: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        let mut classic = Classic10s::new(Bounds { min: 10.0, max: 200.0 }, 25.0);
        let (mut at, mut used, mut limits) = (0.0, 0.0, vec![(0.0, classic.limit())]);
        while at <= seconds {
            let limit = classic.tick(Reading { at, used, throttled: 0 });
            if limits.last().is_none_or(|last| (last.1 - limit).abs() > 0.0) {
                limits.push((at, limit));
            }
            used += usage(at).min(limit) / 100.0 * Classic10s::TICK;
            at += Classic10s::TICK;
        }
        limits
    }

    #[test]
    fn it_takes_as_long_as_it_did() {
        // Six windows down: the first is judged at 20 s, the sixth at 70 s, and the Scaler sees it 2.5 s later.
        let limits = run(150.0, |_| 20.0);
        assert_eq!(limits, [(0.0, 200.0), (72.5, 60.0)], "min + 2 m");
        // A rise at 150 s: the window of 150..160 s is judged at 170 s, the next at 180 s.
        let limits = run(200.0, |at| if at < 150.0 { 20.0 } else { 150.0 });
        assert_eq!(limits, [(0.0, 200.0), (72.5, 60.0), (182.5, 135.0)]);
    }
}
