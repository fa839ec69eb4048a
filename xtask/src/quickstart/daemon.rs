//! A program of ours that runs beside the quickstart: its process, its log, and what it answers over HTTP.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;

/// How long one that is dropped may take to end in order.
const GRACE: Duration = Duration::from_secs(3);

/// A running program; ended when this is dropped, in order or else by force.
pub(super) struct Daemon {
    /// What it logged.
    pub(super) log: PathBuf,
    /// Where it answers.
    pub(super) url: String,
    child: Child,
}

impl Daemon {
    /// Starts a program that will answer at an address; its log goes to a file.
    pub(super) fn start(command: &mut Command, log: &Path, address: &str) -> Result<Self> {
        let output = File::create(log).with_context(|| log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        // A process group of its own: Ctrl-C is for us, who end it in order.
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { log: log.to_owned(), url: format!("http://{address}"), child })
    }

    /// What is at a path.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let url = format!("{}{path}", self.url);
        let mut answer = ureq::get(&url).call().with_context(|| format!("{url} (log: {})", self.log.display()))?;
        answer.body_mut().read_json().with_context(|| url)
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it in order.
    pub(super) fn end(mut self) -> Result<()> {
        self.terminate();
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}; its log is {}", self.log.display());
        Ok(())
    }

    fn terminate(&mut self) {
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            // It may end just now: then there is nothing to do.
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.terminate();
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Daemon) {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let daemon = Daemon::start(Command::new("sh").args(["-c", script]), &log, "127.0.0.1:1").unwrap();
        // Its trap is set once it has said so.
        while std::fs::read_to_string(&log).unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        (directory, daemon)
    }

    #[test]
    fn it_is_asked_to_end_and_says_how() {
        let (_directory, daemon) = shell("trap 'exit 0' TERM; echo up >&2; while :; do sleep 0.01; done");
        daemon.end().unwrap();
        let (_directory, daemon) = shell("trap 'exit 3' TERM; echo up >&2; while :; do sleep 0.01; done");
        let error = daemon.end().unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("log"), "{error}");
    }

    #[test]
    fn one_that_does_not_end_in_order_is_killed_when_dropped() {
        let (_directory, mut daemon) = shell("trap '' TERM; echo up >&2; while :; do sleep 0.01; done");
        let pid = Pid::from_raw(i32::try_from(daemon.child.id()).unwrap());
        assert!(daemon.ended().unwrap().is_none());
        drop(daemon);
        assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH));
    }
}
