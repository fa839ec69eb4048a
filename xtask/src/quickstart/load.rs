//! A CPU load of a wanted size: spinning processes that are stopped and continued so that their mean is what it should be.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Interrupted;
use super::containers::{self, Containers};

/// How long processes may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);

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
    pub(super) fn start(containers: &Containers, name: &str, processes: usize, stop: &dyn Fn() -> bool) -> Result<Self> {
        let mut load = Self {
            name: name.into(),
            children: Vec::new(),
            pids: Vec::new(),
            wanted: 0.0,
            since: Instant::now(),
            used_at_since_ns: 0,
            stopped: true,
        };
        for _ in 0..processes {
            load.children.push(containers.spin(name)?);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            load.pids = containers::loads(name);
            let up = load.pids.iter().filter(|pid| is_stopped(**pid)).count();
            if up == processes {
                return Ok(load);
            }
            if stop() {
                bail!(Interrupted);
            }
            ensure!(Instant::now() < deadline, "{up} of {processes} load processes came up in {name} within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets the calling thread, which steers, run before the loads whenever it has something to do: it would else be late wherever a load
    /// takes every core, and the load would be more than wanted.
    pub(super) fn steer_on_time() {
        let mut chrt = Command::new("chrt");
        // Programs that are started later shall not inherit it. Where it is refused, the loads are less exact, and no more.
        chrt.args(["--reset-on-fork", "--rr", "--pid", "1", &std::process::id().to_string()]);
        chrt.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
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

/// Whether it was stopped by a signal: `T` behind the command's name.
fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}
