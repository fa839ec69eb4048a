//! The thread that owns the file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::buffer::{Buffer, Due, TURNS};
use super::compaction::Compaction;
use super::config::Settings;
use super::packing::join;
use super::schema::{HOUR_MS, MINUTE_MS, id, place, unreachable};
use super::{Owner, SeriesError, retention};

/// A turn of the buffer.
const TURN: Duration = Duration::from_secs(1);

/// How many turns pass before it is looked again for what is old, where nothing was.
const REST: u8 = 30;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Command {
    /// Write everything down.
    Flush(oneshot::Sender<Result<(), SeriesError>>),
    /// Do what is to be done at a time in ms, however much it is: packing, rolling up, retention.
    Tidy(i64, oneshot::Sender<Result<(), SeriesError>>),
}

pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) buffer: Arc<Mutex<Buffer>>,
    pub(super) settings: Settings,
    pub(super) compaction: Compaction,
    /// Milliseconds since the epoch.
    pub(super) clock: fn() -> i64,
    /// Turns until it is looked for what is old.
    pub(super) rest: u8,
}

impl Writer {
    /// Works until nobody can ask for anything any more; then writes down what is left.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut next = Instant::now() + TURN;
        let mut turn = 0;
        loop {
            match commands.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Command::Flush(reply)) => reply.send(self.write(None)).unwrap_or_default(),
                Ok(Command::Tidy(now, reply)) => reply.send(self.tidy(now)).unwrap_or_default(),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    turn = (turn + 1) % TURNS;
                    next = (next + TURN).max(Instant::now());
                    self.turn(turn);
                }
            }
        }
        self.write(None).unwrap_or_else(|e| tracing::error!("the last series are lost: {e}"));
    }

    fn turn(&mut self, turn: u8) {
        if let Err(e) = self.write(Some(turn)) {
            tracing::warn!("series wait to be written: {e}");
        }
        let lost = self.buffer.lock().lost();
        if lost > 0 {
            tracing::error!(rows = lost, "series could not be written for a minute and are lost");
        }
        let done = self.tidy_a_little();
        if let Err(e) = done {
            self.compaction.reset();
            tracing::warn!("series are not tidied up: {}", unreachable(&self.path, &e));
        }
    }

    /// One thing or the other, so that a turn stays short.
    fn tidy_a_little(&mut self) -> rusqlite::Result<()> {
        let now = (self.clock)();
        if self.compaction.step(&mut self.connection, now)? {
            self.rest = 0;
        } else if self.rest > 0 {
            self.rest -= 1;
        } else if !retention::step(&mut self.connection, &self.settings, now)? {
            self.rest = REST;
        }
        Ok(())
    }

    fn tidy(&mut self, now: i64) -> Result<(), SeriesError> {
        let mut all = || -> rusqlite::Result<()> {
            while self.compaction.step(&mut self.connection, now)? {}
            while retention::step(&mut self.connection, &self.settings, now)? {}
            Ok(())
        };
        all().map_err(|e| unreachable(&self.path, &e))
    }

    /// Writes down what this turn has, or everything.
    fn write(&mut self, turn: Option<u8>) -> Result<(), SeriesError> {
        let due = self.buffer.lock().due(turn);
        if due.is_empty() {
            return Ok(());
        }
        match self.commit(&due) {
            Ok(written) => {
                self.buffer.lock().confirm(written.into_iter());
                Ok(())
            }
            Err(e) => {
                self.buffer.lock().keep_last();
                Err(unreachable(&self.path, &e))
            }
        }
    }

    fn commit(&mut self, due: &[Due]) -> rusqlite::Result<Vec<(Owner, u32)>> {
        let transaction = self.connection.transaction()?;
        let mut written = Vec::with_capacity(due.len());
        {
            // An owner has two chunks in one minute when a restart falls into it.
            let mut insert = transaction.prepare_cached(
                "INSERT INTO fresh VALUES (?1, ?2) ON CONFLICT (place) DO UPDATE SET data = CAST(data || excluded.data AS BLOB)",
            )?;
            let mut cell = Vec::new();
            for Due { owner, id: known, chunk } in due {
                let id = known.map_or_else(|| register(&transaction, owner, chunk.first.div_euclid(HOUR_MS)), Ok)?;
                cell.clear();
                join(&mut cell, &chunk.bytes);
                insert.execute(params![place(chunk.first.div_euclid(MINUTE_MS), id), cell])?;
                written.push((owner.clone(), id));
            }
        }
        transaction.commit()?;
        Ok(written)
    }
}

/// The number of an owner, old or new.
fn register(connection: &Connection, owner: &Owner, hour: i64) -> rusqlite::Result<u32> {
    if let Some(id) = id(connection, owner)? {
        return Ok(id);
    }
    let mut insert = connection.prepare_cached("INSERT INTO owners (kind, name, seen) VALUES (?1, ?2, ?3) RETURNING id")?;
    insert.query_row(params![owner.kind as u8, &*owner.name, hour], |row| row.get(0))
}

/// Milliseconds since the epoch.
pub(super) fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
