//! When a container's window began: with everybody's, or with its burst. Pure.

/// What stood when a window began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// When, `CLOCK_MONOTONIC` ns.
    pub(super) at_ns: u64,
    /// The CPU time used until then, in ns.
    pub(super) used_ns: u64,
}

impl Opening {
    /// Mean usage in shares from here to `until`.
    pub(super) fn mean(self, until: Self) -> f64 {
        shares(until.used_ns.saturating_sub(self.used_ns), until.at_ns.saturating_sub(self.at_ns))
    }

    /// At a border: where the window should have begun instead, so that the border does not cut a burst in two. That is when the container
    /// woke, if it did nothing before and has used more than `upper` since, though not over the whole window. Cut there, each half may use
    /// almost as much as a whole window before anyone can know. `None`: the border stands.
    pub(super) fn with_burst(self, woke_ns: Option<u64>, border: Self, upper: f64) -> Option<Self> {
        let woken = Self { at_ns: woke_ns.filter(|woke_ns| (self.at_ns + 1..border.at_ns).contains(woke_ns))?, ..self };
        (self.mean(border) <= upper && woken.mean(border) > upper).then_some(woken)
    }
}

/// Mean usage in shares of `used_ns` over `length_ns`.
pub(super) fn shares(used_ns: u64, length_ns: u64) -> f64 {
    used_ns as f64 / length_ns as f64 * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A window from 1000 ms on, when 500 ms had been used.
    const OPENED: Opening = Opening { at_ns: 1_000 * MS, used_ns: 500 * MS };

    /// Its end, with `used_ms` used in it.
    fn border(used_ms: u64) -> Opening {
        Opening { at_ns: 1_100 * MS, used_ns: (500 + used_ms) * MS }
    }

    #[test]
    fn a_burst_that_a_border_would_cut_begins_the_window() {
        // 9 ms of two threads, which the kernel side saw from 1091 ms on.
        let moved = OPENED.with_burst(Some(1_091 * MS), border(18), 18.6);
        assert_eq!(moved, Some(Opening { at_ns: 1_091 * MS, used_ns: 500 * MS }));
        // It is moved once: at the next border it woke no later than it began.
        assert_eq!(moved.unwrap().with_burst(Some(1_091 * MS), Opening { at_ns: 1_200 * MS, used_ns: 519 * MS }, 18.6), None);
    }

    #[test]
    fn what_is_no_burst_leaves_the_border() {
        // Steady within its limit from somewhere in the window on.
        assert_eq!(OPENED.with_burst(Some(1_020 * MS), border(8), 18.6), None);
        // Over the whole window: that is judged as it is.
        assert_eq!(OPENED.with_burst(Some(1_080 * MS), border(20), 18.6), None);
        // Running since before the window, or as told of an earlier one.
        assert_eq!(OPENED.with_burst(Some(1_000 * MS), border(18), 18.6), None);
        assert_eq!(OPENED.with_burst(Some(300 * MS), border(18), 18.6), None);
        // Nobody can say when it woke.
        assert_eq!(OPENED.with_burst(None, border(18), 18.6), None);
        assert_eq!(OPENED.with_burst(Some(1_100 * MS), border(18), 18.6), None);
    }

    #[test]
    fn the_window_it_begins_is_less_than_two_long() {
        // The latest that a mean over `upper` can have woken is a whole window before its threshold.
        for used_ms in 1..=18 {
            for woke_ms in 1_001..1_100 {
                if let Some(moved) = OPENED.with_burst(Some(woke_ms * MS), border(used_ms), 18.0) {
                    assert!(border(0).at_ns - moved.at_ns < 100 * MS);
                    // What rings next is known sooner than if the border had stood.
                    let left = 0.18 * (100.0 + (1_100 - woke_ms) as f64) - used_ms as f64;
                    assert!(left < 18.0, "{left} ms are left after {used_ms} ms since {woke_ms} ms");
                }
            }
        }
    }
}
