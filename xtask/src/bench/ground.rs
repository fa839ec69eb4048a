//! The cgroups and processes of a bench. All are gone at its end, however it ends.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use super::Built;

/// What is to be undone when a signal ends us.
static OPEN: Mutex<Open> = Mutex::new(Open { processes: Vec::new(), dirs: Vec::new(), scratch: Vec::new(), others: Vec::new() });

struct Open {
    processes: Vec<Pid>,
    /// One in each hierarchy, with everything below.
    dirs: Vec<PathBuf>,
    scratch: Vec<PathBuf>,
    others: Vec<Box<dyn Fn() + Send>>,
}

fn open() -> MutexGuard<'static, Open> {
    OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// From now on Ctrl-C and SIGTERM clean up, and then end us with 130.
pub(super) fn clean_up_on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot catch signals")?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if signals.forever().next().is_some() {
            // Held to the end, so that nothing new is begun.
            let open = open();
            for process in &open.processes {
                kill(*process, Signal::SIGKILL).ok();
            }
            open.dirs.iter().for_each(|dir| sweep(dir));
            open.others.iter().for_each(|undo| undo());
            for dir in &open.scratch {
                fs::remove_dir_all(dir).ok();
            }
            std::process::exit(130);
        }
    })?;
    Ok(())
}

/// What else a signal is to undo, when the processes have ended. It may be undone already.
pub(super) fn undo_on_signals(undo: impl Fn() + Send + 'static) {
    open().others.push(Box::new(undo));
}

/// A directory for files, removed when it is dropped.
pub(super) fn scratch() -> Result<TempDir> {
    let dir = tempfile::Builder::new().prefix("headroom-bench-").tempdir()?;
    open().scratch.push(dir.path().to_owned());
    Ok(dir)
}

/// A process that is killed when this is dropped.
pub(super) struct Running {
    pub(super) child: Child,
}

impl Running {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let mut open = open();
        let child = command.spawn().with_context(|| format!("starting {}", command.get_program().display()))?;
        open.processes.push(pid(&child));
        Ok(Self { child })
    }

    /// All that it says on its stdout, which has to be a pipe; it has to end well.
    pub(super) fn output(mut self) -> Result<String> {
        let mut said = String::new();
        self.child.stdout.take().context("its stdout is no pipe")?.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(said)
    }

    pub(super) fn pid(&self) -> Pid {
        pid(&self.child)
    }
}

#[expect(clippy::cast_possible_wrap, reason = "the kernel's process ids are below 2^22")]
fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut open = open();
        open.processes.retain(|process| *process != self.pid());
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A cgroup in each hierarchy in which containers have one, named `headroom-bench-<pid>`, and containers in it.
pub(super) struct Ground {
    dirs: Vec<PathBuf>,
}

/// Selects the containers of a [`Ground`], in the agent's `discovery.pattern`.
pub(super) const PATTERN: &str = "^headroom-bench-[0-9]+/(?<name>[^/]+)$";

impl Ground {
    pub(super) fn new() -> Result<Self> {
        let name = Self::name();
        let mut dirs: Vec<PathBuf> = Vec::new();
        for root in roots() {
            // Several controllers may be one mount.
            let dir = root.canonicalize()?.join(&name);
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        open().dirs.clone_from(&dirs);
        let ground = Self { dirs };
        for dir in &ground.dirs {
            fs::create_dir(dir).with_context(|| format!("making {}", dir.display()))?;
            give_controllers(dir);
        }
        Ok(ground)
    }

    /// Lets its containers go before everything else on the machine that wants a CPU, as far as weights can.
    pub(super) fn go_first(&self) -> Result<()> {
        for (dir, (file, most)) in
            self.dirs.iter().flat_map(|dir| [("cpu.shares", "262144"), ("cpu.weight", "10000")].map(|w| (dir, w)))
        {
            let file = dir.join(file);
            if file.exists() {
                fs::write(&file, most).with_context(|| format!("writing {}", file.display()))?;
            }
        }
        Ok(())
    }

    /// Its path below each mount.
    pub(super) fn name() -> String {
        format!("headroom-bench-{}", std::process::id())
    }

    /// Makes so many containers, `bench0` and so on, each with a wave of load for `seconds`: shares of one core, for how many ms it is on and
    /// off. They are evenly apart in phase.
    pub(super) fn waves(
        &self,
        built: &Built,
        count: u64,
        (shares, on, off): (u64, u64, u64),
        seconds: u64,
    ) -> Result<Vec<Running>> {
        let wave = |n| {
            let phase = n * (on + off) / count;
            let mut command = Command::new(built.example("bench_load"));
            command.arg("wave").args([shares, on, off, phase, seconds].map(|number| number.to_string()));
            self.container(&format!("bench{n}"))?.run(command.stdin(Stdio::null()))
        };
        (0..count).map(wave).collect()
    }

    /// Makes a container.
    pub(super) fn container(&self, name: &str) -> Result<Container> {
        let dirs: Vec<_> = self.dirs.iter().map(|dir| dir.join(name)).collect();
        for dir in &dirs {
            fs::create_dir(dir).with_context(|| format!("making {}", dir.display()))?;
        }
        Ok(Container { dirs })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        open().dirs.clear();
        self.dirs.iter().for_each(|dir| sweep(dir));
    }
}

/// One container's cgroups.
#[derive(Clone)]
pub(super) struct Container {
    dirs: Vec<PathBuf>,
}

impl Container {
    /// Starts a program in it.
    pub(super) fn run(&self, command: &mut Command) -> Result<Running> {
        let running = Running::start(command)?;
        for dir in &self.dirs {
            let file = dir.join("cgroup.procs");
            fs::write(&file, running.pid().to_string()).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(running)
    }

    /// A file of its cgroups: in the first hierarchy, in the order of controllers, that has it.
    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        self.dirs.iter().map(|dir| dir.join(name)).find(|file| file.exists())
    }

    /// Takes its CPU quota away.
    pub(super) fn lift_quota(&self) -> Result<()> {
        for (file, text) in [("cpu.cfs_quota_us", "-1"), ("cpu.max", "max 100000")] {
            if let Some(file) = self.file(file) {
                fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
            }
        }
        Ok(())
    }

    /// Gives it a CPU quota of so many µs of 100 ms.
    pub(super) fn set_quota(&self, quota_us: u64) -> Result<()> {
        for dir in &self.dirs {
            for (file, text) in [("cpu.cfs_quota_us", quota_us.to_string()), ("cpu.max", format!("{quota_us} 100000"))] {
                let file = dir.join(file);
                if file.exists() {
                    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Removes it. What ran in it has ended.
    pub(super) fn remove(self) {
        self.dirs.iter().for_each(|dir| sweep(dir));
    }
}

/// Where the controllers are that a container is in.
fn roots() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let names = ["cpu", "cpuacct", "memory", "blkio", "unified"];
    names.map(|name| root.join(name)).into_iter().filter(|dir| dir.is_dir()).collect()
}

/// On v2, lets what is below `dir` have the controllers that it has itself; elsewhere there is nothing to do.
fn give_controllers(dir: &Path) {
    let Ok(controllers) = fs::read_to_string(dir.join("cgroup.controllers")) else { return };
    for controller in controllers.split_whitespace() {
        // One that refuses is not needed by every bench.
        fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}")).ok();
    }
}

/// Kills what is left in a cgroup and below, and removes it.
fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep(&entry.path());
        }
    }
    // A process is in its cgroup for a while after it was killed.
    for _ in 0..200 {
        let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        for process in procs.lines().filter_map(|line| line.parse().ok()) {
            kill(Pid::from_raw(process), Signal::SIGKILL).ok();
        }
        match fs::remove_dir(dir) {
            Ok(()) => return,
            Err(e) if e.kind() == ErrorKind::NotFound => return,
            Err(_) => sleep(Duration::from_millis(10)),
        }
    }
    eprintln!("bench: {} is left behind", dir.display());
}
