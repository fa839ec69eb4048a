//! Finds containers in the hierarchy of the `cpu` controller, which is the one whose limits are moved: a group that is
//! only in others is none, and one that is only there is.
//!
//! A thread of its own watches the directories in which containers may appear (inotify), and only looks where something
//! was made or removed. Beside that it scans everything now and then, after the kernel had to drop notifications, and, as
//! often as it may, the directories that the kernel grants no watch for.

mod scan;

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use regex::Regex;

use self::scan::Scanner;
use super::engines::Recogniser;
use super::identity::{Asker, Roots};
use super::{Discovered, Engine};
use crate::cgroup::CgroupError;
use crate::cgroup::tree::Tree;

/// How often directories without a watch are looked at.
const POLL: Duration = Duration::from_millis(50);

/// How often engines are asked again while one of them has not named a new container.
const ASK: Duration = Duration::from_millis(500);

/// Whatever the intervals say, looking around takes one part in so many of the thread's time.
const SCAN_PART: u32 = 10;

/// How many reads of the notifications go between two looks at the clock and at `stop`.
const READS: usize = 64;

/// What to look for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The engines whose containers are looked for.
    pub engines: Vec<Engine>,
    /// Patterns of the user's own, each with a group `name`: see [`Recogniser::new`].
    pub patterns: Vec<Regex>,
    /// Where the engines keep what they know of their containers.
    pub roots: Roots,
    /// How often everything is scanned, notifications or not, and the engines' files are looked at again.
    pub rescan: Duration,
}

/// How the search is doing. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Containers that are there.
    pub containers: usize,
    /// Cgroups that are there, as far as the search goes.
    pub cgroups: usize,
    /// Directories that the kernel watches for us.
    pub watches: usize,
    /// Directories that it would not: these are polled.
    pub polled: usize,
    /// Notifications that came.
    pub notifications: u64,
    /// Times that notifications were lost, which a scan made good.
    pub overflows: u64,
    /// Scans of everything.
    pub scans: u64,
    /// What the last of them took, in µs.
    pub last_scan_us: u64,
}

/// Why the search could not begin.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The hierarchy cannot be read.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The machine gives no thread or no descriptor.
    #[error("the machine gives no thread or no descriptor for it")]
    Start(#[from] io::Error),
}

/// The search. Ends when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<EventFd>,
    stats: Arc<ArcSwap<Stats>>,
    thread: Option<JoinHandle<()>>,
}

/// Begins to look for containers under `root`, where the hierarchy of the `cpu` controller is mounted.
///
/// When this returns, `out` has every container that was there already. From then on `out` gets what comes and goes, in
/// order (a container made anew under its old name has gone before it appears; one that lies in another appears after it
/// and goes before it), and `wake` is called after each batch. `out` should be unbounded: the search waits for room.
pub fn spawn(
    root: &Path,
    settings: Settings,
    out: Sender<Discovered>,
    wake: Box<dyn Fn() + Send>,
) -> Result<Watcher, WatchError> {
    let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(io::Error::from)?);
    let recogniser = Recogniser::new(settings.engines, settings.patterns).with_docker(settings.roots.docker.clone());
    let mut scanner = Scanner::new(Tree::open(root)?, recogniser, Asker::new(settings.roots), out);
    let began = Instant::now();
    scanner.scan()?;
    wake();

    let mut search = Search {
        due: Due::new(settings.rescan, began),
        scanner,
        stop: Arc::clone(&stop),
        stats: Arc::default(),
        wake,
        complained: false,
    };
    search.scanned(began);
    search.publish();
    let stats = Arc::clone(&search.stats);
    let thread = std::thread::Builder::new().name("discovery".into()).spawn(move || search.run())?;
    Ok(Watcher { stop, stats, thread: Some(thread) })
}

impl Watcher {
    /// How it is doing.
    pub fn stats(&self) -> Stats {
        **self.stats.load()
    }

    /// False once the thread has ended, which it only does when asked to or when nobody listens.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends it and waits for that. Nothing is told as gone.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if let Err(errno) = self.stop.write(1) {
            tracing::error!(%errno, "cannot stop looking for containers");
        } else if thread.join().is_err() {
            tracing::error!("the search for containers had died");
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.end();
    }
}

/// When to look around without being told to.
#[derive(Debug)]
struct Due {
    rescan: Duration,
    /// Scan everything.
    scan: Instant,
    /// The earliest moment for that: looking takes one part in [`SCAN_PART`] of the time.
    rested: Instant,
    /// Look at what has no watch.
    poll: Instant,
    /// Ask for the names that are awaited.
    ask: Instant,
}

impl Due {
    fn new(rescan: Duration, now: Instant) -> Self {
        Self { rescan, scan: now + rescan, rested: now, poll: now + POLL, ask: now + ASK }
    }

    fn scanned(&mut self, took: Duration, now: Instant) {
        self.rested = now + took * SCAN_PART;
        self.scan = self.rested.max(now + self.rescan);
    }

    fn polled(&mut self, took: Duration, now: Instant) {
        self.poll = now + POLL.max(took * SCAN_PART);
    }

    fn asked(&mut self, took: Duration, now: Instant) {
        self.ask = now + ASK.max(took * SCAN_PART);
    }

    /// Notifications were lost: scan at once, yet not for ever one scan after the other.
    fn lost(&mut self, now: Instant) {
        self.scan = self.scan.min(self.rested.max(now));
    }
}

/// What the thread owns.
struct Search {
    scanner: Scanner,
    due: Due,
    stop: Arc<EventFd>,
    stats: Arc<ArcSwap<Stats>>,
    wake: Box<dyn Fn() + Send>,
    /// A scan failed and that has been said.
    complained: bool,
}

impl Search {
    fn run(mut self) {
        while !self.scanner.is_closed() {
            match self.wait() {
                Ok(true) => return,
                Ok(false) => self.step(),
                Err(errno) => {
                    // Poll fails for want of memory alone: then scanning is what is left.
                    tracing::warn!(%errno, "waiting for notifications failed");
                    std::thread::sleep(POLL);
                    self.step();
                }
            }
        }
    }

    /// Until there is something to do; true when that is to stop.
    fn wait(&self) -> nix::Result<bool> {
        let poll_at = self.scanner.has_unwatched().then_some(self.due.poll);
        let ask_at = self.scanner.awaits_names().then_some(self.due.ask);
        let next = [poll_at, ask_at].into_iter().flatten().fold(self.due.scan, Instant::min);
        // Rounded up: rounded down, it would spin through the last millisecond.
        let ms = next.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX);
        let mut fds = vec![PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.scanner.notifications().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(fds[0].any().unwrap_or(false)),
            Err(errno) => Err(errno),
        }
    }

    fn step(&mut self) {
        let told = self.scanner.told();
        let lost = self.scanner.take_notifications(READS);
        let now = Instant::now();
        if lost {
            self.due.lost(now);
        }
        if now >= self.due.scan {
            match self.scanner.scan() {
                Ok(()) => self.complained = false,
                Err(error) if !self.complained => {
                    self.complained = true;
                    tracing::error!(%error, "cannot look for containers; what is known stays, and it is tried again");
                }
                Err(_) => {}
            }
            self.scanned(now);
        } else if self.scanner.has_unwatched() && now >= self.due.poll {
            self.scanner.poll();
            self.due.polled(now.elapsed(), Instant::now());
        }
        if self.scanner.awaits_names() && now >= self.due.ask {
            let began = Instant::now();
            self.scanner.ask_for_names();
            self.due.asked(began.elapsed(), Instant::now());
        }
        self.publish();
        if self.scanner.told() != told {
            (self.wake)();
        }
    }

    /// A scan that began at `began` has ended.
    fn scanned(&mut self, began: Instant) {
        let took = began.elapsed();
        self.due.scanned(took, began + took);
        self.scanner.stats.scans += 1;
        self.scanner.stats.last_scan_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    }

    fn publish(&mut self) {
        self.scanner.tell_of_watches();
        self.stats.store(Arc::new(self.scanner.stats()));
    }
}
