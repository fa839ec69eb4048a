//! By how much: the amount of a request, and its trim to the bounds.

use crate::policy::rules::Policy;
use crate::policy::thresholds::Thresholds;

/// The amount that a rule wants, in the resource's unit.
pub(super) fn wanted(policy: Policy, usage: f64, current: f64, thresholds: Thresholds, margin: f64) -> f64 {
    match policy {
        Policy::Amount(amount) => amount,
        Policy::FitToUsage => (usage + (margin / 2.0).trunc().max(1.0) + margin).trunc() - current,
        Policy::Proportional(amount) => {
            let Thresholds { upper, .. } = thresholds;
            (amount * ((usage - upper) / (current - upper)).min(1.0)).trunc()
        }
        Policy::Multiplicative(factor) => {
            let change = (current * (factor - 1.0)).trunc();
            if factor > 1.0 { change.max(1.0) } else { change.min(-1.0) }
        }
    }
}

/// The amount, trimmed so that `lower` stays at `min` or above, else so that the limit stays at `max` or below.
pub(super) fn trimmed(amount: f64, current: f64, lower: f64, min: f64, max: f64) -> f64 {
    if lower + amount < min {
        amount + (min - (lower + amount))
    } else if current + amount > max {
        amount - (current + amount - max)
    } else {
        amount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Thresholds = Thresholds { upper: 175.0, lower: 150.0 };

    #[test]
    fn worked_table() {
        assert_eq!(wanted(Policy::Amount(75.0), 176.0, 200.0, T, 25.0), 75.0);
        assert_eq!(trimmed(75.0, 200.0, 150.0, 50.0, 400.0), 75.0);
        let fit = wanted(Policy::FitToUsage, 20.0, 200.0, T, 25.0);
        assert_eq!(fit, -143.0);
        assert_eq!(trimmed(fit, 200.0, 150.0, 50.0, 400.0), -100.0);
        assert_eq!(trimmed(75.0, 380.0, 330.0, 50.0, 400.0), 20.0);
    }

    #[test]
    fn proportional_to_the_way_from_upper_to_the_limit() {
        let of = |usage| wanted(Policy::Proportional(75.0), usage, 200.0, T, 25.0);
        assert_eq!(of(187.5), 37.0);
        assert_eq!(of(200.0), 75.0);
        assert_eq!(of(260.0), 75.0);
        assert_eq!(of(176.0), 3.0);
    }

    #[test]
    fn multiplicative_moves_by_at_least_one() {
        let of = |factor, current| wanted(Policy::Multiplicative(factor), 0.0, current, T, 25.0);
        assert_eq!(of(1.5, 75.0), 37.0);
        assert_eq!(of(2.0, 20.0), 20.0);
        assert_eq!(of(1.5, 1.0), 1.0);
        assert_eq!(of(0.75, 100.0), -25.0);
        assert_eq!(of(0.9, 2.0), -1.0);
    }

    #[test]
    fn fit_to_usage_puts_the_usage_in_the_middle_of_the_stable_band() {
        // m = 25: limit 57, upper 32, lower 7; 20 is the middle of 7..32 but for what is truncated.
        assert_eq!(wanted(Policy::FitToUsage, 20.0, 100.0, T, 25.0), -43.0);
        // m = 1: half of it truncates to 0, so 1 is taken.
        assert_eq!(wanted(Policy::FitToUsage, 20.4, 100.0, T, 1.0), -78.0);
    }
}
