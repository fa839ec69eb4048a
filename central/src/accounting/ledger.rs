//! The ledger, as others see it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use headroom_model::wire::Report;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::config::Prices;
use super::query::{Line, Wanted, lines, totals};
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
        self.read(move |connection| lines(connection, &wanted)).await
    }

    /// Everybody's amounts of a time, a line a resource; soon also of a large fleet.
    pub async fn totals(&self, wanted: Wanted) -> Result<Vec<Line>, LedgerError> {
        self.read(move |connection| totals(connection, &wanted)).await
    }

    async fn read(
        &self,
        of: impl FnOnce(&mut Connection) -> rusqlite::Result<Vec<Line>> + Send + 'static,
    ) -> Result<Vec<Line>, LedgerError> {
        let path = self.path.clone();
        let read = move || readable(&path).and_then(|mut connection| of(&mut connection));
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

#[cfg(test)]
mod tests {
    use headroom_model::accounting::Areas;
    use headroom_model::documents::by_resource::ByResource;
    use headroom_model::limit::Limit;
    use headroom_model::resource::Resource;
    use headroom_model::wire::{ContainerReport, GuardState, HostReport, ResourceReport};

    use super::*;

    fn report(host: &str, sequence: u64, used: f64) -> Report {
        let areas = Areas { used, allocated: 2.0 * used, reserved: 4.0 * used };
        let (current, effective) = (Limit::At(200.0), Limit::At(200.0));
        let cpu = ResourceReport { guard: true, current, effective, usage: None, upper: None, lower: None, areas };
        let mut resources = ByResource::default();
        resources.known[Resource::Cpu] = Some(cpu);
        let container = ContainerReport {
            name: format!("cont of {host}"),
            engine: "lxc".into(),
            incarnation: "1".into(),
            application: None,
            guard: GuardState::On,
            notes: Vec::new(),
            seed: None,
            cpu_total: None,
            counted: None,
            throttled: None,
            resources,
        };
        Report {
            host: host.into(),
            instance: "7".into(),
            started_at: 1e9,
            sequence,
            at: 1e9 + 5.0 * (sequence + 1) as f64,
            version: String::new(),
            status: HostReport::default(),
            containers: vec![container],
            decisions: Vec::new(),
            sets: Vec::new(),
            requests: Vec::new(),
        }
    }

    async fn receive(ledger: &Ledger, report: &Report) -> Result<(), LedgerError> {
        ledger.receive(report, report.at, |_| Owners::default()).await
    }

    async fn used(ledger: &Ledger) -> f64 {
        let all = Wanted { to: 2e9, ..Wanted::default() };
        let sum = |lines: Vec<Line>| lines.iter().map(|line| line.areas.used).sum();
        let (lines, totals): (f64, f64) = (sum(ledger.lines(all.clone()).await.unwrap()), sum(ledger.totals(all).await.unwrap()));
        assert!((lines - totals).abs() < 1e-6, "{lines} and {totals}");
        lines
    }

    #[tokio::test]
    async fn what_could_not_be_written_counts_when_it_comes_again() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path(), &Prices::default()).unwrap();
        receive(&ledger, &report("host0", 0, 10.0)).await.unwrap();
        let other = Connection::open(directory.path().join("accounting.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = receive(&ledger, &report("host0", 1, 25.0)).await.unwrap_err().to_string();
        assert!(error.contains("accounting.db") && error.contains("locked"), "{error}");
        assert!(receive(&ledger, &report("host1", 0, 1.0)).await.is_err());
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(used(&ledger).await, 10.0);
        receive(&ledger, &report("host0", 1, 25.0)).await.unwrap();
        receive(&ledger, &report("host1", 0, 1.0)).await.unwrap();
        assert_eq!(used(&ledger).await, 26.0);
        drop(ledger);
        let ledger = Ledger::open(directory.path(), &Prices::default()).unwrap();
        receive(&ledger, &report("host0", 1, 25.0)).await.unwrap();
        receive(&ledger, &report("host0", 2, 30.0)).await.unwrap();
        assert_eq!(used(&ledger).await, 31.0);
    }

    #[tokio::test]
    async fn damaged_counters_are_not_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path(), &Prices::default()).unwrap();
        receive(&ledger, &report("host0", 0, 10.0)).await.unwrap();
        drop(ledger);
        let file = Connection::open(directory.path().join("accounting.db")).unwrap();
        file.execute("UPDATE hosts SET state = x'0102'", []).unwrap();
        let error = Ledger::open(directory.path(), &Prices::default()).unwrap_err().to_string();
        assert!(error.contains("\"host0\" are damaged") && error.contains("accounting.db"), "{error}");
        file.pragma_update(None, "user_version", 9).unwrap();
        let error = Ledger::open(directory.path(), &Prices::default()).unwrap_err().to_string();
        assert!(error.contains("version 9"), "{error}");
    }

    #[tokio::test]
    async fn many_hosts_at_once_are_all_counted() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path(), &Prices::default()).unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for host in 0..300 {
            let ledger = Arc::clone(&ledger);
            waiting.spawn(async move {
                for sequence in 0..3_u32 {
                    receive(&ledger, &report(&format!("host{host}"), sequence.into(), f64::from(sequence + 1))).await.unwrap();
                }
            });
        }
        waiting.join_all().await;
        assert_eq!(used(&ledger).await, 900.0);
        let one = Wanted { structure: Some("cont of host7".into()), to: 2e9, ..Wanted::default() };
        assert_eq!(ledger.lines(one).await.unwrap()[0].areas.reserved, 12.0);
    }

    #[tokio::test]
    async fn who_does_not_wait_is_counted_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path(), &Prices::default()).unwrap();
        let report = report("host0", 0, 10.0);
        tokio::select! {
            biased;
            () = std::future::ready(()) => {}
            _ = receive(&ledger, &report) => {}
        }
        // Nothing was sent: the future was never looked at.
        assert_eq!(used(&ledger).await, 0.0);
        let mut taken = Box::pin(receive(&ledger, &report));
        std::future::poll_fn(|context| {
            let _waits = taken.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
        drop(taken);
        receive(&ledger, &report).await.unwrap();
        assert_eq!(used(&ledger).await, 10.0);
    }
}
