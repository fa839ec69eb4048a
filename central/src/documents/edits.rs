//! Changes of documents.

use std::sync::Arc;
use std::time::Duration;

use super::Documents;
use super::memory::{Found, Seen};
use super::name::id_of;
use super::pace::Turn;
use super::queue::{Leader, Outcome, Place};
use crate::answer::Answer;
use crate::store::{Body, Database, Document, Rev, StoreError, Write, Written};

/// How often an edit is made again because another writer came first.
const ATTEMPTS: u32 = 50;

/// How often those documents of a bulk are tried again that others changed meanwhile. They come again anyway.
const BULK_ATTEMPTS: u32 = 3;

/// How many writes of a bulk go to the store at once: few enough that requests in between do not wait long.
const BULK: usize = 200;

/// One edit of a bulk: where, which, and what to do to it.
pub type Edit = (Database, String, Box<dyn Fn(&mut Body) + Send + Sync>);

/// A write on its way, with what memory knew before.
struct Sent {
    database: Database,
    id: Arc<str>,
    seen: Seen,
    body: Option<Body>,
}

impl Sent {
    fn write(&self) -> Write {
        let expected = self.seen.rev().cloned();
        Write { database: self.database, id: self.id.to_string(), expected, body: self.body.clone() }
    }

    fn document(self, rev: Rev) -> Option<Document> {
        self.body.map(|body| Document { id: self.id.to_string(), rev, body })
    }
}

impl Documents {
    /// Changes a document. Where another writer came first, `edit` is made again on what is there now, so that both changes survive; one
    /// that changes nothing writes nothing. Durable when it returns.
    ///
    /// 404 where there is none of this name, and whatever `edit` refuses with.
    pub async fn edit<T: Send>(
        &self,
        database: Database,
        name: &str,
        edit: impl Fn(&mut Body) -> Result<T, Answer> + Send + Sync,
    ) -> Result<T, Answer> {
        for attempt in 0..ATTEMPTS {
            let now = || self.memory.find(database, name).map(|found| found.body).ok_or_else(|| missing(database, name));
            let (value, place) = self.queue.join(database, name, now, &edit)?;
            let outcome = match place {
                Place::Nothing => Outcome::Written,
                Place::Leading(leader) => self.lead(database, name, leader).await,
                // Where the leader went away, each tries by itself.
                Place::Following(mut outcome) => {
                    let told = outcome.wait_for(Option::is_some).await;
                    told.ok().and_then(|outcome| outcome.clone()).unwrap_or(Outcome::Again)
                }
            };
            match outcome {
                Outcome::Written => return Ok(value),
                Outcome::Failed(error) => return Err(error.into()),
                Outcome::Again => back_off(attempt).await,
            }
        }
        Err(busy(database, name))
    }

    /// Writes an edit, and those that joined it while it waited for its turn.
    async fn lead(&self, database: Database, name: &str, mut leader: Leader<'_>) -> Outcome {
        let _turn = self.turn(database, name).await;
        let Some(edits) = leader.begin() else { return Outcome::Again };
        let outcome = match self.memory.find(database, name).filter(|found| found.body == edits.base) {
            None => Outcome::Again,
            Some(_) if edits.body == edits.base => Outcome::Written,
            Some(Found { id, seen, .. }) => match self.send(Sent { database, id, seen, body: Some(edits.body.clone()) }).await {
                Ok(true) => Outcome::Written,
                Ok(false) => Outcome::Again,
                Err(error) => Outcome::Failed(error),
            },
        };
        leader.end(&edits, outcome.clone());
        outcome
    }

    /// Makes a new document.
    ///
    /// 400 where there is one of this name; [`Answer::is_there_already`] tells.
    pub async fn create(&self, database: Database, name: &str, body: Body) -> Result<(), Answer> {
        let there = || Answer::exists(format!("there is {} {name:?} already", one_of(database)));
        let id: Arc<str> = id_of(name).into();
        let _turn = self.turn(database, name).await;
        for attempt in 0..ATTEMPTS {
            if self.has(database, name) {
                return Err(there());
            }
            let seen = self.memory.seen(database, &id);
            if seen.rev().is_some() {
                // Its id is taken by a document of another name.
                return Err(Answer::exists(format!("the id {id:?} in {database} belongs to a document of another name")));
            }
            if self.send(Sent { database, id: Arc::clone(&id), seen, body: Some(body.clone()) }).await? {
                return Ok(());
            }
            back_off(attempt).await;
        }
        Err(busy(database, name))
    }

    /// Deletes a document.
    ///
    /// 404 where there is none of this name.
    pub async fn remove(&self, database: Database, name: &str) -> Result<(), Answer> {
        let _turn = self.turn(database, name).await;
        for attempt in 0..ATTEMPTS {
            let Found { id, seen, .. } = self.memory.find(database, name).ok_or_else(|| missing(database, name))?;
            if self.send(Sent { database, id, seen, body: None }).await? {
                return Ok(());
            }
            back_off(attempt).await;
        }
        Err(busy(database, name))
    }

    /// Changes many documents that nobody waits for, in as few bulks as can be and at the store's pace. Those that are not there are
    /// skipped, those that do not change not written. Returns how many were.
    pub async fn edit_many(&self, mut edits: Vec<Edit>) -> Result<usize, StoreError> {
        let mut written = 0;
        for _ in 0..BULK_ATTEMPTS {
            let mut again = Vec::new();
            edits.sort_by_key(|(database, ..)| *database);
            let mut left = edits.into_iter().peekable();
            while let Some(&(database, ..)) = left.peek() {
                let bulk = self.bulk(database).await;
                let part = std::iter::from_fn(|| left.next_if(|(of, ..)| *of == database));
                let (count, conflicts) = bulk.edit(part).await?;
                written += count;
                again.extend(conflicts);
            }
            edits = again;
        }
        Ok(written)
    }

    /// Waits until a database may be written to by who is in no hurry; others of them wait until the bulk is written or dropped.
    pub async fn bulk(&self, database: Database) -> Bulk<'_> {
        Bulk { documents: self, database, turn: self.paces.turn(database).await }
    }

    /// Whether it was written; if another writer came first, memory has what that one wrote.
    async fn send(&self, sent: Sent) -> Result<bool, StoreError> {
        let (database, id) = (sent.database, Arc::clone(&sent.id));
        match self.store.write(vec![sent.write()]).await?.pop() {
            Some(Written::Done(rev)) => {
                self.done(sent, rev).await;
                Ok(true)
            }
            Some(Written::Conflict) => self.read_again(database, vec![id.to_string()]).await.map(|()| false),
            Some(Written::Refused(why)) => Err(StoreError::Refused(format!("{database}/{id}: {why}"))),
            None => Err(StoreError::Unreachable("it does not say what became of a write".into())),
        }
    }

    /// It is durable: a store that does not answer now has written it all the same.
    async fn done(&self, sent: Sent, rev: Rev) {
        let (database, id, seen) = (sent.database, Arc::clone(&sent.id), sent.seen.clone());
        if let Err(error) = self.wrote(database, &id, &seen, sent.document(rev)).await {
            tracing::warn!(%database, %id, "written, but not read again: {error}");
        }
    }
}

/// One bulk's turn at a database.
#[derive(Debug)]
pub struct Bulk<'a> {
    documents: &'a Documents,
    database: Database,
    turn: Option<Turn<'a>>,
}

impl Bulk<'_> {
    /// Takes edits of this database's documents one after the other until those that change something are a bulk, and writes these. Edits
    /// of what is not there, or does not change, are skipped. How many were written, and those that another writer was faster with: memory
    /// has what that one wrote.
    pub async fn edit(self, mut edits: impl Iterator<Item = Edit>) -> Result<(usize, Vec<Edit>), StoreError> {
        let Self { documents, database, turn } = self;
        let most = documents.paces.most().unwrap_or(BULK);
        let (mut sent, mut changing) = (Vec::new(), Vec::new());
        while sent.len() < most
            && let Some(edit) = edits.next()
        {
            let Some(Found { id, seen, mut body }) = documents.memory.find(database, &edit.1) else { continue };
            let before = body.clone();
            (edit.2)(&mut body);
            if body != before {
                sent.push(Sent { database, id, seen, body: Some(body) });
                changing.push(edit);
            }
        }
        if sent.is_empty() {
            return Ok((0, Vec::new()));
        }
        let answers = documents.store.write(sent.iter().map(Sent::write).collect()).await?;
        if let Some(turn) = turn {
            turn.wrote();
        }
        let (mut count, mut conflicts, mut ids) = (0, Vec::new(), Vec::new());
        for ((sent, edit), answer) in sent.into_iter().zip(changing).zip(answers) {
            match answer {
                Written::Done(rev) => {
                    documents.done(sent, rev).await;
                    count += 1;
                }
                Written::Conflict => {
                    ids.push(sent.id.to_string());
                    conflicts.push(edit);
                }
                Written::Refused(why) => {
                    tracing::warn!(%database, id = %sent.id, "the State Database does not want this document: {why}");
                }
            }
        }
        documents.read_again(database, ids).await?;
        Ok((count, conflicts))
    }
}

/// Many writers of one document would meet again and again.
async fn back_off(attempt: u32) {
    if attempt > 2 {
        tokio::time::sleep(Duration::from_millis(u64::from(attempt))).await;
    }
}

fn missing(database: Database, name: &str) -> Answer {
    Answer::missing(format!("there is no {} {name:?}", noun(database)))
}

fn busy(database: Database, name: &str) -> Answer {
    let message = format!("others change {} {name:?} all the time; the change was not made, try again", noun(database));
    Answer::unavailable(message)
}

fn noun(database: Database) -> &'static str {
    match database {
        Database::Structures => "structure",
        Database::Limits => "limits document",
        Database::Rules => "rule",
        Database::Services => "service",
        Database::Users => "user",
        Database::Events => "event",
        Database::Requests => "request",
        Database::Centrals => "central",
    }
}

fn one_of(database: Database) -> String {
    let noun = noun(database);
    format!("{} {noun}", if noun.starts_with('e') { "an" } else { "a" })
}
