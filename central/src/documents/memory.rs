//! Every document as compact text, found by id and by name.
//!
//! Two sources fill it: the feed, which tells of each document some time after it was written, and our own writes, which are there at
//! once. Versions cannot be ordered, so a record that is ahead of the feed is marked, until the feed tells of the same version. What the
//! feed tells of a marked record may be older or newer: then only the store knows. Once it was asked, what the feed has told is no newer
//! than what is here; where it is the same, the mark goes.

mod record;
mod shelf;
mod short;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::RwLock;

use super::name::key_of;
use super::understand::{Problem, problem};
use crate::store::{Body, Change, Database, Document, Rev};
use record::Record;
use shelf::Shelf;

/// What memory knew of a document at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    rev: Option<Rev>,
    /// Deletions that the feed had told of: a document that was not there may have come and gone.
    deletions: u64,
}

impl Seen {
    /// The version that was there, if any.
    pub(super) fn rev(&self) -> Option<&Rev> {
        self.rev.as_ref()
    }

    fn is(&self, now: &Self) -> bool {
        self.rev == now.rev && (self.rev.is_some() || self.deletions == now.deletions)
    }
}

/// A document to be changed.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: Arc<str>,
    pub(super) seen: Seen,
    pub(super) body: Body,
}

/// What a change from the feed was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing new.
    Same,
    /// The documents of these names are not as they were.
    Changed(Vec<Arc<str>>),
    /// It may be older than what is there.
    Unsure,
}

/// All documents.
#[derive(Debug, Default)]
pub(super) struct Memory([RwLock<Shelf>; Database::EVERY.len()]);

impl Memory {
    fn shelf(&self, database: Database) -> &RwLock<Shelf> {
        &self.0[database as usize]
    }

    pub(super) fn has(&self, database: Database, name: &str) -> bool {
        self.shelf(database).read().find(name).is_some()
    }

    pub(super) fn body(&self, database: Database, name: &str) -> Option<Body> {
        let record = self.shelf(database).read().find(name).cloned()?;
        parse(&record)
    }

    pub(super) fn in_force(&self, database: Database, name: &str) -> Option<Body> {
        let record = self.shelf(database).read().in_force(name).cloned()?;
        parse(&record)
    }

    pub(super) fn all_in_force(&self, database: Database) -> Vec<Body> {
        let records: Vec<Record> = self.shelf(database).read().all_in_force().into_iter().cloned().collect();
        records.iter().filter_map(parse).collect()
    }

    pub(super) fn find(&self, database: Database, name: &str) -> Option<Found> {
        let (record, deletions) = {
            let shelf = self.shelf(database).read();
            (shelf.find(name).cloned()?, shelf.deletions)
        };
        Some(Found { id: record.id().into(), seen: Seen { rev: record.rev(), deletions }, body: parse(&record)? })
    }

    /// Sorted.
    pub(super) fn names(&self, database: Database) -> Vec<String> {
        self.shelf(database).read().found().into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    pub(super) fn ids(&self, database: Database) -> BTreeSet<String> {
        self.shelf(database).read().ids().map(str::to_owned).collect()
    }

    pub(super) fn bodies(&self, database: Database) -> Vec<Body> {
        self.records(database).iter().filter_map(parse).collect()
    }

    /// Sorted by name.
    pub(super) fn records(&self, database: Database) -> Vec<Record> {
        self.shelf(database).read().found().into_iter().map(|(_, record)| record.clone()).collect()
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let of = |database: Database| {
            let problems = self.shelf(database).read().problems();
            problems.into_iter().map(move |(id, why)| Problem { database: database.name(), id, why })
        };
        Database::ALL.into_iter().flat_map(of).collect()
    }

    pub(super) fn seen(&self, database: Database, id: &str) -> Seen {
        self.shelf(database).read().seen(id)
    }

    /// What the feed tells.
    pub(super) fn take(&self, change: &Change) -> Taken {
        // Most of what it tells we wrote ourselves.
        if self.confirm(change) {
            return Taken::Same;
        }
        let Change { database, id, document } = change;
        let new = document.as_ref().map(|document| New::of(*database, document, false));
        let mut shelf = self.shelf(*database).write();
        shelf.deletions += u64::from(new.is_none());
        match (shelf.record(id).map(|known| known.ahead), new) {
            (Some(true), _) => Taken::Unsure,
            (_, Some(new)) => Taken::Changed(new.put_on(&mut shelf)),
            (Some(false), None) => Taken::Changed(shelf.remove(id)),
            (None, None) => Taken::Same,
        }
    }

    /// Whether what the feed tells is what is here: then a record is not ahead of it any more.
    pub(super) fn confirm(&self, change: &Change) -> bool {
        let rev = change.document.as_ref().map(|document| &document.rev);
        self.shelf(change.database).write().confirm(&change.id, rev)
    }

    /// What the store has, if memory still knows what it knew when the store was asked: the names of the documents that are not as they
    /// were. `None`: ask again.
    pub(super) fn put(&self, database: Database, id: &str, seen: &Seen, document: Option<Document>) -> Option<Vec<Arc<str>>> {
        let new = document.map(|document| New::of(database, &document, true));
        let mut shelf = self.shelf(database).write();
        if !seen.is(&shelf.seen(id)) {
            return None;
        }
        Some(match new {
            Some(new) => new.put_on(&mut shelf),
            None => shelf.bury(id),
        })
    }
}

/// A document on its way into memory.
struct New {
    record: Record,
    name: Option<String>,
    problem: Option<String>,
}

impl New {
    fn of(database: Database, document: &Document, ahead: bool) -> Self {
        let Document { id, rev, body } = document;
        let problem = problem(database, id, body);
        if let Some(why) = &problem {
            tracing::warn!(%database, id, "this document cannot be understood: {why}");
        }
        let name = key_of(database, id, body).ok();
        let text = serde_json::to_string(body).unwrap_or_default();
        Self { record: Record::new(id, rev, &text, ahead), name, problem }
    }

    fn put_on(self, shelf: &mut Shelf) -> Vec<Arc<str>> {
        shelf.insert(self.record, self.name.as_deref(), self.problem.as_deref())
    }
}

/// The document of a record; none where it was deleted.
pub(super) fn parse(record: &Record) -> Option<Body> {
    serde_json::from_str(&record.text()?).ok()
}
