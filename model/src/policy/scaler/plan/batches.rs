//! Dropping, deduplicating, ordering and grouping.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::{Dropped, Group, Plan, stage};
use crate::policy::request::{Direction, Request};

/// Sorts out requests: those older than `timeout` (s) at `now` (s) and those that a better one supersedes are dropped, the others
/// ordered and grouped.
pub fn batches(requests: impl IntoIterator<Item = Request>, now: f64, timeout: f64) -> Plan {
    let mut plan = Plan::default();
    let mut kept: Vec<Request> = Vec::new();
    for request in requests {
        let age = now - request.timestamp;
        if age > timeout {
            plan.dropped.push((request, Dropped::TooOld { age, timeout }));
            continue;
        }
        match kept.iter_mut().find(|k| same_change(k, &request)) {
            None => kept.push(request),
            Some(other) if is_better(&request, other) => {
                plan.dropped.push((std::mem::replace(other, request), Dropped::Superseded));
            }
            Some(_) => plan.dropped.push((request, Dropped::Superseded)),
        }
    }
    kept.sort_by(order);
    while !kept.is_empty() {
        let first = kept.remove(0);
        if first.pair.is_some() {
            match kept.iter().position(|other| is_pair(&first, other)) {
                None => plan.dropped.push((first, Dropped::PairIncomplete)),
                Some(at) => {
                    let second = kept.remove(at);
                    let pair = if first.direction() == Direction::Down { [first, second] } else { [second, first] };
                    plan.groups.push(Group::Pair(pair));
                }
            }
            continue;
        }
        match plan.groups.last_mut() {
            Some(Group::Split(group)) if group.first().is_some_and(|g| belongs(g, &first)) => group.push(first),
            _ => plan.groups.push(Group::Split(SmallVec::from_iter([first]))),
        }
    }
    plan
}

/// For the same structure, with the same action, field and pair.
fn same_change(a: &Request, b: &Request) -> bool {
    a.structure == b.structure && a.action() == b.action() && a.field == b.field && a.pair == b.pair
}

fn is_better(new: &Request, old: &Request) -> bool {
    match new.priority.total_cmp(&old.priority) {
        Ordering::Equal => new.timestamp >= old.timestamp,
        by_priority => by_priority.is_gt(),
    }
}

/// By stage, then by priority, then so that those that are granted together stand together. Otherwise as they came.
fn order(a: &Request, b: &Request) -> Ordering {
    stage(a).cmp(&stage(b)).then(b.priority.total_cmp(&a.priority)).then(a.resource.cmp(&b.resource))
}

fn belongs(a: &Request, b: &Request) -> bool {
    order(a, b).is_eq()
}

fn is_pair(a: &Request, b: &Request) -> bool {
    #[expect(clippy::float_cmp, reason = "the amounts of a pair are exactly opposite")]
    let opposite = a.amount == -b.amount;
    opposite
        && a.resource == b.resource
        && a.field == b.field
        && a.structure != b.structure
        && a.pair.as_ref() == Some(&b.structure)
        && b.pair.as_ref() == Some(&a.structure)
}
