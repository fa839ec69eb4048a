use proptest::prelude::*;

use super::*;

/// What the kernel checks at every write, but for its place in the tree.
fn accepted(state: Bandwidth) -> bool {
    let burst_us = state.burst_us.unwrap_or(0);
    state.quota_us.is_none_or(|quota_us| quota_us >= 1_000 && burst_us <= quota_us)
        && (1_000..=1_000_000).contains(&state.period_us)
}

fn bandwidth() -> impl Strategy<Value = Bandwidth> {
    let quota = prop_oneof![Just(None), (1_000_u64..100_000).prop_map(Some)];
    let period = prop_oneof![Just(100_000_u64), 1_000_u64..=1_000_000];
    (quota, period, 0.0..=1.0_f64).prop_map(|(quota_us, period_us, part)| {
        let burst_us = whole((quota_us.unwrap_or(50_000) as f64 * part).floor());
        Bandwidth { quota_us, period_us, burst_us }
    })
}

fn walk(from: Bandwidth, steps: &Steps) -> Vec<Bandwidth> {
    let mut states = vec![from];
    states.extend(steps.iter().scan(from, |state, step| {
        *state = state.after(*step);
        Some(*state)
    }));
    states
}

proptest! {
    #[test]
    fn every_state_on_the_way_is_one_that_the_kernel_accepts(from in bandwidth(), to in bandwidth(), v1: bool) {
        let version = if v1 { Version::V1 } else { Version::V2 };
        let steps = steps(version, from, to);
        let states = walk(from, &steps);
        prop_assert_eq!(states.last(), Some(&to));
        for state in &states {
            prop_assert!(accepted(*state), "{} on the way from {} to {}", state, from, to);
            let shares = state.shares().amount();
            let known = [None, from.shares().amount(), to.shares().amount()];
            prop_assert!(known.contains(&shares), "{} is neither the old share nor the new one", state);
        }
    }

    #[test]
    fn undoing_from_anywhere_leads_back(from in bandwidth(), to in bandwidth(), v1: bool, done in 0_usize..4) {
        let version = if v1 { Version::V1 } else { Version::V2 };
        let mut done: Steps = steps(version, from, to).into_iter().take(done).collect();
        let reached = walk(from, &done).pop().unwrap();
        done.reverse();
        let back: Steps = done.iter().map(|step| from.restoring(*step)).collect();
        let states = walk(reached, &back);
        prop_assert_eq!(states.last(), Some(&from));
        prop_assert!(states.iter().all(|state| accepted(*state)));
    }

    #[test]
    fn a_limit_that_was_read_is_the_kernels_numbers_again(state in bandwidth()) {
        prop_assert_eq!(Bandwidth::of(&state.limit()), state);
    }

    #[test]
    fn what_stands_is_not_written(state in bandwidth(), v1: bool) {
        let version = if v1 { Version::V1 } else { Version::V2 };
        prop_assert!(steps(version, state, state).is_empty());
    }
}

#[test]
fn a_raise_moves_the_quota_first_and_a_drop_the_burst() {
    let low = Bandwidth { quota_us: Some(20_000), period_us: 100_000, burst_us: Some(20_000) };
    let high = Bandwidth { quota_us: Some(50_000), period_us: 100_000, burst_us: Some(50_000) };
    for (version, quota) in [
        (Version::V1, [Step::Quota(Some(50_000)), Step::Quota(Some(20_000))]),
        (Version::V2, [Step::Both(Some(50_000), 100_000), Step::Both(Some(20_000), 100_000)]),
    ] {
        assert_eq!(steps(version, low, high).as_slice(), [quota[0], Step::Burst(50_000)]);
        assert_eq!(steps(version, high, low).as_slice(), [Step::Burst(20_000), quota[1]]);
    }
}
