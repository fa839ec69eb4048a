//! Where a test runs: a directory of its own, cgroups that only its agents look for, and the configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use crate::agent::{Agent, BINARY};
use crate::support::TestCgroup;

/// Two agents under load would be each other's noise.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) struct Bed {
    tag: &'static str,
    dir: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Bed {
    /// `tag` keeps its cgroups apart from other tests'.
    pub(crate) fn new(tag: &'static str) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Self { tag, dir: TempDir::new().unwrap(), _turn: turn }
    }

    /// A container that the agent calls `name`.
    pub(crate) fn container(&self, name: &str) -> TestCgroup {
        TestCgroup::new(&format!("{}-{name}", self.tag))
    }

    /// Windows of 200 ms, the classic rules, only this test's cgroups.
    pub(crate) fn config(&self) -> Config {
        let pattern = format!("^headroom-test-{}-{}-(?<name>[a-z0-9-]+)$", std::process::id(), self.tag);
        let mut config = Config { path: self.dir.path().join("agent.toml"), tables: BTreeMap::new(), containers: String::new() };
        let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
        config.set("agent", "state_dir", &quoted(self.state()));
        config.set("guardian.window", "cpu", "'200ms'").set("guardian.window", "mem", "'200ms'");
        config.set("discovery", "engines", "[]").set("discovery", "pattern", &format!("[{{ path = '{pattern}' }}]"));
        config.set("api", "listen", "'127.0.0.1:0'").set("api", "socket", &quoted(self.socket()));
        config
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("agent.sock")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// What is on disk of guarded containers, by their names.
    pub(crate) fn records(&self) -> BTreeMap<String, serde_json::Value> {
        let Ok(dir) = fs::read_dir(self.state().join("guarded")) else { return BTreeMap::new() };
        let read =
            |entry: fs::DirEntry| -> serde_json::Value { serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap() };
        let files = dir.map(Result::unwrap).filter(|e| e.path().extension().is_some_and(|e| e == "json"));
        files.map(read).map(|record| (record["name"].as_str().unwrap().to_owned(), record)).collect()
    }

    /// Writes the configuration and starts the agent.
    pub(crate) fn run(&self, config: &Config) -> Agent {
        config.write();
        Agent::start(Command::new(BINARY), self.dir.path())
    }

    /// The same with a log of the caller's.
    pub(crate) fn run_logging_to(&self, log: impl Into<Stdio>, config: &Config) -> Agent {
        config.write();
        Agent::logging_to(log, Command::new(BINARY), self.dir.path())
    }

    /// `headroom-agent release` with these flags.
    pub(crate) fn release(&self, flags: &[&str]) -> Output {
        let config = self.dir.path().join("agent.toml");
        Command::new(BINARY).arg("release").args(flags).arg("--config").arg(config).output().unwrap()
    }
}

/// `agent.toml`.
#[derive(Clone)]
pub(crate) struct Config {
    path: PathBuf,
    tables: BTreeMap<String, BTreeMap<String, String>>,
    containers: String,
}

impl Config {
    /// Sets a key, in TOML's spelling.
    pub(crate) fn set(&mut self, table: &str, key: &str, value: &str) -> &mut Self {
        self.tables.entry(table.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds a `[[container]]` with CPU bounds: min, max, boundary.
    pub(crate) fn guard(&mut self, name: &str, guard: &str, [min, max, boundary]: [u32; 3]) -> &mut Self {
        self.container(&format!("name = '{name}'\nguard = {guard}"))
            .resource(&format!("[container.cpu]\nmin = {min}\nmax = {max}\nboundary = {boundary}"))
    }

    /// Adds a `[[container]]`.
    pub(crate) fn container(&mut self, keys: &str) -> &mut Self {
        writeln!(self.containers, "[[container]]\n{keys}").unwrap();
        self
    }

    /// Adds a table to the last `[[container]]`, or keys to its last table.
    pub(crate) fn resource(&mut self, table: &str) -> &mut Self {
        writeln!(self.containers, "{table}").unwrap();
        self
    }

    /// Drops every `[[container]]`.
    pub(crate) fn guard_nothing(&mut self) -> &mut Self {
        self.containers.clear();
        self
    }

    pub(crate) fn write(&self) {
        let mut text = String::new();
        for (table, keys) in &self.tables {
            writeln!(text, "[{table}]").unwrap();
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        fs::write(&self.path, text + &self.containers).unwrap();
    }

    pub(crate) fn write_text(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
    }
}
