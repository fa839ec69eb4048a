use std::sync::Arc;

use super::admission::{Admission, Applicant, Cause, NotAdmitted, admit};
use super::ledger::{Disk, Entry, Ledger, Share};
use super::plan::{Dropped, Grant, Outcome, Refusal, batches, grant};
use crate::limit::Limit;
use crate::policy::request::{Field, Request};
use crate::resource::{PerResource, Resource};

const CPU: Resource = Resource::Cpu;

fn ledger(host: f64, containers: &[(&str, f64, f64, f64)]) -> Ledger {
    let mut ledger = Ledger::new(PerResource::from_fn(|r| (r == CPU).then_some(host)), false);
    for (name, min, limit, max) in containers {
        ledger.set(&Arc::from(*name), CPU, Entry::guarded(*limit, Share { min: *min, max: *max, weight: 1.0 }));
    }
    ledger
}

fn request(structure: &str, amount: f64) -> Request {
    let (field, resource) = (Field::Current, CPU);
    let structure = structure.into();
    Request { structure, resource, field, amount, priority: 0.0, pair: None, timestamp: 100.0, why: None, asked: None }
}

fn max_request(structure: &str, amount: f64) -> Request {
    Request { field: Field::Max, ..request(structure, amount) }
}

fn paired(structure: &str, amount: f64, with: &str) -> Request {
    Request { pair: Some(with.into()), ..request(structure, amount) }
}

/// Plans and carries out, every write succeeding.
fn carry_out(ledger: &mut Ledger, requests: Vec<Request>) -> Vec<Grant> {
    let mut done = Vec::new();
    for group in &batches(requests, 100.0, 60.0).groups {
        for grant in grant(group, ledger) {
            if let Some(to) = grant.writes() {
                ledger.account(&grant, to);
            }
            done.push(grant);
        }
    }
    done
}

fn limit(ledger: &Ledger, name: &str) -> f64 {
    ledger.entry(name, CPU).unwrap().limit.amount().unwrap()
}

#[test]
fn old_and_superseded_requests_are_dropped() {
    let old = Request { timestamp: 39.0, ..request("a", 10.0) };
    let urgent = Request { priority: 2.0, timestamp: 50.0, ..request("b", 20.0) };
    let newer = Request { timestamp: 99.0, ..request("c", 30.0) };
    let plan = batches([old.clone(), urgent.clone(), request("b", 10.0), request("c", 11.0), newer.clone()], 100.0, 60.0);
    let dropped: Vec<Dropped> = plan.dropped.iter().map(|(_, why)| *why).collect();
    assert_eq!(dropped, [Dropped::TooOld { age: 61.0, timeout: 60.0 }, Dropped::Superseded, Dropped::Superseded]);
    assert_eq!(plan.dropped[0].0, old);
    let edge = Request { timestamp: 40.0, ..request("a", 10.0) };
    assert!(batches([edge], 100.0, 60.0).dropped.is_empty(), "exactly as old as the timeout is not older");
    let kept: Vec<f64> = carry_out(
        &mut ledger(1000.0, &[("b", 0.0, 10.0, 500.0), ("c", 0.0, 10.0, 500.0)]),
        vec![urgent, request("c", 11.0), newer],
    )
    .iter()
    .map(|g| g.to)
    .collect();
    assert_eq!(kept, [30.0, 21.0], "by priority; of two of the same, the newest");
}

#[test]
fn what_gives_back_goes_first() {
    let mut l =
        ledger(400.0, &[("a", 0.0, 100.0, 200.0), ("b", 0.0, 300.0, 300.0), ("c", 0.0, 0.0, 50.0), ("d", 0.0, 0.0, 50.0)]);
    let high = Request { priority: 9.0, ..request("a", 100.0) };
    let done = carry_out(&mut l, vec![high, max_request("c", 10.0), max_request("d", -10.0), request("b", -200.0)]);
    let order: Vec<&str> = done.iter().map(|g| &*g.request.structure).collect();
    assert_eq!(order, ["b", "d", "c", "a"]);
    assert_eq!((limit(&l, "a"), limit(&l, "b"), limit(&l, "c"), limit(&l, "d")), (200.0, 100.0, 60.0, 40.0));
}

#[test]
fn bounded_by_min_and_max() {
    let mut l = ledger(1000.0, &[("a", 50.0, 100.0, 200.0), ("b", 50.0, 500.0, 200.0), ("c", 50.0, 10.0, 200.0)]);
    let done = carry_out(&mut l, vec![request("a", -80.0), request("b", -10.0), request("c", 5.0)]);
    assert_eq!(done.iter().map(|g| g.to).collect::<Vec<_>>(), [50.0, 190.0, 50.0]);
    let back = carry_out(&mut ledger(100.0, &[("b", 50.0, 500.0, 200.0)]), vec![request("b", 75.0)]);
    assert_eq!((back[0].to, back[0].outcome), (200.0, Outcome::Granted), "a limit above max moves back to it");
    assert_eq!(
        carry_out(&mut ledger(500.0, &[("b", 50.0, 200.0, 200.0)]), vec![request("b", 75.0)])[0].outcome,
        Outcome::Unchanged
    );
}

#[test]
fn what_is_short_is_split_granted_in_part_or_not_at_all() {
    let mut l = ledger(300.0, &[("a", 0.0, 100.0, 400.0), ("b", 0.0, 150.0, 400.0)]);
    let done = carry_out(&mut l, vec![request("a", 75.0), request("b", 75.0)]);
    assert_eq!(
        done.iter().map(|g| (g.to, g.outcome)).collect::<Vec<_>>(),
        [(125.0, Outcome::Partial { wanted: 75.0 }), (175.0, Outcome::Partial { wanted: 75.0 })]
    );
    assert_eq!(carry_out(&mut l, vec![request("a", 75.0)])[0].outcome, Outcome::Starved { wanted: 75.0 });
    assert_eq!((l.held(CPU), l.free(CPU)), (300.0, Some(0.0)));
}

#[test]
fn higher_priority_is_served_before_others_get_anything() {
    let mut l = ledger(300.0, &[("a", 0.0, 100.0, 400.0), ("b", 0.0, 150.0, 400.0)]);
    let done = carry_out(&mut l, vec![request("a", 75.0), Request { priority: 1.0, ..request("b", 50.0) }]);
    assert_eq!((done[0].to, done[1].outcome), (200.0, Outcome::Starved { wanted: 75.0 }));
}

#[test]
fn an_over_committed_host_only_takes_back() {
    let mut l = ledger(200.0, &[("a", 50.0, 200.0, 400.0), ("b", 50.0, 150.0, 400.0)]);
    let done = carry_out(&mut l, vec![request("a", 10.0), request("b", -20.0)]);
    assert_eq!((done[0].outcome, done[1].outcome), (Outcome::Granted, Outcome::Starved { wanted: 10.0 }));
    assert_eq!(l.free(CPU), Some(0.0));
}

#[test]
fn what_was_not_written_is_not_accounted() {
    let l = ledger(300.0, &[("a", 0.0, 100.0, 400.0)]);
    let plan = batches([request("a", 75.0)], 100.0, 60.0);
    assert_eq!(grant(&plan.groups[0], &l)[0].writes(), Some(175.0));
    assert_eq!((limit(&l, "a"), l.free(CPU)), (100.0, Some(200.0)));
}

#[test]
fn refusals_say_why() {
    let mut l = ledger(500.0, &[("upside", 300.0, 100.0, 200.0), ("none", 0.0, 0.0, 100.0)]);
    l.set_limit("none", CPU, Limit::Unlimited);
    l.set(&Arc::from("free"), CPU, Entry { limit: Limit::At(50.0), share: None, disk: None });
    let done = carry_out(&mut l, vec![request("upside", 5.0), request("none", 5.0), request("free", 5.0), request("who", 5.0)]);
    let why: Vec<Outcome> = done.iter().map(|g| g.outcome).collect();
    let contradictory = Refusal::Contradictory { min: 300.0, max: 200.0 };
    let expected = [contradictory, Refusal::NoLimit, Refusal::NotGuarded, Refusal::UnknownStructure];
    assert_eq!(why, expected.map(Outcome::Refused));
}

#[test]
fn unguarded_limits_count_if_reserved_for() {
    let mut l = ledger(300.0, &[("a", 0.0, 100.0, 400.0)]);
    l.set(&Arc::from("other"), CPU, Entry { limit: Limit::At(150.0), share: None, disk: None });
    assert_eq!(l.free(CPU), Some(200.0));
    l.set_reserve_unguarded(true);
    assert_eq!(l.free(CPU), Some(50.0));
}

#[test]
fn pairs_are_done_whole_or_not_at_all() {
    let start = [("a", 50.0, 150.0, 200.0), ("b", 50.0, 150.0, 200.0)];
    let mut l = ledger(300.0, &start);
    let done = carry_out(&mut l, vec![paired("a", 40.0, "b"), paired("b", -40.0, "a")]);
    assert_eq!(done.iter().map(|g| (&*g.request.structure, g.to)).collect::<Vec<_>>(), [("b", 110.0), ("a", 190.0)]);
    let mut l = ledger(300.0, &start);
    let done = carry_out(&mut l, vec![paired("a", 60.0, "b"), paired("b", -60.0, "a")]);
    assert!(done.iter().all(|g| g.outcome == Outcome::Refused(Refusal::PairNotWhole)), "a would pass its max");
    assert_eq!(l.held(CPU), 300.0);
    for lonely in [vec![paired("a", 40.0, "b")], vec![paired("a", 40.0, "b"), paired("b", -30.0, "a")]] {
        let plan = batches(lonely, 100.0, 60.0);
        assert!(plan.groups.is_empty() && plan.dropped.iter().all(|(_, why)| *why == Dropped::PairIncomplete));
    }
}

#[test]
fn max_moves_and_the_limit_follows() {
    let mut l = ledger(300.0, &[("a", 50.0, 80.0, 200.0), ("b", 50.0, 100.0, 100.0)]);
    let done = carry_out(&mut l, vec![max_request("a", -80.0), max_request("b", 30.0)]);
    assert_eq!(done.iter().map(|g| (g.to, g.max)).collect::<Vec<_>>(), [(120.0, Some(120.0)), (130.0, Some(130.0))]);
    assert_eq!(l.entry("b", CPU).unwrap().share.unwrap().max, 130.0);
}

#[test]
fn reads_and_writes_of_a_disk_share_the_larger_bandwidth() {
    let disk: Option<Arc<str>> = Some("sda".into());
    let mut l = Ledger::default();
    l.set_disk("sda", Disk { max_read: 500.0, max_write: 400.0 });
    let share = Some(Share { min: 0.0, max: 500.0, weight: 1.0 });
    for (resource, limit) in [(Resource::DiskRead, 200.0), (Resource::DiskWrite, 150.0)] {
        l.set(&Arc::from("a"), resource, Entry { limit: Limit::At(limit), share, disk: disk.clone() });
    }
    assert_eq!(l.free_for(Resource::DiskRead, Some("sda"), None), Some(150.0));
    assert_eq!(l.free_for(Resource::DiskWrite, Some("sda"), None), Some(150.0));
    l.set_limit("a", Resource::DiskRead, Limit::At(20.0));
    assert_eq!(l.free_for(Resource::DiskWrite, Some("sda"), None), Some(250.0), "its own 400 is nearer than the 500 together");
    assert_eq!(l.free_for(Resource::DiskWrite, Some("sda"), Some("a")), Some(400.0));
    l.set_limit("a", Resource::DiskRead, Limit::At(420.0));
    assert_eq!(l.free_for(Resource::DiskWrite, Some("sda"), Some("a")), Some(80.0), "what it reads, it does not write as well");
    l.set_limit("a", Resource::DiskRead, Limit::At(20.0));
    let more = Request { resource: Resource::DiskWrite, ..request("a", 300.0) };
    let done = carry_out(&mut l, vec![Request { resource: Resource::DiskRead, ..request("a", 450.0) }, more]);
    assert_eq!(done.iter().map(|g| g.to).collect::<Vec<_>>(), [350.0, 150.0]);
}

#[test]
fn first_guard() {
    let l = ledger(400.0, &[("a", 150.0, 250.0, 400.0)]);
    let new = |min, max, current| admit(Applicant { structure: "n", resource: CPU, min, max, current, disk: None }, &l);
    let admitted = |limit, cause| Ok(Admission { limit, cause });
    assert_eq!(new(50.0, Some(100.0), Limit::Unlimited), admitted(100.0, Cause::FirstLimit));
    assert_eq!(new(50.0, Some(300.0), Limit::Unlimited), admitted(150.0, Cause::FirstLimit));
    assert_eq!(new(50.0, Some(300.0), Limit::At(20.0)), admitted(50.0, Cause::RaisedToMin));
    assert_eq!(new(50.0, Some(100.0), Limit::At(350.0)), admitted(100.0, Cause::LoweredToMax));
    assert_eq!(new(50.0, Some(100.0), Limit::At(70.0)), admitted(70.0, Cause::Kept));
    assert_eq!(new(50.0, None, Limit::Unlimited), Err(NotAdmitted::NoMax(CPU)));
    assert_eq!(
        new(300.0, Some(300.0), Limit::At(9.0)),
        Err(NotAdmitted::MinSum { resource: CPU, min: 300.0, others: 150.0, host: 400.0 })
    );
    assert_eq!(
        new(200.0, Some(300.0), Limit::Unlimited),
        Err(NotAdmitted::NotEnoughFree { resource: CPU, min: 200.0, free: 150.0 })
    );
    assert!(matches!(new(200.0, Some(100.0), Limit::Unlimited), Err(NotAdmitted::Contradictory { .. })));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn containers() -> impl Strategy<Value = Vec<(u32, u32, u32, u32)>> {
        prop::collection::vec((0..100_u32, 0..300_u32, 0..400_u32, 0..4_u32), 1..7)
    }

    fn requests() -> impl Strategy<Value = Vec<(usize, i32, bool, u8, usize)>> {
        prop::collection::vec((0..7_usize, -300..300_i32, prop::bool::weighted(0.2), 0..3_u8, 0..14_usize), 1..20)
    }

    proptest! {
        #[test]
        fn within_bounds_and_never_above_the_host(host in 0..1500_u32, of in containers(), wishes in requests()) {
            let mut l = ledger(f64::from(host), &[]);
            for (i, (min, width, limit, weight)) in of.iter().enumerate() {
                let share = Share { min: f64::from(*min), max: f64::from(min + width), weight: f64::from(*weight) };
                l.set(&Arc::from(format!("c{i}")), CPU, Entry::guarded(f64::from(*limit), share));
            }
            let wish = |(who, amount, of_max, priority, pair): (usize, i32, bool, u8, usize)| Request {
                field: if of_max { Field::Max } else { Field::Current },
                priority: f64::from(priority),
                pair: (pair < 4).then(|| Arc::from(format!("c{pair}"))),
                ..request(&format!("c{who}"), f64::from(amount))
            };
            let requests: Vec<Request> = wishes.into_iter().map(wish).collect();
            for group in &batches(requests, 100.0, 60.0).groups {
                let before = l.held(CPU);
                for grant in grant(group, &l) {
                    let Some(to) = grant.writes() else { continue };
                    let share = l.entry(&grant.request.structure, CPU).unwrap().share.unwrap();
                    let max = grant.max.unwrap_or(share.max);
                    let from = grant.from.amount().unwrap();
                    prop_assert!(to <= max, "above max");
                    // Where the host has not enough for its min, it is at least nearer to it.
                    prop_assert!(to >= share.min || to > from, "under min");
                    l.account(&grant, to);
                }
                prop_assert!(l.held(CPU) <= before.max(f64::from(host)), "{} of {host}", l.held(CPU));
            }
        }
    }
}
