//! Facts about the kernel and this process, without judging them: [`crate::check`] does.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::{AccessFlags, access};

use super::capabilities::Capabilities;
use super::cpus::Hotplug;
use super::read;
use super::realtime::Realtime;
use crate::cgroup::{Controller, CpuList, Hierarchies, Mode, Version};

/// The inode of the cgroup namespace in which the kernel began (`PROC_CGROUP_INIT_INO`).
const FIRST_CGROUP_NAMESPACE: u64 = 0xEFFF_FFFB;

/// What a host has.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The kernel's release: `6.1.0-18-amd64`.
    pub release: String,
    /// What its BTF tells; `None` where it has none.
    pub btf: Option<Btf>,
    /// Its cgroup interfaces, or why there is nothing to work with.
    pub cgroups: Result<Cgroups, String>,
    /// Whether this process sees the whole tree of cgroups, and not a container's part of it; `None` where unknown.
    pub whole_cgroup_tree: Option<bool>,
    /// What this process may do.
    pub capabilities: Capabilities,
    /// Whether a thread may have real-time priority; `None` without cgroups.
    pub realtime: Option<Realtime>,
    /// The online CPUs, or why they are not known.
    pub online: Result<CpuList, String>,
    /// How much memory may be locked, in bytes; `None` for any amount.
    pub memlock: Option<u64>,
    /// How many directories a user may have watched; `None` where unknown.
    pub inotify_watches: Option<u64>,
    /// How many watchers a user may have.
    pub inotify_instances: Option<u64>,
}

/// What the kernel's type information names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Btf {
    /// The scheduler's tracepoint that charges CPU time, as typed arguments.
    pub sched_stat_runtime: bool,
    /// Ring buffers.
    pub ring_buffer: bool,
}

/// The cgroup interfaces.
#[derive(Clone, Debug)]
pub struct Cgroups {
    /// Which are mounted.
    pub mode: Mode,
    /// The root of the hierarchy of the cpu controller.
    pub cpu_root: PathBuf,
    /// Each controller that is there, and in which interface.
    pub controllers: Vec<(Controller, Version)>,
    /// Why limits could not be written under `cpu_root`; `None` when they can.
    pub read_only: Option<String>,
}

impl Facts {
    /// Of this host and process. What cannot be found out is a fact too.
    pub fn probe() -> Self {
        let release = read(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_else(|error| error.to_string());
        let cgroups = Hierarchies::probe().map(|found| Cgroups::of(&found)).map_err(|error| error.to_string());
        let realtime = cgroups.as_ref().ok().and_then(|found| realtime(found, &release));
        Self {
            btf: fs::read("/sys/kernel/btf/vmlinux").ok().map(|bytes| Btf::of(&bytes)),
            cgroups,
            whole_cgroup_tree: fs::metadata("/proc/self/ns/cgroup").ok().map(|ns| ns.ino() == FIRST_CGROUP_NAMESPACE),
            // Nothing is the safe thing to think of what cannot be read.
            capabilities: Capabilities::read().unwrap_or(Capabilities::NONE),
            realtime,
            online: Hotplug::open().and_then(|cpus| cpus.online()).map_err(|error| error.to_string()),
            memlock: getrlimit(Resource::RLIMIT_MEMLOCK).ok().map(|(soft, _)| soft).filter(|&soft| soft != RLIM_INFINITY),
            inotify_watches: number("/proc/sys/fs/inotify/max_user_watches"),
            inotify_instances: number("/proc/sys/fs/inotify/max_user_instances"),
            release,
        }
    }

    /// What a thread needs to know before it asks for real-time priority, and nothing that takes longer to find out.
    pub fn probe_realtime() -> Option<Realtime> {
        let release = read(Path::new("/proc/sys/kernel/osrelease")).ok()?;
        realtime(&Cgroups::of(&Hierarchies::probe().ok()?), &release)
    }

    /// Major and minor number of the kernel's release.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.release.split(['.', '-', '+']).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

impl Btf {
    /// Reads the names in `bytes`, each of which ends with a 0.
    fn of(bytes: &[u8]) -> Self {
        let mut found = Self { sched_stat_runtime: false, ring_buffer: false };
        for name in bytes.split(|&byte| byte == 0) {
            found.sched_stat_runtime |= name == b"btf_trace_sched_stat_runtime";
            found.ring_buffer |= name == b"BPF_MAP_TYPE_RINGBUF";
        }
        found
    }
}

impl Cgroups {
    fn of(found: &Hierarchies) -> Self {
        let cpu_root = found.cpu_root().to_owned();
        let read_only = access(&cpu_root.join("cgroup.procs"), AccessFlags::W_OK).err().map(|errno| errno.desc().to_owned());
        let controllers = found.controllers().into_iter().map(|place| (place.controller, place.version)).collect();
        Self { mode: found.mode(), cpu_root, controllers, read_only }
    }

    /// The interface in which a controller is, if it is there.
    pub fn version(&self, controller: Controller) -> Option<Version> {
        self.controllers.iter().find(|(there, _)| *there == controller).map(|(_, version)| *version)
    }
}

fn number(file: &str) -> Option<u64> {
    read(Path::new(file)).ok()?.parse().ok()
}

fn realtime(found: &Cgroups, release: &str) -> Option<Realtime> {
    Some(Realtime::read(&found.cpu_root, found.version(Controller::Cpu)?, release))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_btf_are_whole_names() {
        let all = b"\x9f\xeb\0btf_trace_sched_stat_runtime\0BPF_MAP_TYPE_RINGBUF\0x\0";
        assert_eq!(Btf::of(all), Btf { sched_stat_runtime: true, ring_buffer: true });
        let parts = b"\x9f\xeb\0__btf_trace_sched_stat_runtime\0BPF_MAP_TYPE_RINGBUFFER\0";
        assert_eq!(Btf::of(parts), Btf { sched_stat_runtime: false, ring_buffer: false });
    }

    #[test]
    fn this_host_has_facts() {
        let facts = Facts::probe();
        assert!(facts.version().is_some_and(|(major, _)| major >= 5), "{}", facts.release);
        assert!(facts.online.is_ok());
        assert!(facts.inotify_watches.is_some_and(|watches| watches > 0));
        let cgroups = facts.cgroups.unwrap();
        assert!(cgroups.version(Controller::Cpu).is_some(), "{cgroups:?}");
    }

    #[test]
    fn releases_of_many_shapes_have_two_numbers() {
        for (release, version) in
            [("6.1.0-18-amd64", Some((6, 1))), ("6.12", Some((6, 12))), ("7.2-rc1+", Some((7, 2))), ("unknown", None)]
        {
            let facts = Facts { release: release.into(), ..Facts::probe() };
            assert_eq!(facts.version(), version, "{release}");
        }
    }
}
