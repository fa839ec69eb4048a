//! Series in a SQLite file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::buffer::Buffer;
use super::compaction::Compaction;
use super::config::Settings;
use super::reader::read;
use super::schema::{readable, unreachable, writable};
use super::writer::{Command, Writer, wall_ms};
use super::{Points, Query, Sample, SeriesError, TimeSeriesSink};

/// How many connections wait for the next query.
const READERS: usize = 4;

/// One file of series, with a thread that writes it.
pub struct Embedded {
    path: PathBuf,
    buffer: Arc<Mutex<Buffer>>,
    readers: Arc<Mutex<Vec<Connection>>>,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens a file, or makes it.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, SeriesError> {
        Self::with_clock(path, settings, wall_ms)
    }

    /// The same, with what is old told by another clock: milliseconds since the epoch.
    pub fn with_clock(path: &Path, settings: &Settings, clock: fn() -> i64) -> Result<Self, SeriesError> {
        let buffer = Arc::new(Mutex::new(Buffer::default()));
        let writer = Writer {
            path: path.to_owned(),
            connection: writable(path)?,
            buffer: Arc::clone(&buffer),
            settings: settings.clone(),
            compaction: Compaction::default(),
            clock,
            rest: 0,
        };
        let (sender, commands) = mpsc::channel();
        let thread = std::thread::Builder::new().name("series".into()).spawn(move || writer.run(&commands));
        let thread = thread.map_err(|e| SeriesError::Unreachable(format!("a thread is needed: {e}")))?;
        Ok(Self { path: path.to_owned(), buffer, readers: Arc::default(), commands: Some(sender), thread: Some(thread) })
    }

    /// Packs, rolls up and drops what is to be at a time in ms since the epoch, instead of bit by bit when the time comes.
    pub async fn tidy(&self, now: i64) -> Result<(), SeriesError> {
        self.ask(|reply| Command::Tidy(now, reply)).await
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Result<(), SeriesError>>) -> Command) -> Result<(), SeriesError> {
        let (reply, done) = oneshot::channel();
        let sent = self.commands.as_ref().is_some_and(|commands| commands.send(command(reply)).is_ok());
        let ended = || SeriesError::Unreachable(format!("{}: the thread that writes it has ended", self.path.display()));
        if sent { done.await.unwrap_or_else(|_| Err(ended())) } else { Err(ended()) }
    }
}

#[async_trait]
impl TimeSeriesSink for Embedded {
    async fn append(&self, at: f64, samples: Vec<Sample>) -> Result<(), SeriesError> {
        let has_room = self.buffer.lock().append(milliseconds(at), &samples);
        if has_room { Ok(()) } else { self.flush().await }
    }

    async fn query(&self, query: Query) -> Result<Points, SeriesError> {
        // First what is not in the file: what is written meanwhile is seen twice then, which is noticed, and not never.
        let buffered = self.buffer.lock().chunks(&query.owner);
        let (path, readers) = (self.path.clone(), Arc::clone(&self.readers));
        let answered = tokio::task::spawn_blocking(move || {
            let waiting = readers.lock().pop();
            let mut connection = waiting.map_or_else(|| readable(&path), Ok).map_err(|e| unreachable(&path, &e))?;
            let points = read(&mut connection, &query, &buffered, &path)?;
            let mut readers = readers.lock();
            if readers.len() < READERS {
                readers.push(connection);
            }
            Ok(points)
        });
        answered.await.unwrap_or_else(|e| Err(SeriesError::Unreachable(format!("{}: {e}", self.path.display()))))
    }

    async fn flush(&self) -> Result<(), SeriesError> {
        self.ask(Command::Flush).await
    }
}

impl Drop for Embedded {
    /// What is buffered is written down.
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes {} had panicked", self.path.display());
        }
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("path", &self.path).finish_non_exhaustive()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "times of this and the next ten thousand years fit")]
pub(super) fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}
