//! cgroupfs as it is: the files themselves, not what the agent's own code makes of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use headroom_agent::cgroup::{Controller, Version};

use crate::support::TestCgroup;

/// The files with limits, by version; not each kernel has each.
const V1: [(Controller, &str); 6] = [
    (Controller::Cpu, "cpu.cfs_quota_us"),
    (Controller::Cpu, "cpu.cfs_period_us"),
    (Controller::Cpu, "cpu.cfs_burst_us"),
    (Controller::Cpuset, "cpuset.cpus"),
    (Controller::Memory, "memory.limit_in_bytes"),
    (Controller::Memory, "memory.soft_limit_in_bytes"),
];
const V2: [(Controller, &str); 5] = [
    (Controller::Cpu, "cpu.max"),
    (Controller::Cpu, "cpu.max.burst"),
    (Controller::Cpuset, "cpuset.cpus"),
    (Controller::Memory, "memory.max"),
    (Controller::Memory, "memory.high"),
];

/// The directory of a controller, and its version; none where it is not mounted.
fn place(cgroup: &TestCgroup, controller: Controller) -> Option<(PathBuf, Version)> {
    let place = cgroup.hierarchies().controllers().into_iter().find(|place| place.controller == controller)?;
    Some((place.root.join(cgroup.path().as_str()), place.version))
}

pub(crate) fn version(cgroup: &TestCgroup, controller: Controller) -> Version {
    place(cgroup, controller).unwrap().1
}

/// Every directory of a container, once.
pub(crate) fn directories(cgroup: &TestCgroup) -> Vec<PathBuf> {
    let mut all: Vec<_> = [Controller::Cpu, Controller::Cpuset, Controller::Memory, Controller::Io]
        .into_iter()
        .filter_map(|controller| Some(place(cgroup, controller)?.0))
        .chain(cgroup.hierarchies().unified_root().map(|root| root.join(cgroup.path().as_str())))
        .filter(|dir| dir.exists())
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Every limit of a container, as its files have it.
pub(crate) fn limits(cgroup: &TestCgroup) -> BTreeMap<&'static str, String> {
    let of = |files: &'static [(Controller, &'static str)], wanted| {
        files.iter().filter_map(move |(controller, file)| {
            let (dir, version) = place(cgroup, *controller)?;
            (version == wanted).then_some(())?;
            Some((*file, fs::read_to_string(dir.join(file)).ok()?.trim().to_owned()))
        })
    };
    of(&V1, Version::V1).chain(of(&V2, Version::V2)).collect()
}

pub(crate) fn read(cgroup: &TestCgroup, controller: Controller, file: &str) -> String {
    fs::read_to_string(place(cgroup, controller).unwrap().0.join(file)).unwrap().trim().to_owned()
}

pub(crate) fn write(cgroup: &TestCgroup, controller: Controller, file: &str, text: &str) {
    fs::write(place(cgroup, controller).unwrap().0.join(file), text).unwrap_or_else(|e| panic!("{file}: {text:?}: {e}"));
}

/// Sets a quota and a period, in µs, as another program would.
pub(crate) fn set_quota(cgroup: &TestCgroup, quota_us: Option<u64>, period_us: u64) {
    match version(cgroup, Controller::Cpu) {
        Version::V1 => {
            write(cgroup, Controller::Cpu, "cpu.cfs_period_us", &period_us.to_string());
            let quota = quota_us.map_or_else(|| "-1".to_owned(), |us| us.to_string());
            write(cgroup, Controller::Cpu, "cpu.cfs_quota_us", &quota);
        }
        Version::V2 => {
            let quota = quota_us.map_or_else(|| "max".to_owned(), |us| us.to_string());
            write(cgroup, Controller::Cpu, "cpu.max", &format!("{quota} {period_us}"));
        }
    }
}

/// Sets the burst of a cgroup that has a quota. Returns the file's name.
pub(crate) fn set_burst(cgroup: &TestCgroup, burst_us: u64) -> &'static str {
    let name = match version(cgroup, Controller::Cpu) {
        Version::V1 => "cpu.cfs_burst_us",
        Version::V2 => "cpu.max.burst",
    };
    write(cgroup, Controller::Cpu, name, &burst_us.to_string());
    name
}

/// Sets a CPU limit in shares, with a period of 100 ms.
pub(crate) fn set_shares(cgroup: &TestCgroup, shares: u64) {
    set_quota(cgroup, Some(shares * 1000), 100_000);
}

/// The CPU limit in shares, by the files; `None` for none.
pub(crate) fn shares(cgroup: &TestCgroup) -> Option<f64> {
    shares_in(&place(cgroup, Controller::Cpu).unwrap().0)?
}

/// The outer `None`: it is gone.
#[expect(clippy::option_option, reason = "gone and unlimited are two things")]
fn shares_in(dir: &std::path::Path) -> Option<Option<f64>> {
    let number = |text: &str| text.trim().parse::<f64>().unwrap();
    if let Ok(text) = fs::read_to_string(dir.join("cpu.max")) {
        let (quota, period) = text.trim().split_once(' ')?;
        return Some((quota != "max").then(|| number(quota) / number(period) * 100.0));
    }
    let quota = fs::read_to_string(dir.join("cpu.cfs_quota_us")).ok()?;
    let period = fs::read_to_string(dir.join("cpu.cfs_period_us")).ok()?;
    Some((quota.trim() != "-1").then(|| number(&quota) / number(&period) * 100.0))
}

/// Lets a container win against whatever else the machine does, so that a test on a busy machine sees what it caused.
pub(crate) fn prefer(cgroup: &TestCgroup) {
    match version(cgroup, Controller::Cpu) {
        Version::V1 => write(cgroup, Controller::Cpu, "cpu.shares", "262144"),
        Version::V2 => write(cgroup, Controller::Cpu, "cpu.weight", "10000"),
    }
}

/// Looks at CPU limits as often as it can, on a thread of its own.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Seen>>>,
}

/// The limits of all containers at one moment, in shares.
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) shares: Vec<Option<f64>>,
}

impl Watch {
    pub(crate) fn of(cgroups: &[&TestCgroup]) -> Self {
        let dirs: Vec<_> = cgroups.iter().map(|cgroup| place(cgroup, Controller::Cpu).unwrap().0).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let look = move || {
            let mut seen = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let shares: Option<Vec<_>> = dirs.iter().map(|dir| shares_in(dir)).collect();
                seen.extend(shares.map(|shares| Seen { at: Instant::now(), shares }));
                thread::sleep(Duration::from_millis(1));
            }
            seen
        };
        Self { stop, thread: Some(thread::spawn(look)) }
    }

    pub(crate) fn end(mut self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
