//! The real agent, started for a bench, and what it and the kernel say of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use tempfile::TempDir;

use super::Built;
use super::ground::{self, Ground, PATTERN, Running};
use super::proc;

/// How long the agent may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running agent with a state directory, a socket and a log of its own.
pub(super) struct Agent {
    running: Running,
    dir: TempDir,
}

impl Agent {
    /// Starts it on containers of a [`super::ground::Ground`], all guarded; `bounds` are lines of TOML for their CPU (`min = 50`, ..).
    /// Returns when `containers` of them are guarded.
    pub(super) fn start(built: &Built, bounds: &str, containers: usize) -> Result<Self> {
        Self::start_with(built, "", bounds, containers)
    }

    /// The same with other `settings`: tables of TOML (`[guardian]`, `[scaler]`, ..).
    pub(super) fn start_with(built: &Built, settings: &str, bounds: &str, containers: usize) -> Result<Self> {
        let dir = ground::scratch()?;
        let (at, config) = (dir.path().display(), dir.path().join("agent.toml"));
        let text = format!(
            "[host.max]\ncpu = 1000000\n[agent]\nstate_dir = \"{at}/state\"\n[api]\nlisten = \"off\"\nsocket = \"{at}/agent.sock\"\n\
             {settings}\n[[discovery.pattern]]\npath = {PATTERN:?}\n\
             [[container]]\npath = \"{}/*\"\nguard = true\n[container.cpu]\n{bounds}\n",
            Ground::name()
        );
        fs::write(&config, text)?;
        let log = fs::File::create(dir.path().join("log"))?;
        let mut command = Command::new(built.agent());
        command
            .args(["run", "--config"])
            .arg(&config)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let mut agent = Self { running: Running::start(&mut command)?, dir };
        let began = Instant::now();
        loop {
            let guarded = agent.status().map_or(0, |status| guarded(&status));
            if guarded >= containers {
                return Ok(agent);
            }
            let ended = agent.running.child.try_wait()?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let log = fs::read_to_string(agent.dir.path().join("log")).unwrap_or_default();
                bail!("the agent guards {guarded} of {containers} containers ({ended:?}): {log}");
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("agent.sock")
    }

    /// Asks its REST interface; `None` for anything but 200.
    pub(super) fn get(&self, path: &str) -> Result<Option<String>> {
        let mut stream = UnixStream::connect(self.socket())?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the agent's answer has no end of its head")?;
        Ok(head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned()))
    }

    /// Everything it says of itself.
    pub(super) fn status(&self) -> Result<Value> {
        let body = self.get("/status")?.context("the agent does not tell its status")?;
        Ok(serde_json::from_str(&body)?)
    }

    /// Where the kernel shows it.
    pub(super) fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.running.pid()))
    }

    /// What it has logged.
    pub(super) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.path().join("log"))?)
    }

    /// How many containers it keeps originals of.
    pub(super) fn originals(&self) -> Result<usize> {
        Ok(fs::read_dir(self.dir.path().join("state/guarded"))?.count())
    }

    /// CPU time of each kind of thread so far, in s, by the kernel's scheduler.
    pub(super) fn cpu_times(&self) -> Result<BTreeMap<String, f64>> {
        proc::cpu_times(self.running.pid())
    }

    /// A line of `/proc/<pid>/status` that is in kB, in MiB.
    pub(super) fn memory_mib(&self, key: &str) -> Result<f64> {
        proc::memory_mib(self.running.pid(), key)
    }

    /// Ends it in the orderly way.
    pub(super) fn stop(mut self) -> Result<()> {
        kill(self.running.pid(), Signal::SIGTERM)?;
        let status = self.running.child.wait()?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }
}

fn guarded(status: &Value) -> usize {
    let containers = status["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    containers.iter().filter(|container| container["guard"] == "on" && container["resources"]["cpu"]["guard"] == true).count()
}
