//! One database's documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Seen;
use super::record::Record;
use crate::documents::name::{id_of, name_of};
use crate::store::Rev;

/// Documents by their ids, most of which are the names' ([`id_of`]); only the others are listed by name.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    records: BTreeSet<Record>,
    /// Ids that are not the names', with the name if there is one.
    odd: BTreeMap<Box<str>, Option<Arc<str>>>,
    /// Those by name. Where several documents have one name, it is the one's whose id is the name's, else the first id's.
    by_name: BTreeMap<Arc<str>, BTreeSet<Box<str>>>,
    /// Why documents cannot be understood, by id.
    problems: BTreeMap<Box<str>, Box<str>>,
    /// Those as they were when they could still be understood.
    good: BTreeMap<Box<str>, Record>,
    /// Of which the feed told.
    pub(super) deletions: u64,
}

impl Shelf {
    pub(super) fn record(&self, id: &str) -> Option<&Record> {
        self.records.get(id)
    }

    pub(super) fn seen(&self, id: &str) -> Seen {
        Seen { rev: self.record(id).and_then(Record::rev), deletions: self.deletions }
    }

    /// The document that is found by a name.
    pub(super) fn find(&self, name: &str) -> Option<&Record> {
        let id = id_of(name);
        let usual = self.record(&id).filter(|record| !record.is_deleted() && !self.odd.contains_key(id.as_str()));
        usual.or_else(|| self.record(self.by_name.get(name)?.first()?))
    }

    /// The document that counts under a name: one that cannot be understood counts as it was when it could.
    pub(super) fn in_force(&self, name: &str) -> Option<&Record> {
        match self.find(name) {
            Some(found) if self.problems.contains_key(found.id()) => self.good.get(found.id()),
            // It may have lost its name.
            None => self.good.get(id_of(name).as_str()),
            found => found,
        }
    }

    /// All that count: those that can be understood, and the others as they were, in their places.
    pub(super) fn all_in_force(&self) -> Vec<&Record> {
        let found = self.found();
        let is_found: BTreeSet<&str> = found.iter().map(|(_, record)| record.id()).collect();
        let lost = self.good.iter().filter(|(id, _)| !is_found.contains(&***id)).map(|(_, record)| record);
        let counts =
            |record| if self.problems.contains_key(Record::id(record)) { self.good.get(record.id()) } else { Some(record) };
        found.into_iter().filter_map(|(_, record)| counts(record)).chain(lost).collect()
    }

    /// Every document that is found by its name, sorted.
    pub(super) fn found(&self) -> Vec<(&str, &Record)> {
        let usual = self.records.iter().filter(|record| !record.is_deleted() && !self.odd.contains_key(record.id()));
        let mut found: Vec<(&str, &Record)> = usual.map(|record| (name_of(record.id()), record)).collect();
        for name in self.by_name.keys() {
            found.extend(self.find(name).filter(|record| self.odd.contains_key(record.id())).map(|record| (&**name, record)));
        }
        found.sort_by_key(|(name, _)| *name);
        found
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.records.iter().map(Record::id)
    }

    /// What cannot be understood, and what cannot be found because another document has its name.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut problems: Vec<(String, String)> =
            self.problems.iter().map(|(id, why)| (id.to_string(), why.to_string())).collect();
        for (id, name) in &self.odd {
            if let Some(name) = name
                && let Some(other) = self.find(name)
                && other.id() != &**id
            {
                problems.push((id.to_string(), format!("the document {:?} has its name, {name:?}, already", other.id())));
            }
        }
        problems
    }

    /// A document as it is now. Returns the names that are not as they were.
    pub(super) fn insert(&mut self, record: Record, name: Option<&str>, problem: Option<&str>) -> Vec<Arc<str>> {
        let id: Box<str> = record.id().into();
        let was_good = self.record(&id).filter(|before| !before.is_deleted() && !self.problems.contains_key(&id)).cloned();
        let good = was_good.or_else(|| self.good.get(&id).cloned()).filter(|_| problem.is_some());
        let before = self.forget(&id);
        self.records.replace(record);
        if let Some(why) = problem {
            self.problems.insert(id.clone(), why.into());
        }
        self.good.extend(good.map(|good| (id.clone(), good)));
        let name: Option<Arc<str>> = name.map(Into::into);
        if name.as_ref().is_none_or(|name| id_of(name) != *id) {
            if let Some(name) = &name {
                self.by_name.entry(Arc::clone(name)).or_default().insert(id.clone());
            }
            self.odd.insert(id, name.clone());
        }
        before.into_iter().filter(|before| Some(before) != name.as_ref()).chain(name.clone()).collect()
    }

    /// The feed tells of a document, or that it was deleted (`None`): whether that is what is here.
    pub(super) fn confirm(&mut self, id: &str, rev: Option<&Rev>) -> bool {
        let Some(record) = self.record(id).filter(|record| record.rev().as_ref() == rev) else { return false };
        let mut record = record.clone();
        if record.is_deleted() {
            self.deletions += 1;
            self.records.remove(id);
        } else if record.ahead {
            record.ahead = false;
            self.records.replace(record);
        }
        true
    }

    /// A document that is no more. Returns the names that are not as they were.
    pub(super) fn remove(&mut self, id: &str) -> Vec<Arc<str>> {
        let name = self.forget(id);
        self.records.remove(id);
        name.into_iter().collect()
    }

    /// The same past the feed: it is remembered until the feed tells of it.
    pub(super) fn bury(&mut self, id: &str) -> Vec<Arc<str>> {
        let changed = self.remove(id);
        self.records.insert(Record::deleted(id));
        changed
    }

    /// Forgets everything about a document but its record. Returns its name.
    fn forget(&mut self, id: &str) -> Option<Arc<str>> {
        self.problems.remove(id);
        self.good.remove(id);
        let is_there = !self.record(id)?.is_deleted();
        let Some(name) = self.odd.remove(id) else { return is_there.then(|| name_of(id).into()) };
        let name = name?;
        if let Some(ids) = self.by_name.get_mut(&name) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_name.remove(&name);
            }
        }
        Some(name)
    }
}
