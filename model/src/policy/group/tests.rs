use proptest::prelude::*;

use super::*;

const CPU: Resource = Resource::Cpu;
const ROOM: [f64; 2] = [f64::INFINITY; 2];

fn member(host: usize, current: f64, usage: f64) -> Member {
    Member { current, usage: Some(usage), min: 20.0, max: 200.0, host }
}

#[test]
fn upwards_by_need() {
    // Below its floor, whatever it uses; below its usage; then the least slack.
    let members = [member(0, 100.0, 90.0), member(1, 100.0, 120.0), member(1, 10.0, 0.0)];
    assert_eq!(split(CPU, 5.0, &members, &ROOM), [0.0, 0.0, 5.0]);
    assert_eq!(split(CPU, 10.0, &members, &ROOM), [0.0, 0.0, 10.0]);
    assert_eq!(split(CPU, 30.0, &members, &ROOM), [0.0, 20.0, 10.0]);
    // 120 of 120 used, then as tight as the first: 10 apart each.
    assert_eq!(split(CPU, 40.0, &members, &ROOM), [0.0, 30.0, 10.0]);
    // The need is worked out again after each slice; of equals the first.
    assert_eq!(split(CPU, 50.0, &members, &ROOM), [5.0, 35.0, 10.0]);
    assert_eq!(split(CPU, 55.0, &members, &ROOM), [10.0, 35.0, 10.0]);
}

#[test]
fn downwards_the_reverse_and_never_below_the_floor() {
    let members = [member(0, 100.0, 90.0), member(1, 100.0, 20.0), member(1, 24.0, 0.0), member(0, 40.0, 60.0)];
    assert_eq!(split(CPU, -30.0, &members, &ROOM), [0.0, -30.0, 0.0, 0.0]);
    // 24 has no whole slice to give above its floor of 20, though it uses nothing.
    assert_eq!(split(CPU, -300.0, &members, &ROOM), [-80.0, -80.0, 0.0, -20.0]);
    // Who uses more than it has gives last.
    assert_eq!(split(CPU, -110.0, &members, &ROOM), [-30.0, -80.0, 0.0, 0.0]);
    let tiny = Member { min: 0.0, ..member(0, 6.0, 0.0) };
    assert_eq!(split(CPU, -10.0, std::slice::from_ref(&tiny), &ROOM), [-5.0], "not below 1");
}

#[test]
fn the_last_slice_is_what_is_left_and_energy_has_slices_of_one() {
    let members = [member(0, 100.0, 90.0), member(0, 100.0, 91.0)];
    assert_eq!(split(CPU, 12.0, &members, &ROOM), [5.0, 7.0]);
    assert_eq!(split(Resource::Energy, 3.0, &members, &ROOM), [1.0, 2.0]);
    assert_eq!(split(CPU, 0.0, &members, &ROOM), [0.0, 0.0]);
    assert_eq!(split(CPU, 10.0, &[], &ROOM), [0.0; 0]);
}

#[test]
fn what_one_host_cannot_grant_goes_elsewhere_and_what_fits_nowhere_is_not_granted() {
    let members = [member(0, 100.0, 100.0), member(1, 100.0, 20.0)];
    assert_eq!(split(CPU, 50.0, &members, &[12.0, 100.0]), [10.0, 40.0]);
    assert_eq!(split(CPU, 50.0, &members, &[12.0, 8.0]), [10.0, 5.0]);
    assert_eq!(split(CPU, 500.0, &members, &ROOM), [100.0, 100.0]);
    assert_eq!(split(CPU, 50.0, &members, &[0.0, 0.0]), [0.0, 0.0]);
}

#[test]
fn a_usage_that_is_not_known_is_no_zero() {
    let unknown = Member { usage: None, ..member(0, 100.0, 0.0) };
    let members = [unknown, member(0, 100.0, 85.0)];
    assert_eq!(split(CPU, -10.0, &members, &ROOM), [0.0, -10.0], "it is not the first to give");
}

#[test]
fn what_nobody_can_look_at_counts_as_held() {
    assert_eq!(within(75.0, 200.0, 0.0, 400.0), 75.0);
    assert_eq!(within(75.0, 200.0, 150.0, 400.0), 50.0);
    assert_eq!(within(75.0, 200.0, 250.0, 400.0), -50.0, "above its max already: it has to give back");
}

#[test]
fn who_joins_begins_with_its_part_of_what_is_left() {
    assert_eq!(first(50.0, 300.0, 400.0, 1), 200.0);
    assert_eq!(first(50.0, 150.0, 400.0, 1), 150.0);
    assert_eq!(first(50.0, 300.0, 60.0, 1), 50.0, "no less than its min");
    assert_eq!(first(0.0, 300.0, -40.0, 0), 1.0);
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let one = (0..300_u32, prop::option::of(0..400_u32), 0..100_u32, 0..300_u32, 0..3_usize).prop_map(
        |(current, usage, min, width, host)| Member {
            current: f64::from(current),
            usage: usage.map(f64::from),
            min: f64::from(min),
            max: f64::from(min + width),
            host,
        },
    );
    prop::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn never_more_than_asked_nor_than_there_is(amount in -600..600_i32, members in members(), free in prop::collection::vec(0..300_u32, 3)) {
        let (amount, free) = (f64::from(amount), free.into_iter().map(f64::from).collect::<Vec<_>>());
        let parts = split(CPU, amount, &members, &free);
        prop_assert_eq!(parts.len(), members.len());
        prop_assert!(parts.iter().all(|part| part * amount >= 0.0), "one way only");
        prop_assert!(parts.iter().sum::<f64>().abs() <= amount.abs());
        for (part, member) in parts.iter().zip(&members).filter(|(part, _)| **part != 0.0) {
            let to = member.current + part;
            let is_within = if amount > 0.0 { to <= member.max } else { to >= member.floor() };
            prop_assert!(is_within, "{to}");
        }
        for (host, free) in free.iter().enumerate() {
            let of_host: f64 = parts.iter().zip(&members).filter(|(_, member)| member.host == host).map(|(part, _)| *part).sum();
            prop_assert!(of_host <= *free);
        }
    }

    #[test]
    fn nothing_is_left_that_would_have_fitted(amount in 1..600_i32, members in members()) {
        let amount = f64::from(amount);
        let parts = split(CPU, amount, &members, &[f64::INFINITY; 3]);
        let left = amount - parts.iter().sum::<f64>();
        if left > 0.0 {
            let slice = left.min(slice(CPU));
            prop_assert!(members.iter().zip(&parts).all(|(member, part)| member.current + part + slice > member.max));
        }
    }

    #[test]
    fn a_group_stays_within_its_max(amount in -600..600_i32, members in members(), unseen in 0..400_u32, room in 0..600_u32) {
        let current: f64 = members.iter().map(|member| member.current).sum();
        let max = current + f64::from(unseen) + f64::from(room);
        let amount = within(f64::from(amount), current, f64::from(unseen), max);
        let granted: f64 = split(CPU, amount, &members, &[f64::INFINITY; 3]).iter().sum();
        prop_assert!(current + f64::from(unseen) + granted <= max);
    }
}
