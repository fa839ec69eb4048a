//! The ledger, as others see it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use headroom_model::wire::Report;
use tokio::sync::oneshot;

use super::config::Prices;
use super::query::{Line, Wanted, lines};
use super::schema::{readable, writable};
use super::state::Counts;
use super::writer::{Take, Writer};
use crate::answer::Answer;
use crate::refeeder::Owners;

/// Why amounts are not counted, or not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the accounts cannot be reached: {0}")]
pub struct LedgerError(String);

impl LedgerError {
    pub(super) fn new(path: &Path, error: &dyn fmt::Display) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl From<LedgerError> for Answer {
    fn from(error: LedgerError) -> Self {
        Self::unavailable(error.to_string())
    }
}

/// The accounts of a fleet: a SQLite file, `accounting.db`, with a thread that writes it.
pub struct Ledger {
    path: PathBuf,
    takes: Option<mpsc::Sender<Take>>,
    thread: Option<JoinHandle<()>>,
}

impl Ledger {
    /// Opens the file in a directory, or makes it.
    pub fn open(directory: &Path, prices: &Prices) -> Result<Arc<Self>, LedgerError> {
        let path = directory.join("accounting.db");
        let open = || -> Result<_, String> {
            let writer = Writer::load(path.clone(), writable(&path)?, prices.clone())?;
            let (sender, takes) = mpsc::channel();
            let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || writer.run(&takes));
            Ok((sender, thread.map_err(|e| e.to_string())?))
        };
        let (takes, thread) = open().map_err(|e| LedgerError::new(&path, &e))?;
        Ok(Arc::new(Self { path, takes: Some(takes), thread: Some(thread) }))
    }

    /// Counts what a report says; durable when it returns, also if the future is dropped before. `at`: when the report's contents were so, by our
    /// clock, in seconds since the epoch. `owners`: whom a container belongs to now. A report that was counted before counts for nothing; after an
    /// error none of it is counted, and the same report is to come again.
    pub async fn receive(&self, report: &Report, at: f64, owners: impl Fn(&str) -> Owners) -> Result<(), LedgerError> {
        let (reply, done) = oneshot::channel();
        let take = Take { counts: Counts::of(report, at, owners), reply };
        let ended = || LedgerError::new(&self.path, &"the thread that writes it has ended");
        if self.takes.as_ref().is_none_or(|takes| takes.send(take).is_err()) {
            return Err(ended());
        }
        done.await.unwrap_or_else(|_| Err(ended()))
    }

    /// The amounts of a time, by account and resource.
    pub async fn lines(&self, wanted: Wanted) -> Result<Vec<Line>, LedgerError> {
        let path = self.path.clone();
        let read = move || readable(&path).and_then(|mut connection| lines(&mut connection, &wanted));
        match tokio::task::spawn_blocking(read).await {
            Ok(lines) => lines.map_err(|e| LedgerError::new(&self.path, &e)),
            Err(e) => Err(LedgerError::new(&self.path, &e)),
        }
    }
}

impl Drop for Ledger {
    /// What is under way is finished.
    fn drop(&mut self) {
        drop(self.takes.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes {} had panicked", self.path.display());
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("path", &self.path).finish_non_exhaustive()
    }
}
