//! Every document as compact text, found by id and by name.
//!
//! Two sources fill it: the feed, which tells of each document some time after it was written, and our own writes, which are there at
//! once. Versions cannot be ordered, so an entry that is ahead of the feed is marked, until the feed tells of the same version. What the feed
//! tells of a marked entry may be older or newer: then only the store knows.

mod shelf;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::RwLock;

use super::understand::{Problem, problem};
use crate::store::{Body, Change, Database, Document, Rev};
use shelf::{Entry, Shelf};

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
pub(super) struct Memory([RwLock<Shelf>; Database::ALL.len()]);

impl Memory {
    fn shelf(&self, database: Database) -> &RwLock<Shelf> {
        &self.0[database as usize]
    }

    pub(super) fn has(&self, database: Database, name: &str) -> bool {
        self.shelf(database).read().find(name).is_some()
    }

    pub(super) fn body(&self, database: Database, name: &str) -> Option<Body> {
        let text = self.shelf(database).read().find(name).and_then(|(_, entry)| entry.text.clone())?;
        parse(&text)
    }

    pub(super) fn find(&self, database: Database, name: &str) -> Option<Found> {
        let (id, seen, text) = {
            let shelf = self.shelf(database).read();
            let (id, entry) = shelf.find(name)?;
            (Arc::clone(id), Seen { rev: entry.rev.clone(), deletions: shelf.deletions }, entry.text.clone()?)
        };
        Some(Found { id, seen, body: parse(&text)? })
    }

    pub(super) fn names(&self, database: Database) -> Vec<String> {
        self.shelf(database).read().names.keys().map(ToString::to_string).collect()
    }

    pub(super) fn ids(&self, database: Database) -> BTreeSet<String> {
        self.shelf(database).read().entries.keys().map(ToString::to_string).collect()
    }

    pub(super) fn bodies(&self, database: Database) -> Vec<Body> {
        self.texts(database).iter().filter_map(|text| parse(text)).collect()
    }

    /// Sorted by name.
    pub(super) fn texts(&self, database: Database) -> Vec<Arc<str>> {
        let shelf = self.shelf(database).read();
        shelf.names.values().filter_map(|id| shelf.entries.get(id)?.text.clone()).collect()
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let of = |database: Database| {
            let shelf = self.shelf(database).read();
            let problem = |(id, why): (Arc<str>, String)| Problem { database: database.name(), id: id.to_string(), why };
            shelf.problems().into_iter().map(problem).collect::<Vec<_>>()
        };
        Database::ALL.into_iter().flat_map(of).collect()
    }

    pub(super) fn seen(&self, database: Database, id: &str) -> Seen {
        let shelf = self.shelf(database).read();
        Seen { rev: shelf.entries.get(id).and_then(|entry| entry.rev.clone()), deletions: shelf.deletions }
    }

    /// What the feed tells.
    pub(super) fn take(&self, change: Change) -> Taken {
        let Change { database, id, document } = change;
        let entry = document.map(|document| entry(database, document, false));
        let mut shelf = self.shelf(database).write();
        let known = shelf.entries.get_mut(id.as_str());
        match (known, entry) {
            (Some(known), Some(entry)) if known.rev.is_some() && known.rev == entry.rev => {
                known.ahead = false;
                Taken::Same
            }
            (Some(known), None) if known.text.is_none() => {
                shelf.deletions += 1;
                shelf.remove(&id);
                Taken::Same
            }
            (Some(known), _) if known.ahead => Taken::Unsure,
            (_, Some(entry)) => Taken::Changed(shelf.insert(&id, entry)),
            (Some(_), None) => {
                shelf.deletions += 1;
                Taken::Changed(shelf.remove(&id))
            }
            (None, None) => {
                shelf.deletions += 1;
                Taken::Same
            }
        }
    }

    /// What the store has, if memory still knows what it knew when the store was asked: the names of the documents that are not as they were.
    /// `None`: ask again.
    pub(super) fn put(&self, database: Database, id: &str, seen: &Seen, document: Option<Document>) -> Option<Vec<Arc<str>>> {
        let entry = document.map(|document| entry(database, document, true));
        let mut shelf = self.shelf(database).write();
        let now = Seen { rev: shelf.entries.get(id).and_then(|entry| entry.rev.clone()), deletions: shelf.deletions };
        if !seen.is(&now) {
            return None;
        }
        Some(match entry {
            Some(entry) => shelf.insert(id, entry),
            None => shelf.bury(id),
        })
    }
}

fn entry(database: Database, document: Document, ahead: bool) -> Entry {
    let Document { id, rev, body } = document;
    let problem = problem(database, &id, &body);
    if let Some(why) = &problem {
        tracing::warn!(%database, id, "this document cannot be understood: {why}");
    }
    let key = super::name::key_of(database, &id, &body).ok().map(Into::into);
    let text = serde_json::to_string(&body).unwrap_or_default();
    Entry { key, rev: Some(rev), text: Some(text.into()), ahead, problem: problem.map(Into::into) }
}

pub(super) fn parse(text: &str) -> Option<Body> {
    serde_json::from_str(text).ok()
}
