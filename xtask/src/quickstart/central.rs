//! The central service of the quickstart, and its Orchestrator API.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::agent::free_address;
use super::daemon::Daemon;

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running central; ended when this is dropped.
pub(super) struct Central {
    /// Its process.
    pub(super) daemon: Daemon,
}

impl Central {
    /// Starts it on a new State Database.
    pub(super) fn start(binary: &Path, dir: &Path) -> Result<Self> {
        let (address, log, state) = (free_address(5000)?, dir.join("central.log"), dir.join("central"));
        if state.exists() {
            fs::remove_dir_all(&state).with_context(|| state.display().to_string())?;
        }
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", &address, "--state-dir"]).arg(&state);
        let mut daemon = Daemon::start(&mut command, &log, &address)?;
        let until = Instant::now() + PATIENCE;
        while daemon.get::<Value>("/heartbeat").is_err() {
            if daemon.ended()?.is_some() || Instant::now() > until {
                bail!("the central service does not come up:\n{}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { daemon })
    }

    /// What is at a path.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        self.daemon.get(path)
    }

    /// A change, shown as the command that would make it.
    pub(super) fn put(&self, path: &str, value: Option<Value>) -> Result<()> {
        let url = format!("{}{path}", self.daemon.url);
        let body = value.map(|value| json!({ "value": value }));
        let data = body.as_ref().map_or_else(String::new, |body| format!(" -d '{body}'"));
        println!("  curl -X PUT {url}{data}");
        let request = ureq::put(&url).content_type("application/json");
        let sent = match &body {
            Some(body) => request.send_json(body),
            None => request.send_empty(),
        };
        sent.map(|_| ()).with_context(|| format!("{url} (log: {})", self.daemon.log.display()))
    }

    /// Ends it in order.
    pub(super) fn end(self) -> Result<()> {
        self.daemon.end().context("the central service")
    }
}
