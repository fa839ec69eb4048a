//! The only code that opens cgroupfs: v1, v2 and hybrid behind one type.
//!
//! [`Hierarchies`] finds once what is mounted; [`Hierarchies::open`] gives a [`Cgroup`], which stays with one incarnation of a cgroup: whatever is
//! removed answers [`CgroupError::Gone`], also when a new one stands under its path. Files are opened relative to kept directory handles
//! below roots whose filesystem was checked. What is read or written in every window is on descriptors of its own ([`CpuClock`],
//! [`ThrottleClock`], [`CpuQuota`]), without allocation; everything else goes by name, and may take long ([`Cgroup::apply`]).

mod apply;
mod bandwidth;
mod clock;
mod cpu;
mod cpuset;
mod create;
mod dir;
mod disk;
mod error;
mod hierarchies;
mod memory;
mod mountinfo;
mod net;
mod text;
pub mod tree;

use std::fmt;
use std::sync::{Arc, OnceLock};

use headroom_model::limit::Limit;

pub use apply::{ApplyError, Change};
pub use clock::{CpuClock, ThrottleClock};
pub use cpu::{CpuQuota, MAX_PERIOD_US, MIN_PERIOD_US, MIN_QUOTA_US};
pub use cpuset::{CpuList, CpuSets, ParseCpuListError};
pub use disk::{Device, DiskReading, ParseDeviceError};
pub use error::{CgroupError, Result};
pub use hierarchies::{Controller, ControllerPlace, Hierarchies, Version};
pub use memory::MemoryReading;
pub use net::{InterfaceReading, NetReading};
pub(crate) use text::MIB;

use dir::{Access, Dir};
use error::optional;

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

    /// The root of every hierarchy.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// The one above; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let parent = self.0.rsplit_once('/').map_or("", |(parent, _)| parent);
        (!self.0.is_empty()).then(|| Self(parent.to_owned()))
    }

    /// The one of that name below it; `None` where the name could not be one.
    pub fn child(&self, name: &str) -> Option<Self> {
        if name.contains('/') || name.is_empty() {
            return None;
        }
        Self::new(&format!("{}/{name}", self.0))
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
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct CpuLimit {
    /// The quota, in shares.
    pub quota: Limit,
    /// The period, in µs.
    pub period_us: u64,
    /// `cpu.max.burst` or `cpu.cfs_burst_us`, in µs; `None` where the kernel has none (before 5.14); written, `None`
    /// leaves what is there.
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

/// One cgroup, over all the hierarchies that it is in: kept directory handles, files opened relative to them.
#[derive(Debug)]
pub struct Cgroup {
    path: CgroupPath,
    hierarchies: Hierarchies,
    /// Where it is identified.
    cpu: Arc<Dir>,
    /// A place for each hierarchy, filled when it is first needed: an engine makes its cgroups one hierarchy after the other, and most containers
    /// are only counted.
    dirs: Vec<OnceLock<Arc<Dir>>>,
}

/// The limits of the cgroups above one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitsAbove {
    /// In shares.
    pub cpu: Limit,
    /// In MiB.
    pub memory: Limit,
}

impl Default for LimitsAbove {
    /// None.
    fn default() -> Self {
        Self { cpu: Limit::Unlimited, memory: Limit::Unlimited }
    }
}

impl Cgroup {
    fn open(hierarchies: Hierarchies, path: &CgroupPath) -> Result<Self> {
        let gone = || CgroupError::Gone { path: path.clone() };
        let at = hierarchies.cpu().ok_or_else(gone)?;
        let cpu = Arc::new(Dir::open(&hierarchies.all()[at], path)?);
        let dirs: Vec<OnceLock<Arc<Dir>>> = hierarchies.all().iter().map(|_| OnceLock::new()).collect();
        dirs[at].get_or_init(|| Arc::clone(&cpu));
        Ok(Self { path: path.clone(), hierarchies, cpu, dirs })
    }

    /// Its place.
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// The kernel's id of it in the hierarchy of the cpu controller: its directory's inode, what the eBPF side sees.
    pub fn id(&self) -> u64 {
        self.cpu.inode()
    }

    /// Its id in the v2 tree, which hybrid hosts have beside; `None` where there is none.
    pub fn unified_id(&self) -> Result<Option<u64>> {
        let Some(at) = self.hierarchies.unified() else { return Ok(None) };
        Ok(optional(self.dir_at(at, Controller::Cpu))?.map(|dir| dir.inode()))
    }

    /// Whether this very cgroup is still at its path.
    pub fn alive(&self) -> bool {
        self.cpu.alive()
    }

    /// The processes in it and below it.
    pub fn processes(&self) -> Result<Vec<u32>> {
        net::processes(&self.cpu, Controller::Cpu)
    }

    /// Its own CPU limit.
    pub fn cpu_limit(&self) -> Result<CpuLimit> {
        CpuQuota::open(self, Access::Read)?.read()
    }

    /// How much CPU it can have at most, in shares: the least of its own quota, the quotas above it, and 100 for each CPU
    /// that it may run on. On v2 a raise past this changes nothing.
    pub fn effective_cpu_limit(&self) -> Result<Limit> {
        let cpus = self.effective_cpus()?;
        Ok(cpu::least_quota(&self.cpu)?.min(Limit::At(100.0 * cpus.len() as f64)))
    }

    /// The least of the limits of the cgroups above it: no raise of its own gets past these.
    pub fn limits_above(&self) -> Result<LimitsAbove> {
        let memory = optional(memory::least_above(self))?.unwrap_or(Limit::Unlimited);
        Ok(LimitsAbove { cpu: cpu::least_quota_above(&self.cpu)?, memory })
    }

    /// Which CPUs it was given, and which it can run on.
    pub fn cpuset(&self) -> Result<CpuSets> {
        cpuset::read(self)
    }

    /// Which CPUs it can run on, also where it has no cpuset controller.
    pub fn effective_cpus(&self) -> Result<CpuList> {
        cpuset::effective(self)
    }

    /// Its CPU time, and that of all below it. To be read again and again: [`Self::cpu_clock`].
    pub fn cpu_time(&self) -> Result<CpuTime> {
        self.cpu_clock()?.read()
    }

    /// Its CPU time on a kept descriptor.
    pub fn cpu_clock(&self) -> Result<CpuClock> {
        CpuClock::open(self)
    }

    /// How often it was throttled.
    pub fn throttling(&self) -> Result<Throttling> {
        self.throttle_clock()?.read()
    }

    /// [`Self::throttling`] on a kept descriptor.
    pub fn throttle_clock(&self) -> Result<ThrottleClock> {
        ThrottleClock::open(self)
    }

    /// The CPU quota on kept descriptors, to be read and written.
    pub fn cpu_quota(&self) -> Result<CpuQuota> {
        CpuQuota::open(self, Access::ReadWrite)
    }

    /// Its memory.
    pub fn memory(&self) -> Result<MemoryReading> {
        memory::read(self)
    }

    /// Its disks: those that it has used or is limited on. v1 kernels from 6.10 on count a disk only once some cgroup was given a limit there:
    /// until then a disk in use is missing here.
    pub fn disk(&self) -> Result<Vec<DiskReading>> {
        disk::read(self)
    }

    /// Its network interfaces; `None` where no process runs in it. Limits of the network are none of cgroups':
    /// [`crate::sampler::uplinks`] reads them.
    pub fn net(&self) -> Result<Option<NetReading>> {
        net::read(self)
    }

    /// Makes all of `changes`, in their order, each read back; when one fails, those before it are undone, the last first. Lowering
    /// memory reclaims in here, which can take long.
    pub fn apply(&self, changes: &[Change]) -> Result<(), ApplyError> {
        apply::apply(self, changes)
    }

    /// Its directory in the hierarchy of `controller`.
    fn dir(&self, controller: Controller) -> Result<&Arc<Dir>> {
        match self.hierarchies.of(controller) {
            Some(at) => self.dir_at(at, controller),
            None => {
                Err(self.no_controller(controller, Version::V1, "it is not mounted, and the v2 tree does not have it".to_owned()))
            }
        }
    }

    /// Its directory in the hierarchy that counts CPU time: v1's cpuacct, otherwise the v2 tree, which counts in every cgroup.
    fn dir_of_cpu_time(&self) -> Result<&Arc<Dir>> {
        match self.hierarchies.of(Controller::CpuAcct).or_else(|| self.hierarchies.unified()) {
            Some(at) => self.dir_at(at, Controller::CpuAcct),
            None => self.dir(Controller::CpuAcct),
        }
    }

    fn dir_at(&self, at: usize, controller: Controller) -> Result<&Arc<Dir>> {
        let (hierarchy, kept) = (&self.hierarchies.all()[at], &self.dirs[at]);
        if let Some(dir) = kept.get() {
            return Ok(dir);
        }
        let opened = Dir::open(hierarchy, &self.path);
        // What was opened just now is of this incarnation if this one still stands after it.
        if !self.alive() {
            return Err(CgroupError::Gone { path: self.path.clone() });
        }
        match opened {
            Ok(dir) => Ok(kept.get_or_init(|| Arc::new(dir))),
            Err(error) if error.is_gone() => {
                let advice = format!("it has no cgroup of its own in {}", hierarchy.root.display());
                Err(self.no_controller(controller, hierarchy.version, advice))
            }
            Err(error) => Err(error),
        }
    }

    fn no_controller(&self, controller: Controller, version: Version, advice: String) -> CgroupError {
        CgroupError::NoController {
            path: self.path.clone(),
            file: "files".to_owned(),
            controller: controller.key(version),
            advice,
        }
    }
}
