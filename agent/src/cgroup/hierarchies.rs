//! What is mounted, and which controller is where.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};

use super::error::{CgroupError, Result};
use super::mountinfo::{Mount, cgroup_mounts};
use super::{Cgroup, CgroupPath, Mode};

/// The interface that a hierarchy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// One hierarchy a controller, or a few controllers.
    V1,
    /// The unified one.
    V2,
}

/// The controllers that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// CPU bandwidth.
    Cpu,
    /// v1's accounting of CPU time; v2 has it in every cgroup, whatever is enabled.
    CpuAcct,
    /// Which CPUs.
    Cpuset,
    /// Memory.
    Memory,
    /// Disks: `blkio` on v1.
    Io,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::CpuAcct, Self::Cpuset, Self::Memory, Self::Io];

    /// The kernel's name of it.
    pub const fn key(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::Cpu, _) => "cpu",
            (Self::CpuAcct, _) => "cpuacct",
            (Self::Cpuset, _) => "cpuset",
            (Self::Memory, _) => "memory",
            (Self::Io, Version::V1) => "blkio",
            (Self::Io, Version::V2) => "io",
        }
    }
}

/// Where one controller is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ControllerPlace {
    /// Which.
    pub controller: Controller,
    /// In which kind of hierarchy.
    pub version: Version,
    /// The root of that hierarchy.
    pub root: PathBuf,
}

/// One mounted hierarchy: its root's handle, checked once to be cgroupfs.
#[derive(Debug)]
pub(super) struct Hierarchy {
    pub(super) root: PathBuf,
    pub(super) fd: OwnedFd,
    pub(super) version: Version,
    /// False in fake trees, whose files are plain ones.
    pub(super) checked: bool,
    controllers: Vec<Controller>,
}

/// All cgroup hierarchies that are mounted, found once; cheap to clone.
#[derive(Clone, Debug)]
pub struct Hierarchies(Arc<Vec<Arc<Hierarchy>>>);

impl Hierarchies {
    /// Those of this host, by `/proc/self/mountinfo`.
    pub fn probe() -> Result<Self> {
        let file = PathBuf::from("/proc/self/mountinfo");
        let text = fs::read_to_string(&file).map_err(|answer| CgroupError::Read { file, answer })?;
        let mut mounts = cgroup_mounts(&text);
        // A cgroup that is mounted somewhere by itself hides the others: whole hierarchies first.
        mounts.sort_by_key(|mount| !mount.whole);
        Self::of_mounts(&mounts, true, Path::new("/sys/fs/cgroup"))
    }

    /// Those of a tree of plain files: v2 where `root` has a `cgroup.controllers`, otherwise each directory in it is one v1 hierarchy
    /// with the controllers that its name tells (`cpu,cpuacct`), and `unified` the v2 one. For tests: the filesystem is not checked.
    pub fn at(root: &Path) -> Result<Self> {
        let mount = |point: PathBuf, options| Mount { point, whole: true, options };
        if root.join("cgroup.controllers").exists() {
            return Self::of_mounts(&[mount(root.to_owned(), None)], false, root);
        }
        let entries = fs::read_dir(root).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|answer| CgroupError::Read { file: root.to_owned(), answer })?;
        let mut mounts: Vec<_> = entries
            .iter()
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let options = (name != "unified").then(|| name.split(',').map(str::to_owned).collect());
                mount(entry.path(), options)
            })
            .collect();
        mounts.sort_by(|a, b| a.point.cmp(&b.point));
        Self::of_mounts(&mounts, false, root)
    }

    fn of_mounts(mounts: &[Mount], check: bool, root: &Path) -> Result<Self> {
        let mut found: Vec<Arc<Hierarchy>> = Vec::new();
        let mut refused = Vec::new();
        for mount in mounts {
            match Hierarchy::open(mount, check) {
                Ok(hierarchy) if hierarchy.adds_to(&found) => found.push(Arc::new(hierarchy)),
                Ok(_) => {}
                Err(why) => refused.push(format!("{}: {why}", mount.point.display())),
            }
        }
        let hierarchies = Self(Arc::new(found));
        if hierarchies.cpu().is_some() {
            return Ok(hierarchies);
        }
        let why = if refused.is_empty() { String::new() } else { format!(" ({})", refused.join("; ")) };
        let why = format!("no cgroup2, and no v1 hierarchy with the cpu controller{why}; is cgroupfs mounted?");
        Err(CgroupError::NotMounted { root: root.to_owned(), why })
    }

    /// Which interfaces there are.
    pub fn mode(&self) -> Mode {
        let any = |version| self.0.iter().any(|hierarchy| hierarchy.version == version);
        match (any(Version::V1), any(Version::V2)) {
            (true, true) => Mode::Hybrid,
            (false, true) => Mode::V2,
            (_, false) => Mode::V1,
        }
    }

    /// Of the memory controller; `None` where it is not to be had.
    pub fn memory_version(&self) -> Option<Version> {
        self.controllers().into_iter().find(|place| place.controller == Controller::Memory).map(|place| place.version)
    }

    /// Opens a cgroup; [`CgroupError::Gone`] where it is not in the hierarchy of the cpu controller.
    pub fn open(&self, path: &CgroupPath) -> Result<Cgroup> {
        Cgroup::open(self.clone(), path)
    }

    /// The root of the cpu controller's hierarchy (on v2: the one there is): where containers are looked for.
    pub fn cpu_root(&self) -> &Path {
        self.cpu().map_or(Path::new(""), |index| &self.0[index].root)
    }

    /// The root of the v2 hierarchy, with or without controllers.
    pub fn unified_root(&self) -> Option<&Path> {
        self.unified().map(|index| self.0[index].root.as_path())
    }

    /// That root, opened: where programs on sockets are attached.
    pub fn unified_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified().map(|index| self.0[index].fd.as_fd())
    }

    /// Each controller that is mounted, and where.
    pub fn controllers(&self) -> Vec<ControllerPlace> {
        let place = |controller| {
            let hierarchy = &self.0[self.of(controller)?];
            Some(ControllerPlace { controller, version: hierarchy.version, root: hierarchy.root.clone() })
        };
        Controller::ALL.into_iter().filter_map(place).collect()
    }

    /// Which CPUs are online, whatever cgroups say: `/sys/devices/system/cpu/online`.
    pub fn online_cpus() -> Result<super::CpuList> {
        let file = PathBuf::from("/sys/devices/system/cpu/online");
        let text = fs::read_to_string(&file).map_err(|answer| CgroupError::Read { file: file.clone(), answer })?;
        match text.parse() {
            Ok(cpus) => Ok(cpus),
            Err(_) => Err(CgroupError::Parse { file, text, expected: "a list of CPUs" }),
        }
    }

    pub(super) fn all(&self) -> &[Arc<Hierarchy>] {
        &self.0
    }

    /// The place of the hierarchy that has `controller`.
    pub(super) fn of(&self, controller: Controller) -> Option<usize> {
        self.0.iter().position(|hierarchy| hierarchy.controllers.contains(&controller))
    }

    /// The place of the v2 hierarchy.
    pub(super) fn unified(&self) -> Option<usize> {
        self.0.iter().position(|hierarchy| hierarchy.version == Version::V2)
    }

    /// The place of the hierarchy in which containers are identified.
    pub(super) fn cpu(&self) -> Option<usize> {
        self.of(Controller::Cpu).or_else(|| self.unified())
    }
}

impl Hierarchy {
    fn open(mount: &Mount, check: bool) -> io::Result<Self> {
        let root = File::open(&mount.point)?;
        let version = if mount.options.is_some() { Version::V1 } else { Version::V2 };
        if check {
            let magic = if version == Version::V1 { CGROUP_SUPER_MAGIC } else { CGROUP2_SUPER_MAGIC };
            if fstatfs(&root)?.filesystem_type() != magic {
                return Err(io::Error::other("another filesystem is mounted over it"));
            }
        }
        let names = match &mount.options {
            Some(options) => options.clone(),
            None => fs::read_to_string(mount.point.join("cgroup.controllers"))?.split_whitespace().map(str::to_owned).collect(),
        };
        let has = |controller: &Controller| names.iter().any(|name| name == controller.key(version));
        let controllers = Controller::ALL.into_iter().filter(has).collect();
        Ok(Self { root: mount.point.clone(), fd: root.into(), version, checked: check, controllers })
    }

    /// Whether it brings what `found` does not have yet.
    fn adds_to(&self, found: &[Arc<Self>]) -> bool {
        match self.version {
            Version::V2 => found.iter().all(|other| other.version != Version::V2),
            Version::V1 => self.controllers.iter().any(|c| found.iter().all(|other| !other.controllers.contains(c))),
        }
    }
}
