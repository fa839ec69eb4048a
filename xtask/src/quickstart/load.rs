//! A CPU load of a wanted size: spinning processes that are stopped and continued so that their mean is what it should be.

use std::fs;
use std::time::Instant;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::containers::{self, Containers};

/// One container's load.
pub(super) struct Load {
    name: String,
    children: Vec<std::process::Child>,
    pids: Vec<i32>,
    /// In shares: 100 is one core.
    wanted: f64,
    since: Instant,
    used_at_since_ns: u64,
    stopped: bool,
}

impl Load {
    /// `processes` spinning processes, stopped until [`Load::set`] asks for something.
    pub(super) fn start(containers: &Containers, name: &str, processes: usize) -> Result<Self> {
        let mut load = Self {
            name: name.into(),
            children: Vec::new(),
            pids: Vec::new(),
            wanted: 0.0,
            since: Instant::now(),
            used_at_since_ns: 0,
            stopped: false,
        };
        for _ in 0..processes {
            load.children.push(containers.spin(name)?);
        }
        for _ in 0..100 {
            load.pids = containers::loads(name);
            if load.pids.len() >= processes {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        anyhow::ensure!(load.pids.len() == processes, "{} of {processes} load processes came up in {name}", load.pids.len());
        load.set(0.0);
        Ok(load)
    }

    /// Wants a mean of so many shares from now on.
    pub(super) fn set(&mut self, shares: f64) {
        self.wanted = shares;
        self.since = Instant::now();
        self.used_at_since_ns = self.used_ns();
        self.steer();
    }

    /// To be called every few milliseconds: stops the processes while they are ahead of what is wanted.
    pub(super) fn steer(&mut self) {
        let elapsed = self.since.elapsed().as_secs_f64();
        let used = (self.used_ns().saturating_sub(self.used_at_since_ns)) as f64 / 1e9;
        let due = self.wanted / 100.0 * elapsed;
        // What was held up by a limit is not caught up with later: a real service would not, either.
        if used + 0.05 < due {
            self.since = Instant::now();
            self.used_at_since_ns = self.used_ns();
        }
        self.stop(used >= due);
    }

    fn stop(&mut self, stop: bool) {
        if stop != self.stopped {
            for pid in &self.pids {
                kill(Pid::from_raw(*pid), if stop { Signal::SIGSTOP } else { Signal::SIGCONT }).ok();
            }
            self.stopped = stop;
        }
    }

    fn used_ns(&self) -> u64 {
        self.pids
            .iter()
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok())
            .sum()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        containers::kill_loads(&self.name);
        for child in &mut self.children {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
