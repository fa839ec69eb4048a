//! Pairs of requests: both are carried out, or neither. The one that gives comes first, and what it could not give nobody gets. Each
//! half is written by itself and may fail by itself, also later, in a writer thread. Both are answered when both are known; where what
//! was given could not be taken, it is put back.

use headroom_model::limit::Limit;
use headroom_model::policy::request::{Field, Request};
use headroom_model::policy::scaler::plan::Grant;
use headroom_model::resource::Resource;
use smallvec::SmallVec;

use super::state::State;
use crate::clock;

/// Those that are being carried out.
#[derive(Debug, Default)]
pub(super) struct Pairs(Vec<Pair>);

#[derive(Debug)]
struct Pair {
    gives: Grant,
    /// Begun once the other one has given.
    takes: Grant,
    gave: Option<Came>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Came {
    /// It was carried out: the limits before and after, and what is to be said of it.
    Done { limits: (Limit, Limit), detail: Option<String> },
    /// Nothing was changed, for this reason.
    Not(Option<String>),
}

impl Came {
    fn why_not(&self) -> Option<&str> {
        match self {
            Self::Done { .. } => None,
            Self::Not(why) => Some(why.as_deref().unwrap_or("no reason is given")),
        }
    }
}

/// Why a half is not carried out, or not any more.
fn without_the_other(why: &str) -> String {
    format!("the other half of its pair was not carried out: {why}")
}

/// What is to be done now.
#[derive(Debug, PartialEq)]
pub(super) enum Then {
    /// It is answered: it is no half of a pair.
    Alone(Came),
    /// Nothing: the other half is under way.
    Waits,
    /// This half is begun.
    Takes(Box<Grant>),
    /// Both are answered: the one that gives, and the one that takes.
    Both(Box<[(Grant, Came); 2]>),
}

impl Pairs {
    /// Of a pair that is about to be carried out, leaves only the half that gives.
    pub(super) fn begin(&mut self, grants: &mut SmallVec<[Grant; 2]>) {
        if let [gives, takes] = &grants[..]
            && [gives, takes].iter().all(|grant| grant.writes().is_some() && grant.request.asked.is_some())
        {
            self.0.push(Pair { gives: gives.clone(), takes: takes.clone(), gave: None });
            grants.truncate(1);
        }
    }

    /// What came of one request. The first word counts.
    pub(super) fn came(&mut self, id: &str, came: Came) -> Then {
        let is_it = |grant: &Grant| grant.request.asked.as_deref() == Some(id);
        let Some(at) = self.0.iter().position(|pair| is_it(&pair.gives) || is_it(&pair.takes)) else { return Then::Alone(came) };
        let pair = &mut self.0[at];
        let has_given = pair.gave.is_some();
        if has_given == is_it(&pair.gives) {
            return Then::Waits;
        }
        if !has_given && came.why_not().is_none() {
            pair.gave = Some(came);
            return Then::Takes(Box::new(pair.takes.clone()));
        }
        let Pair { gives, takes, gave } = self.0.swap_remove(at);
        let both = if let Some(gave) = gave {
            [(gives, gave), (takes, came)]
        } else {
            let why = without_the_other(came.why_not().unwrap_or_default());
            [(gives, came), (takes, Came::Not(Some(why)))]
        };
        Then::Both(Box::new(both))
    }
}

impl State {
    /// Begins the half that takes, if its limit is where it was when both were planned.
    pub(super) fn take(&mut self, grant: Grant) {
        let Request { structure, resource, .. } = &grant.request;
        let is_free = |id: u64| self.entries.get(&id).is_some_and(|entry| !entry.in_flight.contains(*resource));
        let stands =
            self.ledger.entry(structure, *resource).filter(|account| account.share.is_some()).map(|account| account.limit);
        if stands == Some(grant.from) && self.id_of(structure).is_some_and(is_free) {
            let raised = self.grant(grant, true, clock::monotonic_ns());
            self.raised.extend(raised);
        } else {
            self.came_out(&grant.request, Came::Not(Some("something else changed its limit just now; ask again".to_owned())));
        }
    }

    /// Answers both halves. What was given and not taken is put back.
    pub(super) fn end_pair(&mut self, [(gives, gave), (takes, took)]: [(Grant, Came); 2]) {
        let gave = match (gave, took.why_not()) {
            (Came::Done { limits: (_, stands), .. }, Some(why)) => Came::Not(Some(self.put_back(&gives, stands, why))),
            (gave, _) => gave,
        };
        self.answer_alone(&gives.request, gave);
        self.answer_alone(&takes.request, took);
    }

    /// Puts a limit back that was moved for nothing. What is to be said of it.
    fn put_back(&mut self, grant: &Grant, stands: Limit, why: &str) -> String {
        let Request { structure, resource, field, amount, .. } = &grant.request;
        let because = without_the_other(why);
        let Some(id) = self.id_of(structure) else { return because };
        let Some(mut account) = self.ledger.entry(structure, *resource).cloned() else { return because };
        let Some(entry) = self.entries.get(&id) else { return because };
        let cap = if *resource == Resource::Cpu { entry.cpuset_cap() } else { Limit::Unlimited };
        if entry.in_flight.contains(*resource) || account.limit != stands.min(cap) {
            return format!("{because}; its own limit was moved to {stands}, has been changed since, and stays");
        }
        if let (Field::Max, Some(share), Some(max)) = (field, &mut account.share, grant.max) {
            share.max = max - amount;
        }
        // What it takes is counted from now on, as with a grant.
        if account.limit.min(grant.from) == account.limit {
            account.limit = grant.from;
        }
        self.ledger.set(structure, *resource, account);
        self.set(id, *resource, "PairUndone", because.clone(), (stands, grant.from));
        format!("{because}; its own limit, {stands} meanwhile, goes back to {}", grant.from)
    }
}

#[cfg(test)]
mod tests {
    use headroom_model::policy::scaler::plan::{Outcome, Refusal};
    use smallvec::smallvec;

    use super::*;

    fn grant(id: &str, amount: f64, outcome: Outcome) -> Grant {
        let request = Request {
            structure: id.into(),
            resource: Resource::Cpu,
            field: Field::Current,
            amount,
            priority: 0.0,
            pair: None,
            timestamp: 0.0,
            why: None,
            asked: Some(id.into()),
        };
        Grant { request, from: Limit::At(100.0), to: 100.0 + amount, max: None, outcome }
    }

    fn done() -> Came {
        Came::Done { limits: (Limit::At(100.0), Limit::At(80.0)), detail: None }
    }

    fn pair(outcome: Outcome) -> (Grant, Grant) {
        (grant("gives", -20.0, outcome), grant("takes", 20.0, outcome))
    }

    /// With both halves of a pair that is begun.
    fn begun() -> (Pairs, Grant, Grant) {
        let (gives, takes) = pair(Outcome::Granted);
        let (mut pairs, mut grants) = (Pairs::default(), smallvec![gives.clone(), takes.clone()]);
        pairs.begin(&mut grants);
        assert_eq!(grants[..], *std::slice::from_ref(&gives), "the other one waits");
        (pairs, gives, takes)
    }

    fn not(why: &str) -> Came {
        Came::Not(Some(why.to_owned()))
    }

    #[test]
    fn the_one_takes_what_the_other_gave() {
        let (mut pairs, gives, takes) = begun();
        assert_eq!(pairs.came("other", done()), Then::Alone(done()));
        assert_eq!(pairs.came("takes", not("nothing was told of it")), Then::Waits, "it was not begun");
        assert_eq!(pairs.came("gives", done()), Then::Takes(Box::new(takes.clone())));
        assert_eq!(pairs.came("gives", Came::Not(None)), Then::Waits, "the first word counts");
        assert_eq!(pairs.came("takes", not("busy")), Then::Both(Box::new([(gives, done()), (takes, not("busy"))])));
        assert_eq!(pairs.came("gives", done()), Then::Alone(done()), "it is over");
    }

    #[test]
    fn what_could_not_be_given_is_not_taken() {
        let (mut pairs, gives, takes) = begun();
        let why = "the other half of its pair was not carried out: busy";
        assert_eq!(pairs.came("gives", not("busy")), Then::Both(Box::new([(gives, not("busy")), (takes, not(why))])));
        assert_eq!(pairs.came("takes", done()), Then::Alone(done()), "it is over");
    }

    #[test]
    fn what_is_refused_before_it_is_written_is_no_pair() {
        let (gives, takes) = pair(Outcome::Refused(Refusal::PairNotWhole));
        let (mut pairs, mut grants) = (Pairs::default(), smallvec![gives, takes]);
        pairs.begin(&mut grants);
        assert_eq!(grants.len(), 2);
        assert_eq!(pairs.came("gives", Came::Not(None)), Then::Alone(Came::Not(None)));
    }
}
