//! The real service, started for a bench.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use tempfile::TempDir;

use super::http::Connection;
use crate::bench::ground::{self, Running};
use crate::bench::{Built, proc};
use crate::process;

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// The file with its settings.
const SETTINGS: &str = "central.toml";

/// Documents by database and name, without what heartbeats change.
pub(super) type Documents = BTreeMap<String, Value>;

pub(super) struct Service {
    running: Running,
    binary: PathBuf,
    dir: TempDir,
    pub(super) address: SocketAddr,
}

impl Service {
    pub(super) fn start(built: &Built) -> Result<Self> {
        Self::start_in(built, ground::scratch()?, "")
    }

    /// The same on what a directory has already, in `state`, with other settings: lines of TOML.
    pub(super) fn start_in(built: &Built, dir: TempDir, settings: &str) -> Result<Self> {
        let (log, binary) = (dir.path().join("log"), built.release.join("headroom-central"));
        let mut command = Command::new(&binary);
        fs::write(dir.path().join(SETTINGS), settings)?;
        command.args(["serve", "--listen", "127.0.0.1:0", "--state-dir"]).arg(dir.path().join("state"));
        command.arg("--config").arg(dir.path().join(SETTINGS));
        command
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?);
        let mut running = Running::start(&mut command)?;
        let began = Instant::now();
        let address = loop {
            let text = fs::read_to_string(&log)?;
            if let Some((_, rest)) = text.split_once("address=") {
                break rest.split_whitespace().next().context("no address")?.parse()?;
            }
            let ended = running.child.try_wait()?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                bail!("central does not come up ({ended:?}): {text}");
            }
            sleep(Duration::from_millis(10));
        };
        Ok(Self { running, binary, dir, address })
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A line of `/proc/<pid>/status` that is in kB, in MiB.
    pub(super) fn memory_mib(&self, key: &str) -> Result<f64> {
        proc::memory_mib(self.running.pid(), key)
    }

    /// CPU time so far.
    pub(super) fn cpu_s(&self) -> Result<f64> {
        proc::cpu_s(self.running.pid())
    }

    /// The same by threads.
    pub(super) fn cpu_times(&self) -> Result<BTreeMap<String, f64>> {
        proc::cpu_times(self.running.pid())
    }

    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let mut connection = Connection::open(self.address)?;
        connection.ask("GET", path, "", b"")?;
        let (status, body) = connection.answer()?;
        ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }

    /// How many of a fleet's hosts and containers it does not know.
    pub(super) fn missing(&self, agents: usize, containers: usize) -> Result<u64> {
        let documents = self.documents()?;
        let known = documents.keys().filter(|key| key.starts_with("structures/")).count();
        Ok((agents * (containers + 1)).saturating_sub(known) as u64)
    }

    /// All of them, as `headroom-central export` writes them beside the running service.
    pub(super) fn documents(&self) -> Result<Documents> {
        let mut export = Command::new(&self.binary);
        export.args(["export", "--state-dir"]).arg(self.state()).env("RUST_LOG", "warn");
        let all: BTreeMap<String, Vec<Value>> = serde_json::from_slice(&process::output(&mut export)?)?;
        let mut documents = Documents::new();
        for (database, bodies) in all {
            for mut body in bodies {
                let name = body["name"].as_str().unwrap_or_default().to_owned();
                if let Some(body) = body.as_object_mut() {
                    body.remove("heartbeat");
                    body.remove("heartbeat_human");
                }
                documents.insert(format!("{database}/{name}"), body);
            }
        }
        Ok(documents)
    }

    /// Bytes of time series and accounts.
    pub(super) fn series_bytes(&self) -> Result<f64> {
        let is_series = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("series"));
        let mut bytes = 0;
        for file in fs::read_dir(self.state())? {
            let file = file?;
            if is_series(&file.path()) {
                bytes += file.metadata()?.len();
            }
        }
        Ok(bytes as f64)
    }

    pub(super) fn stop(mut self) -> Result<()> {
        kill(self.running.pid(), Signal::SIGTERM)?;
        let status = self.running.child.wait()?;
        ensure!(status.success(), "central ended with {status}: {}", fs::read_to_string(self.dir.path().join("log"))?);
        Ok(())
    }
}
