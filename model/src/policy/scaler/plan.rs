//! In which order requests are carried out, and how far.

use smallvec::SmallVec;

use super::ledger::{Ledger, Share};
use super::split::{Want, split};
use crate::limit::Limit;
use crate::policy::request::{Direction, Field, Request};

mod batches;
mod pair;

pub use batches::batches;

/// What became of a batch of requests before any was granted.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// To be granted one after the other.
    pub groups: Vec<Group>,
    /// Not to be granted, and why.
    pub dropped: Vec<(Request, Dropped)>,
    scratch: batches::Scratch,
}

/// Requests that are granted together.
#[derive(Clone, Debug, PartialEq)]
pub enum Group {
    /// Of one resource, field, direction and priority: what is short is split between them.
    Split(SmallVec<[Request; 2]>),
    /// Two that are done whole or not at all: the one that gives, the one that takes.
    Pair([Request; 2]),
}

/// Why a request was dropped before it was considered.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Dropped {
    /// Older than the request timeout.
    #[error("it is {age} s old; the request timeout is {timeout} s")]
    TooOld {
        /// In s.
        age: f64,
        /// In s.
        timeout: f64,
    },
    /// Another one for the same change has a higher priority or is newer.
    #[error("another request for the same change has a higher priority or is newer")]
    Superseded,
    /// The other half of its pair is not there, or does not match.
    #[error("the other half of its pair is missing, or is not of the same resource and the opposite amount")]
    PairIncomplete,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The host has no such structure.
    #[error("this host has no such structure")]
    UnknownStructure,
    /// It is not guarded for this resource.
    #[error("it is not guarded for this resource")]
    NotGuarded,
    /// It has no limit yet.
    #[error("it has no limit in force")]
    NoLimit,
    /// `min > max`.
    #[error("its min {min} is above its max {max}; it is not scaled until one of them is changed")]
    Contradictory {
        /// The structure's.
        min: f64,
        /// The structure's.
        max: f64,
    },
    /// A half of a pair cannot be done whole.
    #[error("its pair cannot be done whole")]
    PairNotWhole,
}

/// How a request came out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// All of it (within `min..=max`).
    Granted,
    /// A part of it: the host has no more.
    Partial {
        /// By how much the limit would have been raised.
        wanted: f64,
    },
    /// Nothing is free.
    Starved {
        /// By how much the limit would have been raised.
        wanted: f64,
    },
    /// The limit is already where the request would take it.
    Unchanged,
    /// Not possible.
    Refused(Refusal),
}

/// A request and what is to be written for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The request.
    pub request: Request,
    /// The limit in force.
    pub from: Limit,
    /// The new limit, in the resource's unit; meaningful where [`Grant::writes`].
    pub to: f64,
    /// The structure's new `max`, of a request for that.
    pub max: Option<f64>,
    /// How it came out.
    pub outcome: Outcome,
}

impl Grant {
    /// The limit that is to be written, if any.
    pub fn writes(&self) -> Option<f64> {
        matches!(self.outcome, Outcome::Granted | Outcome::Partial { .. }).then_some(self.to)
    }
}

/// Where a request would take a limit, if the host had enough.
#[derive(Clone, Copy, Debug)]
struct Target {
    from: f64,
    to: f64,
    max: Option<f64>,
    share: Share,
}

/// What of each request in a group is granted. Nothing is changed: [`Ledger::account`] does that, for what was really written.
pub fn grant(group: &Group, ledger: &Ledger) -> SmallVec<[Grant; 2]> {
    match group {
        Group::Split(requests) => together(requests, ledger),
        Group::Pair(pair) => pair::grant(pair, ledger),
    }
}

fn together(requests: &[Request], ledger: &Ledger) -> SmallVec<[Grant; 2]> {
    let targets: SmallVec<[_; 2]> = requests.iter().map(|r| target(r, ledger)).collect();
    let mut grants: SmallVec<[Grant; 2]> = requests.iter().zip(&targets).map(|(r, t)| whole(r, t, ledger)).collect();
    let disk = |r: &Request| ledger.entry(&r.structure, r.resource).and_then(|e| e.disk.as_deref());
    let wants = |g: &Grant, t: &Result<Target, Refusal>| g.writes().is_some() && t.is_ok_and(|t| t.to > t.from);
    let mut open: SmallVec<[usize; 4]> = (0..requests.len()).filter(|i| wants(&grants[*i], &targets[*i])).collect();
    // All of a group are of one resource, so what they share is the host, or each disk.
    while let Some(&first) = open.first() {
        let (same, others) = open.iter().copied().partition(|i| disk(&requests[*i]) == disk(&requests[first]));
        open = others;
        let Some(free) = ledger.free_for(requests[first].resource, disk(&requests[first]), None) else { continue };
        ration(&same, free, &targets, &mut grants);
    }
    grants
}

/// Splits what is free between the grants `of` these indices.
fn ration(of: &SmallVec<[usize; 4]>, free: f64, targets: &[Result<Target, Refusal>], grants: &mut [Grant]) {
    let targets: SmallVec<[(usize, Target); 4]> = of.iter().filter_map(|i| Some((*i, targets[*i].ok()?))).collect();
    let want = |t: &Target| Want {
        amount: t.to - t.from,
        urgent: (t.share.min - t.from).clamp(0.0, t.to - t.from),
        weight: t.share.weight,
    };
    let wants: SmallVec<[Want; 4]> = targets.iter().map(|(_, t)| want(t)).collect();
    for (((i, target), want), given) in targets.iter().zip(&wants).zip(split(free, &wants)) {
        if given < want.amount {
            let wanted = want.amount;
            grants[*i].to = target.from + given;
            grants[*i].outcome = if given > 0.0 { Outcome::Partial { wanted } } else { Outcome::Starved { wanted } };
        }
    }
}

/// The grant as it is when the host has enough.
fn whole(request: &Request, target: &Result<Target, Refusal>, ledger: &Ledger) -> Grant {
    let from = ledger.entry(&request.structure, request.resource).map_or(Limit::Unlimited, |e| e.limit);
    let (to, max, outcome) = match target {
        Err(refusal) => (0.0, None, Outcome::Refused(*refusal)),
        Ok(t) => {
            #[expect(clippy::float_cmp, reason = "exactly the limit in force needs no write")]
            let unchanged = t.to == t.from && t.max.is_none_or(|max| max == t.share.max);
            (t.to, t.max, if unchanged { Outcome::Unchanged } else { Outcome::Granted })
        }
    };
    Grant { request: request.clone(), from, to, max, outcome }
}

/// Where a request would take the limit: within `min..=max`, so that a limit already outside moves back to the bound it passed.
fn target(request: &Request, ledger: &Ledger) -> Result<Target, Refusal> {
    let entry = ledger.entry(&request.structure, request.resource).ok_or(Refusal::UnknownStructure)?;
    let share = entry.share.ok_or(Refusal::NotGuarded)?;
    let Share { min, max, .. } = share;
    if min > max {
        return Err(Refusal::Contradictory { min, max });
    }
    let from = entry.limit.amount().ok_or(Refusal::NoLimit)?;
    match request.field {
        Field::Current => Ok(Target { from, to: (from.min(max) + request.amount).clamp(min, max), max: None, share }),
        Field::Max => {
            let most = ledger.host_max(request.resource).unwrap_or(f64::INFINITY).max(max);
            let max = (max + request.amount).min(most).max(min);
            Ok(Target { from, to: max, max: Some(max), share })
        }
    }
}

/// In which order: what gives back first.
fn stage(request: &Request) -> u8 {
    match (request.field, request.direction()) {
        (Field::Current, Direction::Down) => 0,
        (Field::Max, Direction::Down) => 1,
        (Field::Max, Direction::Up) => 2,
        (Field::Current, Direction::Up) => 3,
    }
}
