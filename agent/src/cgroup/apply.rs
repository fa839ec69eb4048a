//! Several changes of limits as one: all of them, or none.

use std::fmt;

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;

use super::dir::{Access, Dir};
use super::disk::{self, Device, Way};
use super::error::{CgroupError, Result};
use super::hierarchies::{Controller, Version};
use super::memory::{self, HIGH, MAX_V1, MAX_V2, MEMSW};
use super::{Cgroup, CpuLimit, CpuList, CpuQuota, cpuset};

/// One change of a limit.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The CPU quota, in shares; the period stays, the burst too unless it is over the new quota.
    Cpu {
        /// The new one.
        quota: Limit,
    },
    /// The CPUs. Empty takes the restriction off: while processes run, that means all of those of the cgroup above.
    Cpuset(CpuList),
    /// v2's `memory.high`, in MiB.
    MemoryHigh(Limit),
    /// `memory.max`, or `memory.limit_in_bytes`, in MiB: never below what is in use. On v1 the limit on memory and swap together moves with it.
    MemoryMax(Limit),
    /// What may be read from a disk, in MiB/s.
    DiskRead {
        /// A whole disk; the kernel does not take partitions.
        device: Device,
        /// The new one.
        limit: Limit,
    },
    /// What may be written to a disk, in MiB/s.
    DiskWrite {
        /// A whole disk; the kernel does not take partitions.
        device: Device,
        /// The new one.
        limit: Limit,
    },
}

impl Change {
    /// What limits reads or writes of a disk.
    pub fn disk(resource: Resource, device: Device, limit: Limit) -> Self {
        if resource == Resource::DiskRead { Self::DiskRead { device, limit } } else { Self::DiskWrite { device, limit } }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, limit, unit) = match self {
            Self::Cpu { quota } => ("CPU quota", quota, "shares"),
            Self::Cpuset(cpus) => return write!(f, "CPUs {:?}", cpus.to_string()),
            Self::MemoryHigh(limit) => ("memory.high", limit, "MiB"),
            Self::MemoryMax(limit) => ("memory limit", limit, "MiB"),
            Self::DiskRead { device, limit } => return show(f, &format!("read limit of disk {device}"), *limit, "MiB/s"),
            Self::DiskWrite { device, limit } => return show(f, &format!("write limit of disk {device}"), *limit, "MiB/s"),
        };
        show(f, what, *limit, unit)
    }
}

fn show(f: &mut fmt::Formatter<'_>, what: &str, limit: Limit, unit: &str) -> fmt::Result {
    match limit {
        Limit::Unlimited => write!(f, "{what} off"),
        Limit::At(amount) => write!(f, "{what} {amount} {unit}"),
    }
}

/// Why nothing was changed, or, where `undo` failed too, why limits stand half-way.
#[derive(Debug)]
pub struct ApplyError {
    /// Which of the changes failed, counted from 0.
    pub index: usize,
    /// That change.
    pub change: Change,
    /// Why.
    pub source: Box<CgroupError>,
    /// What could not be put back; empty when everything stands as before.
    pub undo_failed: Vec<CgroupError>,
}

impl ApplyError {
    /// Whether every limit stands as it did before.
    pub fn undone(&self) -> bool {
        self.undo_failed.is_empty() && !matches!(*self.source, CgroupError::HalfDone { .. })
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be set: {}", self.change, self.source)?;
        if self.undone() {
            return f.write_str("; nothing was changed");
        }
        self.undo_failed.iter().try_for_each(|error| write!(f, "; not put back: {error}"))
    }
}

impl std::error::Error for ApplyError {}

/// How to put back one write.
enum Undo<'a> {
    Cpu { files: CpuQuota, before: CpuLimit },
    Cpuset { dir: &'a Dir, before: CpuList },
    File { dir: &'a Dir, controller: Controller, name: &'static str, before: String },
}

impl Undo<'_> {
    fn run(&self) -> Result<()> {
        match self {
            Self::Cpu { files, before } => files.write(before).map(drop),
            Self::Cpuset { dir, before } => cpuset::set(dir, before),
            Self::File { dir, controller, name, before } => dir.write(name, *controller, before),
        }
    }
}

/// What has been written so far.
struct Transaction<'a> {
    cgroup: &'a Cgroup,
    done: Vec<Undo<'a>>,
}

pub(super) fn apply(cgroup: &Cgroup, changes: &[Change]) -> Result<(), ApplyError> {
    let mut transaction = Transaction { cgroup, done: Vec::new() };
    for (index, change) in changes.iter().enumerate() {
        if let Err(source) = transaction.take(change) {
            let undo_failed = transaction.undo();
            return Err(ApplyError { index, change: change.clone(), source: source.into(), undo_failed });
        }
    }
    Ok(())
}

impl<'a> Transaction<'a> {
    fn undo(self) -> Vec<CgroupError> {
        // Nothing stands half-way in a cgroup that is gone, or on its way.
        self.done.iter().rev().filter_map(|undo| undo.run().err()).filter(|error| !error.is_absent()).collect()
    }

    fn take(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Cpu { quota } => self.cpu(*quota),
            Change::Cpuset(cpus) => self.cpuset(cpus),
            Change::MemoryHigh(limit) => self.memory_high(*limit),
            Change::MemoryMax(limit) => self.memory_max(*limit),
            Change::DiskRead { device, limit } => self.disk(*device, Way::Read, *limit),
            Change::DiskWrite { device, limit } => self.disk(*device, Way::Write, *limit),
        }
    }

    fn cpu(&mut self, quota: Limit) -> Result<()> {
        let files = CpuQuota::open(self.cgroup, Access::ReadWrite)?;
        let before = files.read()?;
        let written = files.write(&CpuLimit { quota, period_us: before.period_us, burst_us: None }).map(drop);
        if matches!(written, Ok(()) | Err(CgroupError::Verify { .. })) {
            self.done.push(Undo::Cpu { files, before });
        }
        written
    }

    fn cpuset(&mut self, cpus: &CpuList) -> Result<()> {
        let dir = self.cgroup.dir(Controller::Cpuset)?;
        let before = cpuset::configured(dir)?;
        if before == *cpus {
            return Ok(());
        }
        // Also when what it reads back is wrong it has been written.
        let set = cpuset::set(dir, cpus);
        if !matches!(set, Err(CgroupError::Write { .. })) {
            self.done.push(Undo::Cpuset { dir, before });
        }
        set
    }

    fn memory_high(&mut self, limit: Limit) -> Result<()> {
        let dir = self.cgroup.dir(Controller::Memory)?;
        let value = memory::spelled(dir, limit)?;
        self.file(dir, Controller::Memory, HIGH, &value, memory::same)
    }

    fn memory_max(&mut self, limit: Limit) -> Result<()> {
        let dir = self.cgroup.dir(Controller::Memory)?;
        let value = memory::spelled(dir, limit)?;
        memory::refuse_to_kill(dir, limit)?;
        if dir.version() == Version::V2 {
            return self.file(dir, Controller::Memory, MAX_V2, &value, memory::same);
        }
        let memsw = memory::memsw_for(dir, limit)?;
        let raise = memory::is_raise(&dir.read(MAX_V1, Controller::Memory)?, &value);
        // The sum may never be less than its part: first up, last down.
        if let (Some(memsw), true) = (&memsw, raise) {
            self.file(dir, Controller::Memory, MEMSW, memsw, memory::same)?;
        }
        let max = self.file(dir, Controller::Memory, MAX_V1, &value, memory::same);
        max.map_err(|error| memory::explain_busy(dir, limit, error))?;
        match (&memsw, raise) {
            (Some(memsw), false) => self.file(dir, Controller::Memory, MEMSW, memsw, memory::same),
            _ => Ok(()),
        }
    }

    fn disk(&mut self, device: Device, way: Way, limit: Limit) -> Result<()> {
        let dir = self.cgroup.dir(Controller::Io)?;
        let name = disk::limit_file(dir.version(), way);
        let stands = || dir.read(name, Controller::Io).map(|text| disk::limit_in(dir.version(), &text, device, way));
        let (before, value) = (stands()?, disk::spelled(dir, device, way, limit)?);
        let back = disk::spelled(dir, device, way, before)?;
        if value == back {
            return Ok(());
        }
        dir.write(name, Controller::Io, &value)?;
        self.done.push(Undo::File { dir, controller: Controller::Io, name, before: back });
        let reads = disk::spelled(dir, device, way, stands()?)?;
        verified(dir, name, &value, &reads, |wrote, reads| wrote == reads)
    }

    /// Writes one file that holds one value, unless it stands there already; reads it back.
    fn file(
        &mut self,
        dir: &'a Dir,
        controller: Controller,
        name: &'static str,
        value: &str,
        same: fn(&str, &str) -> bool,
    ) -> Result<()> {
        let before = dir.read(name, controller)?.trim_end().to_owned();
        if same(value, &before) {
            return Ok(());
        }
        dir.write(name, controller, value)?;
        self.done.push(Undo::File { dir, controller, name, before });
        verified(dir, name, value, dir.read(name, controller)?.trim_end(), same)
    }
}

fn verified(dir: &Dir, name: &str, wrote: &str, reads: &str, same: fn(&str, &str) -> bool) -> Result<()> {
    if same(wrote, reads) {
        return Ok(());
    }
    Err(CgroupError::Verify { file: dir.whole(name), wrote: wrote.to_owned(), reads: reads.to_owned() })
}
