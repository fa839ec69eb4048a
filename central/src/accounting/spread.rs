//! An amount that grew over some time, told apart by when.

use headroom_model::accounting::Areas;

/// Amounts are told apart by so many seconds.
pub(super) const FINE: i64 = 300;

/// The coarser way, in seconds.
pub(super) const HOUR: i64 = 3600;

/// The coarsest, in seconds.
pub(super) const DAY: i64 = 86_400;

/// What grew over longer is told apart by the hour.
const LONG: f64 = 7200.0;

/// A part of an amount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    /// Seconds since the epoch, a multiple of `length`.
    pub(super) start: i64,
    /// [`FINE`] or [`HOUR`].
    pub(super) length: i64,
    pub(super) areas: Areas,
}

/// Spreads an amount evenly over `from..to`, in seconds since the epoch. The parts' sum is the amount, to the last bit that matters: the last
/// part is what the others leave.
pub(super) fn spread(areas: Areas, from: f64, to: f64) -> Vec<Part> {
    let length = if to - from > LONG { HOUR } else { FINE };
    let (first, last) = (start(from.min(to), length), start(to, length));
    let mut rest = areas;
    let mut parts = Vec::new();
    let mut begin = first;
    while begin < last {
        let share = ((begin + length) as f64 - from.max(begin as f64)) / (to - from);
        let part = Areas { used: areas.used * share, allocated: areas.allocated * share, reserved: areas.reserved * share };
        rest = less(rest, part);
        parts.push(Part { start: begin, length, areas: part });
        begin += length;
    }
    parts.push(Part { start: last, length, areas: rest });
    parts
}

/// Where the time of this length begins that a moment is in.
#[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch")]
pub(super) fn start(at: f64, length: i64) -> i64 {
    (at as i64).div_euclid(length) * length
}

/// `a - b`, never below 0.
pub(super) fn less(a: Areas, b: Areas) -> Areas {
    let less = |a: f64, b: f64| (a - b).max(0.0);
    Areas { used: less(a.used, b.used), allocated: less(a.allocated, b.allocated), reserved: less(a.reserved, b.reserved) }
}

/// Adds `more` to `areas`.
pub(super) fn add(areas: &mut Areas, more: Areas) {
    areas.used += more.used;
    areas.allocated += more.allocated;
    areas.reserved += more.reserved;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn areas(used: f64) -> Areas {
        Areas { used, allocated: 2.0 * used, reserved: 4.0 * used }
    }

    #[test]
    fn each_time_has_its_share() {
        let parts = spread(areas(100.0), 250.0, 650.0);
        let shares: Vec<(i64, f64)> = parts.iter().map(|p| (p.start, p.areas.used)).collect();
        assert_eq!(shares, [(0, 12.5), (300, 75.0), (600, 12.5)]);
        assert_eq!(spread(areas(1.0), 610.0, 615.0), [Part { start: 600, length: FINE, areas: areas(1.0) }]);
        // Nothing is known of how long it took.
        assert_eq!(spread(areas(1.0), 615.0, 615.0), [Part { start: 600, length: FINE, areas: areas(1.0) }]);
        assert_eq!(spread(areas(1.0), 10_000.0, 615.0), [Part { start: 600, length: FINE, areas: areas(1.0) }]);
        let long = spread(areas(30.0), 1800.0, 1800.0 + 3.0 * 3600.0);
        let shares: Vec<(i64, i64, f64)> = long.iter().map(|p| (p.start, p.length, p.areas.used)).collect();
        assert_eq!(shares, [(0, HOUR, 5.0), (3600, HOUR, 10.0), (7200, HOUR, 10.0), (10_800, HOUR, 5.0)]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_added(used in 0.0..1e9_f64, from in 0.0..2e9_f64, length in 0.0..1e6_f64) {
            let parts = spread(areas(used), from, from + length);
            let sum: f64 = parts.iter().map(|p| p.areas.used).sum();
            prop_assert!((sum - used).abs() <= used * 1e-9, "{} and {}", sum, used);
            prop_assert!(parts.iter().all(|p| p.areas.used >= 0.0 && p.start % p.length == 0));
            prop_assert!(parts.windows(2).all(|w| w[0].start + w[0].length == w[1].start));
        }
    }
}
