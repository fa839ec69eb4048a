//! Sharing out what is short.

use smallvec::SmallVec;

/// One that wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// How much, above 0.
    pub(super) amount: f64,
    /// How much of it is needed to reach its `min`: that is served before all others.
    pub(super) urgent: f64,
    /// Its weight.
    pub(super) weight: f64,
}

/// What each gets of `free`: all it wants where there is enough for all; else what is urgent first, then by weight x what it
/// still wants, in whole units, nobody more than it wants.
pub(super) fn split(free: f64, wants: &[Want]) -> SmallVec<[f64; 4]> {
    if wants.iter().map(|w| w.amount).sum::<f64>() <= free {
        return wants.iter().map(|w| w.amount).collect();
    }
    let urgent: SmallVec<[Want; 4]> = wants.iter().map(|w| Want { amount: w.urgent, ..*w }).collect();
    let mut given = by_weight(free, &urgent);
    let left = free - given.iter().sum::<f64>();
    let rest: SmallVec<[Want; 4]> = wants.iter().zip(&given).map(|(w, g)| Want { amount: w.amount - g, ..*w }).collect();
    for (given, more) in given.iter_mut().zip(by_weight(left, &rest)) {
        *given += more;
    }
    given
}

/// By weight x amount. Those that would get more than they want get just that, and the rest is shared out again.
fn by_weight(free: f64, wants: &[Want]) -> SmallVec<[f64; 4]> {
    let mut given: SmallVec<[f64; 4]> = SmallVec::from_elem(0.0, wants.len());
    let mut open: SmallVec<[usize; 4]> = (0..wants.len()).filter(|i| wants[*i].amount > 0.0).collect();
    let mut left = free;
    let unweighted = open.iter().all(|i| wants[*i].weight <= 0.0);
    let claim = |i: usize| wants[i].amount * if unweighted { 1.0 } else { wants[i].weight.max(0.0) };
    loop {
        let total: f64 = open.iter().map(|i| claim(*i)).sum();
        if open.is_empty() || left <= 0.0 || total <= 0.0 {
            return given;
        }
        let share = |i: usize| left * claim(i) / total;
        let Some(full) = open.iter().position(|i| share(*i) >= wants[*i].amount) else {
            return in_whole_units(given, left, &open, wants, share);
        };
        let i = open.remove(full);
        given[i] = wants[i].amount.min(left);
        left -= given[i];
    }
}

/// Whole units of each share; the units that this leaves over go to the largest remainders, first come first.
fn in_whole_units(
    mut given: SmallVec<[f64; 4]>,
    left: f64,
    open: &[usize],
    wants: &[Want],
    share: impl Fn(usize) -> f64,
) -> SmallVec<[f64; 4]> {
    let mut over = left.floor();
    for &i in open {
        given[i] = share(i).floor();
        over -= given[i];
    }
    let mut by_remainder: SmallVec<[usize; 4]> = open.into();
    by_remainder.sort_by(|a, b| share(*b).fract().total_cmp(&share(*a).fract()));
    for i in by_remainder {
        if over >= 1.0 && given[i] + 1.0 <= wants[i].amount {
            given[i] += 1.0;
            over -= 1.0;
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(of: &[(f64, f64)]) -> Vec<Want> {
        of.iter().map(|(amount, weight)| Want { amount: *amount, urgent: 0.0, weight: *weight }).collect()
    }

    #[test]
    fn enough_for_all() {
        assert_eq!(split(150.0, &wants(&[(75.0, 1.0), (75.0, 9.0)])).as_slice(), [75.0, 75.0]);
    }

    #[test]
    fn by_weight_times_amount() {
        assert_eq!(split(50.0, &wants(&[(75.0, 1.0), (75.0, 1.0)])).as_slice(), [25.0, 25.0]);
        assert_eq!(split(60.0, &wants(&[(75.0, 1.0), (75.0, 3.0)])).as_slice(), [15.0, 45.0]);
        assert_eq!(split(60.0, &wants(&[(100.0, 1.0), (50.0, 1.0)])).as_slice(), [40.0, 20.0]);
    }

    #[test]
    fn what_one_does_not_want_goes_to_the_others() {
        assert_eq!(split(100.0, &wants(&[(75.0, 1.0), (50.0, 9.0)])).as_slice(), [50.0, 50.0]);
    }

    #[test]
    fn whole_units_and_nothing_lost() {
        assert_eq!(split(100.0, &wants(&[(75.0, 1.0), (75.0, 1.0), (75.0, 1.0)])).as_slice(), [34.0, 33.0, 33.0]);
        assert_eq!(split(1.0, &wants(&[(75.0, 1.0), (75.0, 1.0)])).as_slice(), [1.0, 0.0]);
        assert_eq!(split(0.0, &wants(&[(75.0, 1.0)])).as_slice(), [0.0]);
    }

    #[test]
    fn no_weight_at_all_is_equal_weight() {
        assert_eq!(split(50.0, &wants(&[(75.0, 0.0), (75.0, 0.0)])).as_slice(), [25.0, 25.0]);
    }

    #[test]
    fn what_is_urgent_comes_first() {
        let wants = [Want { amount: 75.0, urgent: 0.0, weight: 1.0 }, Want { amount: 60.0, urgent: 40.0, weight: 1.0 }];
        assert_eq!(split(40.0, &wants).as_slice(), [0.0, 40.0]);
        assert_eq!(split(59.0, &wants).as_slice(), [15.0, 44.0]);
    }
}
