//! What the integration tests share (`mod support;`): real cgroups with real load in them, which are gone when a test ends, however it ends.
#![allow(dead_code, reason = "every test uses the part that it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test is what is wanted")]

use std::io::{BufRead as _, Write as _};
use std::ops::Deref;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use headroom_agent::cgroup::{Cgroup, CgroupPath, Hierarchies};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Tells this binary, started again, that it is to be the load.
const BURN: &str = "HEADROOM_TEST_BURN_THREADS";
/// No load goes on for longer, whatever happens to the test.
const LONGEST: Duration = Duration::from_mins(15);
/// No page is smaller.
const PAGE: usize = 4096;
/// How long a thread that is busy half of the time is busy and idle together.
const CYCLE: Duration = Duration::from_millis(10);
/// What a thread that was kept from running for longer does not make up for.
const MOST_BEHIND: Duration = Duration::from_millis(30);

/// A cgroup of our own, `headroom-test-<pid>-<name>`, in the hierarchy of every controller and in the v2 tree. Dropped, its processes are
/// killed and it is removed with all below it.
pub(crate) struct TestCgroup {
    hierarchies: Hierarchies,
    cgroup: Cgroup,
}

impl TestCgroup {
    /// Makes one at the root. Needs to be root with a writable cgroupfs, and fails where that is not so.
    pub(crate) fn new(name: &str) -> Self {
        Self::at(&format!("headroom-test-{}-{name}", std::process::id()))
    }

    /// Makes one below this.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self::at(&format!("{}/{name}", self.cgroup.path().as_str()))
    }

    fn at(path: &str) -> Self {
        let path = CgroupPath::new(path).unwrap();
        let hierarchies = Hierarchies::probe().unwrap();
        assert!(hierarchies.open(&path).is_err(), "{path} is there already");
        let cgroup = hierarchies.create(&path).unwrap();
        Self { hierarchies, cgroup }
    }

    /// What is mounted.
    pub(crate) fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }

    /// Starts one process with `threads` threads, each busy for `duty` (0 to 1) of its time: 1 never sleeps.
    pub(crate) fn burn(&self, threads: u32, duty: f64) -> Burner {
        let mut burner = Burner::start(threads);
        self.hierarchies.add_process(self.cgroup.path(), burner.pid()).unwrap();
        burner.set_duty(duty);
        burner
    }

    /// Moves a process into it.
    pub(crate) fn add(&self, pid: u32) {
        self.hierarchies.add_process(self.cgroup.path(), pid).unwrap();
    }

    /// Kills what runs in it, removes it, and makes another of the same name.
    pub(crate) fn recreate(&mut self) {
        remove(&self.hierarchies, self.cgroup.path());
        self.cgroup = self.hierarchies.create(&self.cgroup.path().clone()).unwrap();
    }

    /// Kills what runs in it and removes it, as an engine would.
    pub(crate) fn remove(&self) {
        remove(&self.hierarchies, self.cgroup.path());
    }
}

impl Deref for TestCgroup {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.cgroup
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        remove(&self.hierarchies, self.cgroup.path());
    }
}

/// A killed process takes a moment to leave.
fn remove(hierarchies: &Hierarchies, path: &CgroupPath) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        for pid in hierarchies.open(path).and_then(|cgroup| cgroup.processes()).unwrap_or_default() {
            // It may have ended by itself.
            let _ended = kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL);
        }
        match hierarchies.remove(path) {
            Ok(()) => return,
            Err(error) if Instant::now() > until && !thread::panicking() => panic!("{error}"),
            Err(error) if Instant::now() > until => return eprintln!("left behind: {error}"),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A process that burns CPU time or holds memory. Ends when this is dropped, when the test's process ends, and after some minutes.
pub(crate) struct Burner {
    process: Child,
    orders: ChildStdin,
}

impl Burner {
    /// Starts it, where it does nothing yet: this binary once more, running nothing but the test [`burner`].
    fn start(threads: u32) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &burner_test(), "--nocapture", "--test-threads=1"])
            .env(BURN, threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        Self { process, orders }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// For which part of its time each thread is busy from now on.
    pub(crate) fn set_duty(&mut self, duty: f64) {
        writeln!(self.orders, "duty {duty}").unwrap();
    }

    /// Writes to all memory that it holds; returns before that is done.
    pub(crate) fn touch(&mut self) {
        writeln!(self.orders, "touch all").unwrap();
    }

    /// Takes that much memory more and touches it; returns before that is done.
    pub(crate) fn hold(&mut self, mib: usize) {
        writeln!(self.orders, "hold {mib}").unwrap();
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        // Whoever removed the cgroup may have killed it.
        let _killed = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// Waits until `done` says so; fails after ten seconds.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < until, "waited for 10 s: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// What libtest calls [`burner`]: that depends on where this file is a module.
fn burner_test() -> String {
    module_path!().split_once("::").map_or("burner".to_owned(), |(_, module)| format!("{module}::burner"))
}

/// The load itself, when this binary was started for it; otherwise shows that it does as it is told, and ends when nobody holds it any more.
#[test]
fn burner() {
    if let Ok(threads) = std::env::var(BURN) {
        burn(threads.parse().unwrap());
    }
    let mut burner = Burner::start(2);
    burner.set_duty(0.5);
    burner.hold(1);
    let Burner { process, orders } = &mut burner;
    writeln!(orders, "end").unwrap();
    assert!(process.wait().unwrap().success());
}

/// Takes orders until there are no more.
fn burn(threads: u32) -> ! {
    let duty = Arc::new(AtomicU32::new(0));
    for _ in 0..threads {
        let duty = Arc::clone(&duty);
        thread::spawn(move || spin(&duty));
    }
    thread::spawn(|| {
        thread::sleep(LONGEST);
        std::process::exit(1);
    });
    let mut held = Vec::new();
    for order in std::io::stdin().lock().lines().map_while(Result::ok) {
        match order.split_once(' ') {
            Some(("duty", part)) => duty.store(per_mille(part.parse().unwrap()), Ordering::Relaxed),
            Some(("hold", mib)) => held.push(vec![1_u8; mib.parse::<usize>().unwrap() << 20]),
            Some(("touch", _)) => held.iter_mut().flatten().step_by(PAGE).for_each(|byte| *byte = byte.wrapping_add(1)),
            _ => break,
        }
    }
    std::hint::black_box(&held);
    std::process::exit(0);
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn per_mille(duty: f64) -> u32 {
    (duty.clamp(0.0, 1.0) * 1000.0).round() as u32
}

/// Burns its part of each cycle. A machine that wakes it late makes a cycle start late, not the next ones: what is used
/// on average stays what was asked for.
fn spin(duty: &AtomicU32) -> ! {
    let mut cycle = Instant::now();
    loop {
        let busy = CYCLE * duty.load(Ordering::Relaxed) / 1000;
        let start = Instant::now();
        while start.elapsed() < busy {
            std::hint::spin_loop();
        }
        cycle += CYCLE;
        if cycle + MOST_BEHIND < Instant::now() {
            cycle = Instant::now();
        }
        if busy < CYCLE {
            thread::sleep(cycle.saturating_duration_since(Instant::now()));
        }
    }
}
