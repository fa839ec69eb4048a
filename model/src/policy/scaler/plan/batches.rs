//! Dropping, deduplicating, ordering and grouping.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Dropped, Group, Plan, stage};
use crate::policy::request::{Direction, Field, Request};

/// Sorts out requests: those older than `timeout` (s) at `now` (s) and those that a better one supersedes are dropped, the others
/// ordered and grouped.
pub fn batches(requests: impl IntoIterator<Item = Request>, now: f64, timeout: f64) -> Plan {
    let mut plan = Plan::default();
    plan.refill(requests, now, timeout);
    plan
}

/// What two requests must have in common for only one of them to be carried out: structure, action, field, pair.
type Change = (Arc<str>, &'static str, Field, Option<Arc<str>>);

fn change(request: &Request) -> Change {
    (Arc::clone(&request.structure), request.action(), request.field, request.pair.clone())
}

/// Up to so many are looked through one by one.
const FEW: usize = 16;

/// Kept from plan to plan, so that a plan allocates nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    kept: VecDeque<Request>,
    places: HashMap<Change, usize>,
}

impl Plan {
    /// As [`batches`], in place of what was planned before.
    pub fn refill(&mut self, requests: impl IntoIterator<Item = Request>, now: f64, timeout: f64) {
        let Self { groups, dropped, scratch: Scratch { kept, places } } = self;
        groups.clear();
        dropped.clear();
        for request in requests {
            let age = now - request.timestamp;
            if age > timeout {
                dropped.push((request, Dropped::TooOld { age, timeout }));
                continue;
            }
            // Hashing is for storms.
            let place = if kept.len() <= FEW {
                kept.iter().position(|k| same_change(k, &request))
            } else {
                if places.is_empty() {
                    places.extend(kept.iter().enumerate().map(|(place, k)| (change(k), place)));
                }
                let next = kept.len();
                Some(*places.entry(change(&request)).or_insert(next)).filter(|place| *place < next)
            };
            match place {
                None => kept.push_back(request),
                Some(place) => {
                    let other = &mut kept[place];
                    let worse = if is_better(&request, other) { std::mem::replace(other, request) } else { request };
                    dropped.push((worse, Dropped::Superseded));
                }
            }
        }
        places.clear();
        kept.make_contiguous().sort_by(order);
        while let Some(first) = kept.pop_front() {
            if first.pair.is_some() {
                match kept.iter().position(|other| first.pairs_with(other)).and_then(|at| kept.remove(at)) {
                    None => dropped.push((first, Dropped::PairIncomplete)),
                    Some(second) => {
                        let pair = if first.direction() == Direction::Down { [first, second] } else { [second, first] };
                        groups.push(Group::Pair(pair));
                    }
                }
                continue;
            }
            match groups.last_mut() {
                Some(Group::Split(group)) if group.first().is_some_and(|g| belongs(g, &first)) => group.push(first),
                _ => groups.push(Group::Split(SmallVec::from_iter([first]))),
            }
        }
    }
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
