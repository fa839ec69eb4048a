//! A running binary: what it logged is shown when the test fails, and it is gone when this is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take that should happen; long, for a busy machine is slow.
pub(crate) const LONGEST: Duration = Duration::from_mins(2);

pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it and waits until it has logged `up`.
    pub(crate) fn start(name: &'static str, mut command: Command, log: PathBuf, up: &str) -> Self {
        let child = command.env("RUST_LOG", "info").stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut process = Self { name, child, log };
        until(&format!("{name} is up"), || {
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none(), "{name} has ended: {ended:?}\n{}", process.log());
            process.log().contains(up)
        });
        process
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    pub(crate) fn kill9(mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    pub(crate) fn end(mut self) {
        self.signal(Signal::SIGTERM);
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }

    /// Has it read its configuration again.
    pub(crate) fn reread(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Holds it up, as a machine that is suspended.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("--- log of {}\n{}---", self.name, self.log());
        }
    }
}

/// Waits until `done` says so.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + LONGEST;
    while !done() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The agent's binary lies beside central's.
pub(crate) fn agent_binary() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_headroom-central")).with_file_name("headroom-agent");
    assert!(binary.exists(), "{} is not there: cargo build -p headroom-agent", binary.display());
    binary
}
