//! The only code that opens cgroupfs: v1, v2 and hybrid behind one type.

use std::fmt;
use std::io;
use std::path::PathBuf;

use headroom_model::limit::Limit;

/// A cgroup's place, relative to its hierarchy's root, without a leading slash: `lxc.payload.cont0`. The root itself is "".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct CgroupPath(String);

impl CgroupPath {
    /// Takes a relative path as cgroupfs spells it; `None` where it would lead out (`..`) or has an empty part.
    pub fn new(path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let sound = path.is_empty() || path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        sound.then(|| Self(path.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

/// Which cgroup interfaces the host has mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every controller in a hierarchy of its own.
    V1,
    /// One hierarchy.
    V2,
    /// v1 controllers beside a v2 tree without them.
    Hybrid,
}

/// The CPU limit as cgroupfs has it. Shares of 100 a core: `quota / period * 100`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuLimit {
    /// The quota, in shares.
    pub quota: Limit,
    /// The period, in µs.
    pub period_us: u64,
    /// `cpu.max.burst` or `cpu.cfs_burst_us`, in µs; `None` where the kernel has none (before 5.14).
    pub burst_us: Option<u64>,
}

/// CPU time as the kernel accounts it, cumulative, in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// All of it.
    pub total_us: u64,
    /// In user mode.
    pub user_us: u64,
    /// In the kernel.
    pub kernel_us: u64,
}

/// Throttling counters, cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Throttling {
    /// Periods that ran while a quota was set.
    pub periods: u64,
    /// Those in which the group was throttled.
    pub throttled_periods: u64,
    /// For how long in sum, in µs.
    pub throttled_us: u64,
}

/// A file of cgroupfs that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The cgroup is no longer there.
    #[error("cgroup {path} is gone")]
    Gone {
        /// Which.
        path: CgroupPath,
    },
    /// The controller is not mounted, or not enabled for this cgroup.
    #[error("{path} has no {file}: the {controller} controller is not enabled for it")]
    NoController {
        /// Which cgroup.
        path: CgroupPath,
        /// Which file is missing.
        file: String,
        /// Of which controller.
        controller: &'static str,
    },
    /// The kernel refused a read or a write.
    #[error("{file}: writing {value:?} failed: {source}")]
    Write {
        /// The file, whole path.
        file: PathBuf,
        /// What was written.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused a read.
    #[error("{file}: reading failed: {source}")]
    Read {
        /// The file, whole path.
        file: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file has a text that is not understood.
    #[error("{file} reads {text:?}, expected {expected}")]
    Parse {
        /// The file, whole path.
        file: PathBuf,
        /// What it says.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// What was read back is not what was written.
    #[error("{file}: wrote {wrote:?} but it reads {reads:?}")]
    Verify {
        /// The file, whole path.
        file: PathBuf,
        /// What was written.
        wrote: String,
        /// What stands there.
        reads: String,
    },
    /// No usable cgroup mount.
    #[error("{root} is no cgroup mount: {why}")]
    NotMounted {
        /// Where it was looked for.
        root: PathBuf,
        /// What was found.
        why: String,
    },
}

impl CgroupError {
    /// Whether it says that the cgroup is no longer there.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }
}

/// All cgroup hierarchies that are mounted.
#[derive(Clone, Debug)]
pub struct Hierarchies(Mode);

impl Hierarchies {
    /// Those of this host.
    pub fn probe() -> Result<Self, CgroupError> {
        let at = |place: &str| std::path::Path::new("/sys/fs/cgroup").join(place).exists();
        Ok(Self(match (at("cgroup.controllers"), at("unified")) {
            (true, _) => Mode::V2,
            (_, true) => Mode::Hybrid,
            _ => Mode::V1,
        }))
    }

    /// Which interfaces there are.
    pub fn mode(&self) -> Mode {
        self.0
    }

    /// Opens a cgroup.
    pub fn open(&self, path: &CgroupPath) -> Result<Cgroup, CgroupError> {
        use std::os::unix::fs::MetadataExt as _;
        let [cpu, time] = match self.0 {
            Mode::V2 => ["", "/cpu.stat"],
            _ => ["cpu/", "/cpuacct.usage"],
        };
        let root = "/sys/fs/cgroup/";
        let dir = PathBuf::from(format!("{root}{cpu}{}", path.as_str()));
        let id = dir.metadata().map_err(|_| CgroupError::Gone { path: path.clone() })?.ino();
        let time = PathBuf::from(format!("{root}{}{}{time}", if cpu.is_empty() { "" } else { "cpuacct/" }, path.as_str()));
        Ok(Cgroup { path: path.clone(), id, time })
    }
}

/// A cgroup's CPU time, over a kept file.
#[derive(Debug)]
pub struct CpuClock {
    path: CgroupPath,
    name: PathBuf,
    file: std::fs::File,
}

impl CpuClock {
    /// The sum alone, in ns.
    pub fn total_ns(&self) -> Result<u64, CgroupError> {
        self.read().map(|time| time.total_us * 1000)
    }

    /// Reads it.
    pub fn read(&self) -> Result<CpuTime, CgroupError> {
        use std::os::unix::fs::FileExt as _;
        let mut text = [0; 512];
        let len = self.file.read_at(&mut text, 0).map_err(|source| match source.raw_os_error() {
            Some(libc_enodev) if libc_enodev == nix::errno::Errno::ENODEV as i32 => CgroupError::Gone { path: self.path.clone() },
            _ => CgroupError::Read { file: self.name.clone(), source },
        })?;
        let text = String::from_utf8_lossy(&text[..len]).into_owned();
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let total_us = match text.lines().next().and_then(|line| line.strip_prefix("usage_usec ")) {
            Some(us) => number(us),
            None => number(&text).map(|ns| ns / 1000),
        };
        let total_us = total_us.ok_or_else(|| CgroupError::Parse { file: self.name.clone(), text, expected: "CPU time" })?;
        Ok(CpuTime { total_us, ..CpuTime::default() })
    }
}

/// One cgroup, over all the hierarchies that it is in: kept directory handles, files opened relative to them.
#[derive(Debug)]
pub struct Cgroup {
    path: CgroupPath,
    id: u64,
    time: PathBuf,
}

impl Cgroup {
    /// Its place.
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// The kernel's id of it in the hierarchy of the cpu controller: its directory's inode, what the eBPF side sees.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its CPU time, for reading often.
    pub fn cpu_clock(&self) -> Result<CpuClock, CgroupError> {
        let file = std::fs::File::open(&self.time).map_err(|source| CgroupError::Read { file: self.time.clone(), source })?;
        Ok(CpuClock { path: self.path.clone(), name: self.time.clone(), file })
    }
}
