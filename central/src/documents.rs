//! The State Database in memory, kept current from the store's feed of changes.
//!
//! Reading is a look into memory. Writing goes to the store first, with the version that memory had: if another writer came first, the
//! document is read again and the same edit made on what is there now, so that both changes survive. A write is durable, in memory and
//! told to subscribers when it is answered.

mod edits;
mod memory;
mod name;
mod pace;
mod queue;
#[cfg(test)]
mod tests;
mod texts;
mod understand;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::store::{Body, Change, Cursor, Database, Document, Rev, StateStore, StoreError, Trouble};
use memory::{Found, Memory, Seen, Taken};
use pace::Paces;
use queue::Queue;

pub use edits::{Bulk, Edit};
pub use understand::Problem;

pub(crate) use name::{id_of, key_of};
pub(crate) use texts::texts;
pub(crate) use understand::problem;

/// Documents of a page: what is read of them at once is memory that is not given back.
const PAGE: usize = 200;

/// How long the feed waits for a change before it is asked again.
const WAIT: Duration = Duration::from_secs(30);

/// How long is waited after a store that did not answer: doubled each time, up to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Writers of one document wait for each other here instead of meeting in the store; documents share places by chance.
const PLACES: usize = 1024;

/// Changes that a subscriber may lag behind.
const LAG: usize = 4096;

/// A document is not as it was: look at it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Where.
    pub database: Database,
    /// Which.
    pub name: Arc<str>,
}

/// All documents.
#[derive(Debug)]
pub struct Documents {
    store: Arc<dyn StateStore>,
    memory: Memory,
    cursor: Mutex<Cursor>,
    told: broadcast::Sender<Changed>,
    places: Vec<tokio::sync::Mutex<()>>,
    queue: Queue,
    paces: Paces,
    /// Held over changes that concern several documents.
    many: tokio::sync::Mutex<()>,
}

impl Documents {
    /// Loads everything. [`Documents::follow`] keeps it current.
    pub async fn open(store: Arc<dyn StateStore>) -> Result<Arc<Self>, StoreError> {
        let cursor = Mutex::new(store.end().await?);
        let (told, _) = broadcast::channel(LAG);
        let places = std::iter::repeat_with(tokio::sync::Mutex::default).take(PLACES).collect();
        let documents = Self {
            paces: Paces::new(store.pace()),
            store,
            memory: Memory::default(),
            cursor,
            told,
            places,
            queue: Queue::default(),
            many: tokio::sync::Mutex::default(),
        };
        documents.load().await?;
        Ok(Arc::new(documents))
    }

    /// A copy of a document.
    pub fn body(&self, database: Database, name: &str) -> Option<Body> {
        self.memory.body(database, name)
    }

    /// A copy of a document, with its version.
    pub fn version(&self, database: Database, name: &str) -> Option<(Rev, Body)> {
        let Found { seen, body, .. } = self.memory.find(database, name)?;
        Some((seen.rev()?.clone(), body))
    }

    /// A copy of what counts under this name: of a document that cannot be understood, as it was when it could.
    pub fn in_force(&self, database: Database, name: &str) -> Option<Body> {
        self.memory.in_force(database, name)
    }

    /// Copies of all that counts.
    pub fn all_in_force(&self, database: Database) -> Vec<Body> {
        self.memory.all_in_force(database)
    }

    /// Whether there is a document of this name.
    pub fn has(&self, database: Database, name: &str) -> bool {
        self.memory.has(database, name)
    }

    /// The names of all documents, sorted.
    pub fn names(&self, database: Database) -> Vec<String> {
        self.memory.names(database)
    }

    /// Copies of all documents, sorted by name.
    pub fn bodies(&self, database: Database) -> Vec<Body> {
        self.memory.bodies(database)
    }

    /// Shows each document, sorted by name, without copies of all of them at once.
    pub fn each(&self, database: Database, mut show: impl FnMut(Body)) {
        for record in self.memory.records(database) {
            if let Some(body) = memory::parse(&record) {
                show(body);
            }
        }
    }

    /// Those in which a name stands somewhere, sorted. Finds the few among tens of thousands without understanding all of them.
    pub fn naming(&self, database: Database, name: &str) -> Vec<Body> {
        let written = Value::from(name).to_string();
        let records = self.memory.records(database);
        let naming = records.iter().filter(|record| record.text().is_some_and(|text| text.contains(&written)));
        naming.filter_map(memory::parse).collect()
    }

    /// The documents that cannot be understood, by id. They are left as they are.
    pub fn problems(&self) -> Vec<Problem> {
        self.memory.problems()
    }

    /// What is wrong with where they are kept.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.store.troubles()
    }

    /// Tells of each change from now on. Who lags takes everything as changed.
    pub fn subscribe(&self) -> broadcast::Receiver<Changed> {
        self.told.subscribe()
    }

    /// For changes that concern several documents, such as who belongs to what: one at a time.
    pub async fn one_at_a_time(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.many.lock().await
    }

    /// This document's turn to be written by us. Who else has the store is not hindered.
    async fn turn(&self, database: Database, name: &str) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        (database, name).hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % (PLACES as u64)).unwrap_or_default();
        match self.places.get(place) {
            Some(place) => Some(place.lock().await),
            None => None,
        }
    }

    /// Takes over what others change, for ever.
    pub async fn follow(self: Arc<Self>) {
        let mut pause = RETRY.0;
        let mut said = String::new();
        loop {
            match self.advance(WAIT).await {
                Ok(()) => {
                    pause = RETRY.0;
                    said.clear();
                }
                Err(error) => {
                    let why = error.to_string();
                    if why != said {
                        tracing::warn!("changes by others are not known until the store answers: {why}");
                        said = why;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                }
            }
        }
    }

    /// Waits up to `wait` for changes and takes them over.
    async fn advance(&self, wait: Duration) -> Result<(), StoreError> {
        let since = self.cursor.lock().clone();
        match self.store.changes(&since, wait).await {
            Ok((changes, cursor)) => {
                self.take(changes).await?;
                *self.cursor.lock() = cursor;
                Ok(())
            }
            // The feed does not reach back so far, or the databases were made anew.
            Err(StoreError::Refused(why)) => {
                tracing::warn!("the State Database is read again: {why}");
                let cursor = self.store.end().await?;
                self.load().await?;
                *self.cursor.lock() = cursor;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads everything: what is there is taken over, what is not there has gone.
    async fn load(&self) -> Result<(), StoreError> {
        for database in Database::ALL {
            let mut gone = self.memory.ids(database);
            let mut after: Option<String> = None;
            loop {
                let page = self.store.page(database, after.as_deref(), PAGE).await?;
                let is_last = page.len() < PAGE;
                after = page.last().map(|document| document.id.clone());
                let is_there = |document: Document| {
                    gone.remove(&document.id);
                    Change { database, id: document.id.clone(), document: Some(document) }
                };
                self.take(page.into_iter().map(is_there).collect()).await?;
                if is_last {
                    break;
                }
            }
            self.take(gone.into_iter().map(|id| Change { database, id, document: None }).collect()).await?;
        }
        Ok(())
    }

    /// What the feed tells.
    async fn take(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut unsure: BTreeMap<Database, Vec<Change>> = BTreeMap::new();
        for change in changes {
            match self.memory.take(&change) {
                Taken::Same => {}
                Taken::Changed(names) => self.tell(change.database, names),
                Taken::Unsure => unsure.entry(change.database).or_default().push(change),
            }
        }
        for (database, changes) in unsure {
            // Whether they are older or newer than what we wrote meanwhile only the store can say.
            self.read_again(database, changes.iter().map(|change| change.id.clone()).collect()).await?;
            for change in &changes {
                self.memory.confirm(change);
            }
        }
        Ok(())
    }

    /// Reads documents from the store into memory.
    async fn read_again(&self, database: Database, mut ids: Vec<String>) -> Result<(), StoreError> {
        while !ids.is_empty() {
            let some = ids.split_off(ids.len().saturating_sub(PAGE));
            let seen: Vec<Seen> = some.iter().map(|id| self.memory.seen(database, id)).collect();
            let found = self.store.read_many(database, &some).await?;
            for ((id, seen), document) in some.into_iter().zip(seen).zip(found) {
                match self.memory.put(database, &id, &seen, document) {
                    Some(names) => self.tell(database, names),
                    // It was written meanwhile.
                    None => ids.push(id),
                }
            }
        }
        Ok(())
    }

    /// A write of ours was answered: memory has it from now on.
    async fn wrote(&self, database: Database, id: &str, seen: &Seen, now: Option<Document>) -> Result<(), StoreError> {
        if let (Some(document), Some(rev)) = (&now, self.memory.seen(database, id).rev())
            && document.rev == *rev
        {
            // The feed was faster.
            return Ok(());
        }
        match self.memory.put(database, id, seen, now) {
            Some(names) => {
                self.tell(database, names);
                Ok(())
            }
            None => self.read_again(database, vec![id.to_owned()]).await,
        }
    }

    fn tell(&self, database: Database, names: Vec<Arc<str>>) {
        for name in names {
            // Nobody may listen.
            self.told.send(Changed { database, name }).ok();
        }
    }
}
