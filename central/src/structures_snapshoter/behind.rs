//! Whose documents are behind, in the order in which they are written: what was written longest ago comes first. So where more changes
//! than may be written, what changes all the time takes turns, and what changes seldom is written with the next bulk.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use headroom_model::resource::Resource;

/// What has a document that agents' numbers go into.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Of {
    Host(Arc<str>),
    Container(Arc<str>),
    Application(Arc<str>),
}

impl Of {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Host(name) | Self::Container(name) | Self::Application(name) => name,
        }
    }
}

pub(super) type Numbers = Box<[(Resource, f64)]>;

#[derive(Debug, Default)]
pub(super) struct Behind {
    /// A hash of what each document was last given, and in which bulk: what is as it was is not even looked at.
    given: HashMap<Of, (u64, u64)>,
    /// By the bulk in which each was last.
    waiting: BTreeSet<(u64, Of)>,
    bulk: u64,
}

impl Behind {
    /// These numbers hold now.
    pub(super) fn notice(&mut self, of: Of, now: &Numbers) {
        if self.given.get(&of).is_none_or(|(_, given)| *given != hash(now)) {
            self.add(of);
        }
    }

    /// Its document may be behind.
    pub(super) fn add(&mut self, of: Of) {
        let last = self.given.get(&of).map_or(0, |(bulk, _)| *bulk);
        self.waiting.insert((last, of));
    }

    /// What is given from now on is another bulk.
    pub(super) fn begin(&mut self) {
        self.bulk += 1;
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self) -> Option<Of> {
        self.waiting.pop_first().map(|(_, of)| of)
    }

    /// Its document gets these.
    pub(super) fn give(&mut self, of: Of, numbers: &Numbers) {
        self.given.insert(of, (self.bulk, hash(numbers)));
    }

    /// Its document did not get them: it comes first the next time.
    pub(super) fn again(&mut self, of: Of) {
        self.given.remove(&of);
        self.add(of);
    }

    /// How many are known, of which some may have gone.
    pub(super) fn known(&self) -> usize {
        self.given.len()
    }
}

fn hash(numbers: &Numbers) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (resource, number) in numbers {
        (resource, number.to_bits()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Of {
        Of::Container(name.into())
    }

    fn cpu(limit: f64) -> Numbers {
        [(Resource::Cpu, limit)].into()
    }

    /// Bulks of two.
    fn bulk(behind: &mut Behind, now: f64) -> Vec<String> {
        behind.begin();
        let mut names = Vec::new();
        while names.len() < 2
            && let Some(of) = behind.next()
        {
            names.push(of.name().to_owned());
            behind.give(of, &cpu(now));
        }
        names
    }

    #[test]
    fn what_is_as_it_was_given_does_not_wait() {
        let mut behind = Behind::default();
        behind.notice(of("a"), &cpu(1.0));
        behind.notice(of("a"), &cpu(2.0));
        assert_eq!((bulk(&mut behind, 2.0), behind.known()), (vec!["a".to_owned()], 1));
        behind.notice(of("a"), &cpu(2.0));
        assert!(bulk(&mut behind, 2.0).is_empty());
        behind.add(of("a"));
        assert_eq!(bulk(&mut behind, 2.0), ["a"], "whatever it was given");
    }

    #[test]
    fn what_changes_all_the_time_takes_turns_and_what_changes_seldom_does_not_wait() {
        let mut behind = Behind::default();
        let busy = ["b", "c", "d", "e", "f"];
        let change = |behind: &mut Behind, now: f64| busy.iter().for_each(|name| behind.notice(of(name), &cpu(now)));
        behind.notice(of("a"), &cpu(0.0));
        change(&mut behind, 0.0);
        assert_eq!(
            [bulk(&mut behind, 0.0), bulk(&mut behind, 0.0), bulk(&mut behind, 0.0)].concat(),
            ["a", "b", "c", "d", "e", "f"]
        );
        let mut order = Vec::new();
        for now in [1.0, 2.0, 3.0, 4.0] {
            change(&mut behind, now);
            order.extend(bulk(&mut behind, now));
        }
        assert_eq!(order, ["b", "c", "d", "e", "f", "b", "c", "d"]);
        change(&mut behind, 5.0);
        behind.notice(of("a"), &cpu(5.0));
        assert_eq!(bulk(&mut behind, 5.0), ["a", "e"]);
    }

    #[test]
    fn what_was_not_written_comes_first() {
        let mut behind = Behind::default();
        for name in ["a", "b", "c", "d"] {
            behind.notice(of(name), &cpu(1.0));
        }
        assert_eq!([bulk(&mut behind, 1.0), bulk(&mut behind, 1.0)].concat(), ["a", "b", "c", "d"]);
        for name in ["a", "b"] {
            behind.notice(of(name), &cpu(2.0));
        }
        behind.again(of("d"));
        assert_eq!(bulk(&mut behind, 2.0), ["d", "a"]);
    }
}
