//! A CouchDB for a bench: the one that `HEADROOM_TEST_COUCHDB` names, else a server that stands for it, as in central's tests.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::bench::ground::{self, Running};
use crate::bench::proc;
use crate::couchdb;

/// Names one, as in central's tests: `http://name:password@host:port`.
const GENUINE: &str = "HEADROOM_TEST_COUCHDB";

/// What is written there, in central's words.
const DATABASES: [&str; 8] = ["structures", "limits", "rules", "services", "users", "events", "requests", "centrals"];

/// Longer than anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Eight databases of its own, which are gone in the end.
pub(super) struct CouchDb {
    databases: Databases,
    credentials: TempDir,
    /// Ends with the value; none where the server is not ours.
    server: Option<Running>,
}

/// Where they are, and as whom they are asked.
#[derive(Clone)]
struct Databases {
    address: String,
    credentials: String,
    prefix: String,
}

/// What is asked about a database.
#[derive(serde::Deserialize)]
struct Info {
    update_seq: Value,
    doc_count: u64,
}

impl CouchDb {
    pub(super) fn start() -> Result<Self> {
        let credentials = ground::scratch()?;
        let (server, url) = match std::env::var(GENUINE) {
            Ok(url) => (None, url),
            Err(_) => start(&credentials).map(|(server, url)| (Some(server), url))?,
        };
        let (address, who) = parted(&url)?;
        fs::write(credentials.path().join("credentials"), format!("{who}\n"))?;
        let prefix = format!("headroom-bench-{}_", std::process::id());
        let databases = Databases { address, credentials: who, prefix };
        if server.is_none() {
            let databases = databases.clone();
            ground::undo_on_signals(move || databases.delete());
        }
        Ok(Self { databases, credentials, server })
    }

    /// Settings of a central that keeps its documents there.
    pub(super) fn settings(&self) -> String {
        let Databases { address, prefix, .. } = &self.databases;
        let file = self.credentials.path().join("credentials").display().to_string();
        format!("store = \"couchdb\"\n[couchdb]\nurl = {address:?}\ncredentials_file = {file:?}\nprefix = {prefix:?}\n")
    }

    /// Documents that were written so far, by database: what is written twice counts twice. A database's sequence is the number of its writes, on
    /// CouchDB with more behind a hyphen.
    pub(super) fn written(&self) -> Result<BTreeMap<&'static str, u64>> {
        let count = |database: &'static str| -> Result<(&'static str, u64)> {
            let sequence = self.databases.info(database)?.update_seq;
            let expected = || format!("{database} has update_seq {sequence}, expected a number first");
            Ok((database, writes(&sequence).with_context(expected)?))
        };
        DATABASES.into_iter().map(count).collect()
    }

    /// How many structures have a document.
    pub(super) fn structures(&self) -> Result<u64> {
        Ok(self.databases.info("structures")?.doc_count)
    }

    /// CPU time of the server so far, where it is ours.
    pub(super) fn cpu_s(&self) -> Result<Option<f64>> {
        self.server.as_ref().map(|server| proc::cpu_s(server.pid())).transpose()
    }
}

impl Drop for CouchDb {
    fn drop(&mut self) {
        // One of ours keeps nothing.
        if self.server.is_none() {
            self.databases.delete();
        }
    }
}

impl Databases {
    fn url(&self, database: &str) -> String {
        let (scheme, place) = self.address.split_once("://").unwrap_or(("http", &self.address));
        format!("{scheme}://{}@{place}/{}{database}", self.credentials, self.prefix)
    }

    fn info(&self, database: &str) -> Result<Info> {
        let mut answer = client().get(self.url(database)).call().with_context(|| format!("CouchDB's database {database}"))?;
        Ok(answer.body_mut().read_json()?)
    }

    fn delete(&self) {
        for database in DATABASES {
            // One that was not made yet is as good as deleted.
            client().delete(self.url(database)).call().ok();
        }
    }
}

/// Whatever proxies the environment names are not for this machine's own servers.
fn client() -> ureq::Agent {
    ureq::Agent::config_builder().proxy(None).timeout_global(Some(PATIENCE)).build().new_agent()
}

/// The server of central's tests, and its URL.
fn start(scratch: &TempDir) -> Result<(Running, String)> {
    let missing = couchdb::missing();
    ensure!(missing.is_empty(), "{}; or name a CouchDB in {GENUINE}", missing.join("; "));
    couchdb::fetch()?;
    let mut node = Command::new("node");
    node.arg(couchdb::server()).args(["0", "admin", "right"]).env("NODE_PATH", couchdb::modules());
    // Its log is there, and it ends with its standard input: with us.
    node.env("TMPDIR", scratch.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = Running::start(&mut node)?;
    let mut line = String::new();
    BufReader::new(server.child.stdout.take().context("node has no stdout")?).read_line(&mut line)?;
    let address = line.trim().strip_prefix("listening on http://").with_context(|| format!("node said {line:?}"))?;
    let url = format!("http://admin:right@{}", address.trim_end_matches('/'));
    Ok((server, url))
}

/// The address, and `name:password`.
fn parted(url: &str) -> Result<(String, String)> {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (who, place) = rest.rsplit_once('@')?;
        who.contains(':').then(|| (format!("{scheme}://{}", place.trim_end_matches('/')), who.to_owned()))
    });
    parts.with_context(|| format!("{GENUINE} is {url:?}, expected http://name:password@host:port"))
}

/// The number that a sequence begins with.
fn writes(sequence: &Value) -> Option<u64> {
    match sequence {
        Value::String(text) => text.split('-').next()?.parse().ok(),
        other => other.as_u64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_begins_with_the_number_of_writes() {
        let table =
            [("\"1207-g1AAAABXeJzLYWBg\"", Some(1207)), ("\"12\"", Some(12)), ("7", Some(7)), ("\"x-1\"", None), ("null", None)];
        for (sequence, expected) in table {
            assert_eq!(writes(&serde_json::from_str(sequence).unwrap()), expected, "{sequence}");
        }
    }

    #[test]
    fn a_genuine_one_is_named_by_its_url() {
        let (address, who) = parted("https://ann:p@ss@db:5984/").unwrap();
        assert_eq!((address.as_str(), who.as_str()), ("https://db:5984", "ann:p@ss"));
        assert!(parted("http://db:5984").is_err() && parted("http://ann@db:5984").is_err());
    }
}
