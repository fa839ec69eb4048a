//! The State Database: seven databases of JSON documents.
//!
//! [`StateStore`] is what an implementation has to do; `tests/store/` is the suite that each is held to. The embedded one is SQLite; fleets
//! that outgrow one machine have CouchDB.

pub mod choice;
mod couch;
mod sqlite;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Map, Value};

pub use couch::{Couch, Settings as CouchSettings};
pub use sqlite::Sqlite;

/// A document's fields, without `_id` and `_rev`.
pub type Body = Map<String, Value>;

/// One of the seven of the State Database, or [`Database::Centrals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Database {
    /// Containers, applications, hosts.
    Structures,
    /// Boundaries and thresholds, one document a structure.
    Limits,
    /// The Guardian's rules.
    Rules,
    /// Settings and heartbeats.
    Services,
    /// Who owns applications.
    Users,
    /// Bottlenecks and wastes.
    Events,
    /// Changes of limits that somebody wants.
    Requests,
    /// What centrals beside each other agree on ([`crate::leases`]). No part of the State Database: nobody else writes there, and it is neither
    /// exported nor followed.
    Centrals,
}

impl Database {
    /// Those of the State Database.
    pub const ALL: [Self; 7] =
        [Self::Structures, Self::Limits, Self::Rules, Self::Services, Self::Users, Self::Events, Self::Requests];

    /// All of them, in the order of their numbers.
    pub const EVERY: [Self; 8] =
        [Self::Structures, Self::Limits, Self::Rules, Self::Services, Self::Users, Self::Events, Self::Requests, Self::Centrals];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Structures => "structures",
            Self::Limits => "limits",
            Self::Rules => "rules",
            Self::Services => "services",
            Self::Users => "users",
            Self::Events => "events",
            Self::Requests => "requests",
            Self::Centrals => "centrals",
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which version of a document this is. Opaque: only equality means anything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rev(pub String);

/// A document as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Unique in its database.
    pub id: String,
    /// Its version.
    pub rev: Rev,
    /// Its fields.
    pub body: Body,
}

/// One write of a bulk.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Where to.
    pub database: Database,
    /// The document's id.
    pub id: String,
    /// The version that it replaces; `None`: there must be none.
    pub expected: Option<Rev>,
    /// The new fields; `None` deletes.
    pub body: Option<Body>,
}

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is durable. The new version; of a deletion too.
    Done(Rev),
    /// Another writer came first: nothing was changed.
    Conflict,
    /// The store does not want this document, for this reason: nothing was changed, and trying again is in vain.
    Refused(String),
}

/// A place in the feed of changes. Opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// A document that was written or deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where.
    pub database: Database,
    /// Which.
    pub id: String,
    /// As it is now; `None`: it is gone.
    pub document: Option<Document>,
}

/// Why a store does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or is broken. Nothing was written; of writes to several databases, nothing to one of them.
    #[error("the State Database cannot be reached: {0}")]
    Unreachable(String),
    /// It was told, and did not say what became of it: some of it may be written.
    #[error("the State Database did not answer: {0}")]
    Unanswered(String),
    /// It refuses, and will again.
    #[error("the State Database refuses: {0}")]
    Refused(String),
}

/// How fast may be written what nobody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time between two bulks to one database.
    pub every: Duration,
    /// Documents of a bulk.
    pub most: usize,
}

/// Something that is wrong with a store now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trouble {
    /// What does not work.
    pub what: String,
    /// Seconds since the epoch.
    pub since: f64,
    /// For people.
    pub why: String,
}

/// Where documents are kept.
#[async_trait]
pub trait StateStore: Send + Sync + fmt::Debug {
    /// One document.
    async fn read(&self, database: Database, id: &str) -> Result<Option<Document>, StoreError>;

    /// Those of these ids, in the same order; `None` where there is none.
    async fn read_many(&self, database: Database, ids: &[String]) -> Result<Vec<Option<Document>>, StoreError>;

    /// Up to `limit` documents in the order of their ids, from the first one after `after`.
    async fn page(&self, database: Database, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError>;

    /// Writes each by itself: one that conflicts does not hinder the others. Answered in the same order, when all are durable.
    async fn write(&self, writes: Vec<Write>) -> Result<Vec<Written>, StoreError>;

    /// Where the feed of changes ends now.
    async fn end(&self) -> Result<Cursor, StoreError>;

    /// What changed after `since`, as it is now, each document once; waits up to `wait` for a first change. With the place to go on from.
    async fn changes(&self, since: &Cursor, wait: Duration) -> Result<(Vec<Change>, Cursor), StoreError>;

    /// How fast may be written what nobody waits for; `None`: as fast as it comes.
    fn pace(&self) -> Option<Pace> {
        None
    }

    /// What is wrong with it now.
    fn troubles(&self) -> Vec<Trouble> {
        Vec::new()
    }
}
