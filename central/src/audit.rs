//! The audit: who or what changed which limit or setting, when, and why. Kept in a file of its own, the newest million of entries.

mod table;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use headroom_model::wire::Decision;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::answer::{Answer, json};
use crate::central::{Central, wall};
use table::Table;

/// Entries that may wait to be written; what comes beyond them is counted and lost.
const WAITING: usize = 100_000;

/// The most that one question is answered with.
const MOST: usize = 10_000;

/// One entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Seconds since the epoch, by our clock.
    pub at: f64,
    /// The structure that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structure: Option<String>,
    /// The host whose agent decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The token's name, `anyone` where none was needed, `agent` for decisions.
    pub who: String,
    /// What a person changed, in words; an agent's decision, as [`Decision`].
    pub what: Value,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Only about this structure.
    pub structure: Option<String>,
    /// Only by this host's agent.
    pub host: Option<String>,
    /// Only from then on: seconds since the epoch.
    pub from: Option<f64>,
    /// Only before then.
    pub to: Option<f64>,
    /// At most so many; 100 if not given, 10,000 at most.
    pub limit: Option<usize>,
}

impl Wanted {
    /// How many, at most.
    fn limit(&self) -> usize {
        self.limit.unwrap_or(100).min(MOST)
    }

    /// As another central is asked.
    fn query(&self) -> Vec<(&'static str, String)> {
        let number = |n: Option<f64>| n.map(|n| n.to_string());
        let all = [
            ("structure", self.structure.clone()),
            ("host", self.host.clone()),
            ("from", number(self.from)),
            ("to", number(self.to)),
            ("limit", Some(self.limit().to_string())),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

#[derive(Debug)]
enum Job {
    Add(Vec<Entry>),
    Flush(oneshot::Sender<()>),
}

/// Takes entries in, and finds them again.
#[derive(Debug)]
pub struct Audit {
    jobs: mpsc::Sender<Job>,
    table: Table,
}

impl Audit {
    /// Opens the file, or makes it, and starts its writer.
    pub fn open(path: &Path) -> Result<Self> {
        let mut writer = Table::open(path)?;
        let (jobs, mut queue) = mpsc::channel(WAITING);
        let write = move || {
            let mut batch = Vec::new();
            while let Some(job) = queue.blocking_recv() {
                let mut flushed = Vec::new();
                let mut take = |job| match job {
                    Job::Add(entries) => batch.extend(entries),
                    Job::Flush(done) => flushed.push(done),
                };
                take(job);
                while let Ok(job) = queue.try_recv() {
                    take(job);
                }
                if let Err(e) = writer.add(&batch) {
                    tracing::error!("{} entries of the audit are lost: {e:#}", batch.len());
                }
                batch.clear();
                for done in flushed {
                    // Whoever waits may have gone.
                    done.send(()).ok();
                }
            }
        };
        std::thread::Builder::new().name("audit".into()).spawn(write)?;
        Ok(Self { jobs, table: Table::open(path)? })
    }

    /// A person or a program changed something.
    pub fn changed(&self, who: &str, what: String) {
        self.add(vec![Entry { at: wall(), structure: None, host: None, who: who.to_owned(), what: what.into() }]);
    }

    /// The same, about one structure.
    pub fn changed_structure(&self, who: &str, structure: &str, what: String) {
        let structure = Some(structure.to_owned());
        self.add(vec![Entry { at: wall(), structure, host: None, who: who.to_owned(), what: what.into() }]);
    }

    /// An agent decided; its clock is so far behind ours.
    pub fn decided(&self, host: &str, behind: f64, decisions: &[Decision]) {
        if decisions.is_empty() {
            return;
        }
        let entry = |decision: &Decision| Entry {
            at: decision.at + behind,
            structure: Some(decision.structure.clone()),
            host: Some(host.to_owned()),
            who: "agent".to_owned(),
            what: serde_json::to_value(decision).unwrap_or_default(),
        };
        self.add(decisions.iter().map(entry).collect());
    }

    /// Central decided about a group.
    pub fn judged(&self, decision: &Decision) {
        let what = serde_json::to_value(decision).unwrap_or_default();
        let structure = Some(decision.structure.clone());
        self.add(vec![Entry { at: decision.at, structure, host: None, who: "guardian".to_owned(), what }]);
    }

    fn add(&self, entries: Vec<Entry>) {
        if self.jobs.try_send(Job::Add(entries)).is_err() {
            tracing::warn!("the audit does not keep up: entries are lost");
        }
    }

    /// When everything that was added is on disk.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.jobs.send(Job::Flush(done)).await.is_ok() {
            flushed.await.ok();
        }
    }

    /// What of all that was added is wanted, newest first.
    pub async fn entries(&self, wanted: Wanted) -> Result<Vec<Entry>, Answer> {
        // What was answered before is to be seen.
        self.flush().await;
        self.find(wanted).await.map_err(|e| Answer::failed(format!("{e:#}")))
    }

    /// Newest first.
    pub async fn find(&self, wanted: Wanted) -> Result<Vec<Entry>> {
        let table = self.table.clone();
        tokio::task::spawn_blocking(move || table.find(&wanted)).await?
    }
}

/// `GET /decisions`.
pub fn router() -> Router<Central> {
    Router::new().route("/decisions", get(decisions)).route("/decisions/", get(decisions))
}

async fn decisions(
    State(central): State<Central>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Answer> {
    let Query(wanted) = wanted.map_err(|e| Answer::bad(e.body_text()))?;
    let mut lists = vec![central.audit.entries(wanted.clone()).await?];
    lists.extend(central.ask_others::<Vec<Entry>>("/central/decisions", &wanted.query()).await);
    Ok(json(StatusCode::OK, &together(lists, wanted.limit())))
}

/// Newest first. A report that went to two centrals, since no answer came from the first, has its decisions once.
fn together(lists: Vec<Vec<Entry>>, limit: usize) -> Vec<Entry> {
    if lists.len() == 1 {
        return lists.into_iter().flatten().collect();
    }
    let mut entries: Vec<Entry> = lists.into_iter().flatten().collect();
    entries.sort_by(|a, b| b.at.total_cmp(&a.at));
    let mut decided = BTreeSet::new();
    entries.retain(|entry| entry.host.is_none() || decided.insert((entry.host.clone(), entry.what.to_string())));
    entries.truncate(limit);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn entries_are_found_again_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.db");
        let audit = Audit::open(&path).unwrap();
        audit.changed("ann", "rule CpuRescaleUp: amount 75 -> 100".into());
        audit.changed_structure("ben", "cont0", "guard".into());
        audit.flush().await;
        drop(audit);
        let audit = Audit::open(&path).unwrap();
        let found = audit.find(Wanted::default()).await.unwrap();
        assert_eq!(found.iter().map(|e| e.who.as_str()).collect::<Vec<_>>(), ["ben", "ann"]);
        let of_one = Wanted { structure: Some("cont0".into()), ..Wanted::default() };
        assert_eq!(audit.find(of_one).await.unwrap(), found[..1]);
        let later = Wanted { from: Some(wall() + 1.0), ..Wanted::default() };
        assert_eq!(audit.find(later).await.unwrap(), []);
        let one = Wanted { limit: Some(1), ..Wanted::default() };
        assert_eq!(audit.find(one).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_file_without_a_version_gets_one_and_one_of_another_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.db");
        let audit = Audit::open(&path).unwrap();
        audit.changed("ann", "rule CpuRescaleUp: amount 75 -> 100".into());
        audit.flush().await;
        drop(audit);
        let file = rusqlite::Connection::open(&path).unwrap();
        file.pragma_update(None, "user_version", 0).unwrap();
        let audit = Audit::open(&path).unwrap();
        assert_eq!(audit.find(Wanted::default()).await.unwrap().len(), 1);
        drop(audit);
        file.pragma_update(None, "user_version", 2).unwrap();
        let error = format!("{:#}", Audit::open(&path).unwrap_err());
        assert!(error.contains("audit.db: it is of version 2"), "{error}");
    }
}
