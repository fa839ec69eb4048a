//! Pairs of requests: both are carried out, or neither. Each half is written by itself and may fail by itself, also later, in a writer thread.
//! Both are answered when both are known; where one was not carried out, what the other one was given or gave is put back.

use headroom_model::limit::Limit;
use headroom_model::policy::request::{Field, Request};
use headroom_model::policy::scaler::plan::Grant;
use headroom_model::resource::Resource;

use super::state::State;

/// Those that are being carried out.
#[derive(Debug, Default)]
pub(super) struct Pairs(Vec<[Half; 2]>);

#[derive(Debug)]
struct Half {
    grant: Grant,
    came: Option<Came>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Came {
    /// It was carried out: the limits before and after, and what is to be said of it.
    Done { limits: (Limit, Limit), detail: Option<String> },
    /// Nothing was changed, for this reason.
    Not(Option<String>),
}

/// What is to be answered now.
#[derive(Debug, PartialEq)]
pub(super) enum Then {
    /// This one: it is no half of a pair.
    Alone(Came),
    /// Nothing: the other half is under way.
    Waits,
    /// Both.
    Both(Box<[(Grant, Came); 2]>),
}

impl Pairs {
    /// The halves of a pair are about to be written.
    pub(super) fn begin(&mut self, grants: &[Grant]) {
        if let [gives, takes] = grants
            && grants.iter().all(|grant| grant.writes().is_some() && grant.request.asked.is_some())
        {
            self.0.push([gives, takes].map(|grant| Half { grant: grant.clone(), came: None }));
        }
    }

    /// What came of one request. The first word counts.
    pub(super) fn came(&mut self, id: &str, came: Came) -> Then {
        let is_it = |half: &Half| half.grant.request.asked.as_deref() == Some(id);
        let Some(at) = self.0.iter().position(|pair| pair.iter().any(is_it)) else { return Then::Alone(came) };
        if let Some(half) = self.0[at].iter_mut().find(|half| is_it(half)) {
            half.came.get_or_insert(came);
        }
        if self.0[at].iter().any(|half| half.came.is_none()) {
            return Then::Waits;
        }
        Then::Both(Box::new(self.0.swap_remove(at).map(|half| (half.grant, half.came.unwrap_or(Came::Not(None))))))
    }
}

impl State {
    /// Answers both halves. One that was carried out without the other is put back.
    pub(super) fn end_pair(&mut self, halves: Box<[(Grant, Came); 2]>) {
        let why_not = halves.iter().find_map(|(_, came)| match came {
            Came::Not(why) => Some(why.clone().unwrap_or_else(|| "no reason is given".to_owned())),
            Came::Done { .. } => None,
        });
        for (grant, came) in *halves {
            let came = match (&why_not, came) {
                (Some(why), Came::Done { limits: (_, stands), .. }) => Came::Not(Some(self.put_back(&grant, stands, why))),
                (_, came) => came,
            };
            self.answer_alone(&grant.request, came);
        }
    }

    /// Puts a limit back that was moved for nothing. What is to be said of it.
    fn put_back(&mut self, grant: &Grant, stands: Limit, why: &str) -> String {
        let Request { structure, resource, field, amount, .. } = &grant.request;
        let because = format!("the other half of its pair was not carried out: {why}");
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

    #[test]
    fn both_are_answered_when_both_are_known() {
        let mut pairs = Pairs::default();
        let (gives, takes) = (grant("gives", -20.0, Outcome::Granted), grant("takes", 20.0, Outcome::Granted));
        pairs.begin(&[gives.clone(), takes.clone()]);
        assert_eq!(pairs.came("other", done()), Then::Alone(done()));
        assert_eq!(pairs.came("gives", done()), Then::Waits);
        assert_eq!(pairs.came("gives", Came::Not(None)), Then::Waits, "the first word counts");
        let failed = Came::Not(Some("busy".into()));
        assert_eq!(pairs.came("takes", failed.clone()), Then::Both(Box::new([(gives, done()), (takes, failed)])));
        assert_eq!(pairs.came("gives", done()), Then::Alone(done()), "it is over");
    }

    #[test]
    fn what_is_refused_before_it_is_written_is_no_pair() {
        let mut pairs = Pairs::default();
        let refused = Outcome::Refused(Refusal::PairNotWhole);
        pairs.begin(&[grant("gives", -20.0, refused), grant("takes", 20.0, refused)]);
        assert_eq!(pairs.came("gives", Came::Not(None)), Then::Alone(Came::Not(None)));
    }
}
