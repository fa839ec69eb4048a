//! Real cgroups with real loads in them, which go away with their owner.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use headroom_agent::cgroup::{Cgroup, CgroupPath, Hierarchies, Mode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::load::Load;

/// A cgroup made for a test, in every hierarchy that counts CPU time, removed with all that is in it.
pub(crate) struct TestCgroup {
    path: String,
    loads: Vec<Child>,
}

impl TestCgroup {
    /// At the top, with a name of its own.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("headroom-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self::at(name)
    }

    /// Below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        Self::at(format!("{}/{name}", self.path))
    }

    /// Again, after it was removed: another cgroup of the same name.
    pub(crate) fn anew(self) -> Self {
        let path = self.path.clone();
        drop(self);
        Self::at(path)
    }

    fn at(path: String) -> Self {
        for root in roots() {
            fs::create_dir(root.join(&path)).unwrap_or_else(|e| panic!("making {path} in {}: {e}", root.display()));
        }
        Self { path, loads: Vec::new() }
    }

    /// Its place in each hierarchy.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn open(&self) -> Cgroup {
        Hierarchies::probe().unwrap().open(&CgroupPath::new(&self.path).unwrap()).unwrap()
    }

    /// Starts a load in here, which runs for `time` at most.
    pub(crate) fn run(&mut self, load: Load, time: Duration) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "load::load", "--ignored", "--nocapture", "--test-threads=1"])
            .env(crate::load::ENV, format!("{} {}", load.name(), time.as_millis()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It sleeps while it is moved from hierarchy to hierarchy, so that all of them see the same of it.
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().ends_with(crate::load::READY)), "the load did not start");
        self.attach(child.id());
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        self.loads.push(child);
        // Nobody reads on; what the harness says at its end must not fail.
        std::thread::spawn(move || said.count());
    }

    /// Takes a process in.
    pub(crate) fn attach(&self, process: u32) {
        for root in roots() {
            fs::write(root.join(&self.path).join("cgroup.procs"), process.to_string()).unwrap();
        }
    }

    /// Waits until all loads have ended by themselves.
    pub(crate) fn wait(&mut self) {
        for mut load in self.loads.drain(..) {
            assert!(load.wait().unwrap().success(), "a load in {} failed", self.path);
        }
    }

    /// What the kernel has charged it with, in ns: by each of its accounts.
    pub(crate) fn kernel_ns(&self) -> Vec<(PathBuf, u64)> {
        let read = |file: &Path| fs::read_to_string(file).ok();
        let account = |root: PathBuf| {
            let (stat, usage) = (root.join(&self.path).join("cpu.stat"), root.join(&self.path).join("cpuacct.usage"));
            if let Some(text) = read(&usage) {
                return Some((usage, text.trim().parse().unwrap()));
            }
            let text = read(&stat)?;
            let us: u64 = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?.parse().unwrap();
            Some((stat, us * 1000))
        };
        let accounts: Vec<_> = roots().into_iter().filter_map(account).collect();
        assert!(!accounts.is_empty(), "no account of CPU time for {}", self.path);
        accounts
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        for load in &mut self.loads {
            drop(load.kill().and_then(|()| load.wait()));
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        for root in roots() {
            let dir = root.join(&self.path);
            while fs::remove_dir(&dir).is_err() && dir.exists() && Instant::now() < deadline {
                // Whatever a killed load has left behind.
                for pid in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
                    drop(pid.parse().map(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL)));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Where the hierarchies are in which a container's CPU time can be seen: one on v2; elsewhere cpu, cpuacct and, in hybrid
/// mode, the v2 one.
fn roots() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if Hierarchies::probe().unwrap().mode() == Mode::V2 {
        return vec![root.to_owned()];
    }
    let mut roots: Vec<PathBuf> = Vec::new();
    for name in ["cpu", "cpuacct", "unified"] {
        // `cpu` and `cpuacct` are often links to one hierarchy that has both.
        let Ok(found) = root.join(name).canonicalize() else { continue };
        if !roots.contains(&found) {
            roots.push(found);
        }
    }
    roots
}
