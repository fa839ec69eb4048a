//! One database's documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::store::Rev;

/// One document.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The name by which it is found; `None` where it has none.
    pub(super) key: Option<Arc<str>>,
    /// `None`: it was deleted.
    pub(super) rev: Option<Rev>,
    /// `None`: it was deleted, and the feed has not told of that yet.
    pub(super) text: Option<Arc<str>>,
    /// Whether it came past the feed, which has not told of it yet.
    pub(super) ahead: bool,
    /// Why it cannot be understood.
    pub(super) problem: Option<Box<str>>,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// By id.
    pub(super) entries: BTreeMap<Arc<str>, Entry>,
    /// Name to id. Where several documents have one name, the first id that was seen has it.
    pub(super) names: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids of documents whose name another one has.
    shadowed: BTreeSet<Arc<str>>,
    pub(super) deletions: u64,
}

impl Shelf {
    /// The document that is found by a name, with its id.
    pub(super) fn find(&self, name: &str) -> Option<(&Arc<str>, &Entry)> {
        self.entries.get_key_value(self.names.get(name)?)
    }

    /// What cannot be understood, by id.
    pub(super) fn problems(&self) -> Vec<(Arc<str>, String)> {
        let mut problems = Vec::new();
        for (id, entry) in &self.entries {
            if let Some(why) = &entry.problem {
                problems.push((Arc::clone(id), why.to_string()));
            } else if self.shadowed.contains(id)
                && let Some(name) = &entry.key
                && let Some(other) = self.names.get(name)
            {
                problems.push((Arc::clone(id), format!("the document {other:?} has its name, {name:?}, already")));
            }
        }
        problems
    }

    /// A document as it is now. Returns the names that are not as they were.
    pub(super) fn insert(&mut self, id: &str, mut entry: Entry) -> Vec<Arc<str>> {
        let before = self.entries.get(id).and_then(|known| known.key.clone());
        let id = self.entries.get_key_value(id).map_or_else(|| id.into(), |(id, _)| Arc::clone(id));
        let mut changed = Vec::new();
        if before.is_some() && before == entry.key {
            // The text that is there already serves as well.
            entry.key.clone_from(&before);
        } else {
            changed.extend(self.release(&id, before));
            if let Some(name) = &mut entry.key {
                if **name == *id {
                    *name = Arc::clone(&id);
                }
                if self.names.contains_key(name) {
                    self.shadowed.insert(Arc::clone(&id));
                } else {
                    self.names.insert(Arc::clone(name), Arc::clone(&id));
                }
            }
        }
        changed.extend(entry.key.clone().filter(|name| self.names.get(name) == Some(&id)));
        self.entries.insert(id, entry);
        changed
    }

    /// A document that is no more. Returns the names that are not as they were.
    pub(super) fn remove(&mut self, id: &str) -> Vec<Arc<str>> {
        let Some((id, entry)) = self.entries.remove_entry(id) else { return Vec::new() };
        self.release(&id, entry.key).into_iter().collect()
    }

    /// The same past the feed: it is remembered until the feed tells of it.
    pub(super) fn bury(&mut self, id: &str) -> Vec<Arc<str>> {
        let changed = self.remove(id);
        let grave = Entry { key: None, rev: None, text: None, ahead: true, problem: None };
        self.entries.insert(id.into(), grave);
        changed
    }

    /// Gives up a name, to another document that has it too if there is one. Returns it if it was this document's.
    fn release(&mut self, id: &Arc<str>, name: Option<Arc<str>>) -> Option<Arc<str>> {
        self.shadowed.remove(id);
        let name = name.filter(|name| self.names.get(name) == Some(id))?;
        self.names.remove(&name);
        let is_heir = |heir: &&Arc<str>| self.entries.get(*heir).is_some_and(|entry| entry.key.as_ref() == Some(&name));
        if let Some(heir) = self.shadowed.iter().find(is_heir).cloned() {
            self.shadowed.remove(&heir);
            self.names.insert(Arc::clone(&name), heir);
        }
        Some(name)
    }
}
