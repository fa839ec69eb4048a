//! The embedded store: one SQLite file.
//!
//! One thread writes. It takes whatever waits and commits it at once, so that many changes wait for one fsync together
//! (write-ahead log, `synchronous = FULL`: what was answered outlives the machine's crash). Readers have connections of their own. Every
//! write has the next number of one sequence: it is the document's version and its place in the feed. Deleted documents stay as rows
//! without a body, so that the feed can tell of them; the oldest of them are forgotten in time.

mod read;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Change, Cursor, Database, Document, StateStore, StoreError, Write, Written};
use writer::Writer;

/// How often a feed looks for what another process wrote to the file.
const LOOK: Duration = Duration::from_millis(500);

/// The most changes that are told at once; there is more where there are as many. They are in memory, understood.
const MANY: usize = 200;

/// How many connections wait for the next question.
const READERS: usize = 4;

/// The embedded store.
#[derive(Debug)]
pub struct Sqlite {
    readers: Arc<Readers>,
    writer: Writer,
    written: watch::Receiver<i64>,
}

impl Sqlite {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open(path)?;
        let end = read::end(&connection).map_err(|e| unreachable(&e))?;
        let (told, written) = watch::channel(end);
        let writer = Writer::start(connection, told)?;
        Ok(Self { readers: Arc::new(Readers { path: path.to_owned(), idle: Mutex::default() }), writer, written })
    }

    /// Runs a question where it may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(&self.readers);
        let asked = tokio::task::spawn_blocking(move || readers.with(question)).await;
        asked.map_err(|e| StoreError::Unreachable(format!("a reader ended: {e}")))?.map_err(|e| unreachable(&e))
    }
}

#[async_trait]
impl StateStore for Sqlite {
    async fn read(&self, database: Database, id: &str) -> Result<Option<Document>, StoreError> {
        let id = id.to_owned();
        self.ask(move |connection| read::one(connection, database, &id)).await
    }

    async fn read_many(&self, database: Database, ids: &[String]) -> Result<Vec<Option<Document>>, StoreError> {
        let ids = ids.to_vec();
        self.ask(move |connection| ids.iter().map(|id| read::one(connection, database, id)).collect()).await
    }

    async fn page(&self, database: Database, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let after = after.map(str::to_owned);
        self.ask(move |connection| read::page(connection, database, after.as_deref(), limit)).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.write(writes).await
    }

    async fn end(&self) -> Result<Cursor, StoreError> {
        Ok(Cursor(self.ask(read::end).await?.to_string()))
    }

    async fn changes(&self, since: &Cursor, wait: Duration) -> Result<(Vec<Change>, Cursor), StoreError> {
        let sequence: i64 =
            since.0.parse().map_err(|e| StoreError::Refused(format!("{:?} is no place in the feed: {e}", since.0)))?;
        let until = Instant::now() + wait;
        let mut written = self.written.clone();
        loop {
            written.borrow_and_update();
            let feed = self.ask(move |connection| read::changes(connection, sequence, MANY)).await?;
            let Some((changes, last)) = feed else {
                return Err(StoreError::Refused(format!("the feed does not reach back to {sequence}: read everything again")));
            };
            if !changes.is_empty() || Instant::now() >= until {
                return Ok((changes, Cursor(last.to_string())));
            }
            // Either our writer tells, or it is time to look for another process's.
            if let Ok(Err(_ended)) = timeout_at(until.min(Instant::now() + LOOK), written.changed()).await {
                return Err(StoreError::Unreachable("its writer has ended".into()));
            }
        }
    }
}

/// Connections that read, as many as are needed at once.
#[derive(Debug)]
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    fn with<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.idle.lock().pop();
        let connection = idle.map_or_else(|| schema::open_to_read(&self.path), Ok)?;
        let answer = question(&connection)?;
        // One that failed is not used again.
        let mut idle = self.idle.lock();
        if idle.len() < READERS {
            idle.push(connection);
        }
        Ok(answer)
    }
}

fn unreachable(error: &rusqlite::Error) -> StoreError {
    StoreError::Unreachable(error.to_string())
}
