//! The thread that owns the file and the counters.
//!
//! Reports that came while the last transaction was made durable are one transaction together. Each is answered when it is durable; where that
//! fails all of them are as if they had not come, and agents send them again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::codec::{decode, encode};
use super::config::Prices;
use super::ledger::LedgerError;
use super::schema::{account, file_all, holder};
use super::state::{Counts, Host};
use super::tidy::tidy;
use crate::central::wall;

/// The most reports of one transaction.
const TOGETHER: usize = 256;

/// How often is looked for what is old. A little of it is done each time, so that no report waits for long.
const TIDY: Duration = Duration::from_secs(1);

/// A report to be counted.
#[derive(Debug)]
pub(super) struct Take {
    pub(super) counts: Counts,
    pub(super) reply: oneshot::Sender<Result<(), LedgerError>>,
}

pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) hosts: BTreeMap<Arc<str>, Host>,
    pub(super) prices: Prices,
}

impl Writer {
    /// Takes up what the file has. Errors are for people.
    pub(super) fn load(path: PathBuf, connection: Connection, prices: Prices) -> Result<Self, String> {
        let mut hosts = BTreeMap::new();
        {
            let mut all = connection.prepare("SELECT name, state FROM hosts").map_err(|e| e.to_string())?;
            let rows =
                all.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))).map_err(|e| e.to_string())?;
            for row in rows {
                let (name, state) = row.map_err(|e| e.to_string())?;
                let state = decode(&state, |account| holder(&connection, account).ok().flatten());
                // Going on without it would count everything again that it counted.
                let state = state.ok_or_else(|| {
                    format!(
                        "the counters of host {name:?} are damaged; put back a copy of the file, or move it away to begin anew"
                    )
                })?;
                hosts.insert(name.into(), state);
            }
        }
        Ok(Self { path, connection, hosts, prices })
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn run(mut self, takes: &Receiver<Take>) {
        let mut next = Instant::now();
        loop {
            match takes.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(first) => self.together(std::iter::once(first).chain(takes.try_iter()).take(TOGETHER).collect()),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next {
                next = Instant::now() + TIDY;
                if let Err(e) = tidy(&mut self.connection, &self.prices, wall()) {
                    tracing::warn!("old amounts are not merged: {}: {e}", self.path.display());
                }
            }
        }
    }

    fn together(&mut self, takes: Vec<Take>) {
        let mut before = BTreeMap::new();
        let (counts, replies): (Vec<Counts>, Vec<_>) = takes.into_iter().map(|take| (take.counts, take.reply)).unzip();
        let outcome = self.commit(counts, &mut before).map_err(|e| LedgerError::new(&self.path, &e));
        if let Err(e) = &outcome {
            tracing::error!("{} reports are not accounted for now: {e}", replies.len());
            for (name, host) in before {
                match host {
                    Some(host) => self.hosts.insert(name, host),
                    None => self.hosts.remove(&name),
                };
            }
        }
        for reply in replies {
            // Who does not wait for it any more sends it again.
            reply.send(outcome.clone()).unwrap_or_default();
        }
    }

    /// `before`: hosts that changed, as they were.
    fn commit(&mut self, reports: Vec<Counts>, before: &mut BTreeMap<Arc<str>, Option<Host>>) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for counts in reports {
            let name: Arc<str> = counts.host.as_str().into();
            let mut host = self.hosts.get(&name).cloned().unwrap_or_default();
            let filed = host.count(counts, |holder| account(&transaction, &name, holder))?;
            let Some(filed) = filed else { continue };
            file_all(&transaction, &filed)?;
            let was = self.hosts.insert(Arc::clone(&name), host);
            before.entry(name).or_insert(was);
        }
        let mut write = transaction.prepare_cached(
            "INSERT INTO hosts (name, state) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET state = excluded.state",
        )?;
        for name in before.keys() {
            if let Some(host) = self.hosts.get(name) {
                write.execute(params![&**name, encode(host)])?;
            }
        }
        drop(write);
        transaction.commit()
    }
}
