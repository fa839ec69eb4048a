//! The central service of the quickstart, and its Orchestrator API.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::agent::free_address;

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running central; killed when this is dropped.
pub(super) struct Central {
    /// What it logged.
    pub(super) log: PathBuf,
    /// Where it answers.
    pub(super) url: String,
    child: Child,
}

impl Central {
    /// Starts it on a new State Database.
    pub(super) fn start(binary: &Path, dir: &Path) -> Result<Self> {
        let (address, log, state) = (free_address(5000)?, dir.join("central.log"), dir.join("central"));
        if state.exists() {
            fs::remove_dir_all(&state).with_context(|| state.display().to_string())?;
        }
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", &address, "--state-dir"]).arg(&state);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        // A process group of its own: Ctrl-C is for us, who end it in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        let mut central = Self { log, url: format!("http://{address}"), child };
        let until = Instant::now() + PATIENCE;
        while central.get("/heartbeat").is_err() {
            let ended = central.child.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                bail!("the central service does not come up:\n{}", fs::read_to_string(&central.log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(central)
    }

    /// What is at a path.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let mut answer = ureq::get(&url).call().with_context(|| format!("{url} (log: {})", self.log.display()))?;
        answer.body_mut().read_json().with_context(|| url)
    }

    /// A change, shown as the command that would make it.
    pub(super) fn put(&self, path: &str, value: Option<Value>) -> Result<()> {
        let url = format!("{}{path}", self.url);
        let body = value.map(|value| json!({ "value": value }));
        let data = body.as_ref().map_or_else(String::new, |body| format!(" -d '{body}'"));
        println!("  curl -X PUT {url}{data}");
        let request = ureq::put(&url).content_type("application/json");
        let sent = match &body {
            Some(body) => request.send_json(body),
            None => request.send_empty(),
        };
        sent.map(|_| ()).with_context(|| format!("{url} (log: {})", self.log.display()))
    }

    /// Ends it in order.
    pub(super) fn end(mut self) -> Result<()> {
        self.terminate();
        let status = self.child.wait()?;
        ensure!(status.success(), "the central service ended with {status}; its log is {}", self.log.display());
        Ok(())
    }

    fn terminate(&mut self) {
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            // It may end just now: then there is nothing to do.
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        self.terminate();
        let deadline = Instant::now() + Duration::from_secs(3);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
