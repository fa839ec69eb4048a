//! One document in one piece: its id, its version and its text ([`super::short`]), one after the other. A fleet has tens of thousands,
//! and an allocation for each of the three, with its place in a map, would be more than the documents themselves.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

use super::short::{expand, shorten};
use crate::store::Rev;

/// Ordered by id.
#[derive(Clone, Debug)]
pub(in crate::documents) struct Record {
    packed: Arc<str>,
    /// Where the id ends, and the version.
    ends: (u32, u32),
    /// Whether it came past the feed, which has not told of it yet.
    pub(super) ahead: bool,
}

impl Record {
    pub(super) fn new(id: &str, rev: &Rev, text: &str, ahead: bool) -> Self {
        // Longer ones than 4 GiB would show as deleted.
        let end = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let ends = (end(id.len()), end(id.len() + rev.0.len()));
        Self { packed: [id, &rev.0, &shorten(text)].concat().into(), ends, ahead }
    }

    /// One that was deleted, of which the feed has not told yet.
    pub(super) fn deleted(id: &str) -> Self {
        Self::new(id, &Rev(String::new()), "", true)
    }

    pub(super) fn id(&self) -> &str {
        self.part(0, self.ends.0)
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.short().is_empty()
    }

    /// `None`: it was deleted.
    pub(super) fn rev(&self) -> Option<Rev> {
        (!self.is_deleted()).then(|| Rev(self.part(self.ends.0, self.ends.1).to_owned()))
    }

    /// `None`: it was deleted.
    pub(in crate::documents) fn text(&self) -> Option<String> {
        (!self.is_deleted()).then(|| expand(self.short()))
    }

    fn short(&self) -> &str {
        self.part(self.ends.1, u32::MAX)
    }

    fn part(&self, from: u32, to: u32) -> &str {
        let place = |end: u32| usize::try_from(end).unwrap_or(usize::MAX).min(self.packed.len());
        self.packed.get(place(from)..place(to)).unwrap_or_default()
    }
}

impl Borrow<str> for Record {
    fn borrow(&self) -> &str {
        self.id()
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Record {}

impl PartialOrd for Record {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Record {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id().cmp(other.id())
    }
}
