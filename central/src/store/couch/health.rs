//! What is wrong with CouchDB now, and since when: for `/fleet`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;

use super::http::Failure;
use crate::central::wall;
use crate::store::{Database, Trouble};

/// An answer that takes longer is slow.
const SLOW: Duration = Duration::from_secs(1);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Read,
    Write,
    Feed(Database),
    /// Answers come, but late.
    Slow,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read => f.write_str("reading"),
            Self::Write => f.write_str("writing"),
            Self::Feed(database) => write!(f, "the feed of {database}"),
            Self::Slow => f.write_str("the time that answers take"),
        }
    }
}

/// One entry at most for each thing that can be wrong.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<BTreeMap<What, (f64, String)>>);

impl Health {
    pub(super) fn fails(&self, what: What, failure: &Failure) {
        self.is_wrong(what, failure.to_string());
    }

    pub(super) fn is_wrong(&self, what: What, why: String) {
        let mut troubles = self.0.lock();
        if let Some((_, before)) = troubles.get_mut(&what) {
            *before = why;
        } else {
            tracing::warn!("CouchDB, {what}: {why}");
            troubles.insert(what, (wall(), why));
        }
    }

    pub(super) fn works(&self, what: What, after: Duration) {
        let is_slow = after > SLOW && !matches!(what, What::Feed(_));
        let mut troubles = self.0.lock();
        if troubles.remove(&what).is_some() {
            tracing::info!("CouchDB, {what}: works again");
        }
        // Nobody may read for hours.
        troubles.remove(&What::Read);
        if !is_slow && what == What::Write {
            troubles.remove(&What::Slow);
        }
        drop(troubles);
        if is_slow {
            self.is_wrong(What::Slow, format!("{what} took {:.1} s", after.as_secs_f64()));
        }
    }

    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let of =
            |(what, (since, why)): (&What, &(f64, String))| Trouble { what: what.to_string(), since: *since, why: why.clone() };
        self.0.lock().iter().map(of).collect()
    }
}
