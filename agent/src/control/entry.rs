//! One container, as the control loop knows it.

use std::sync::Arc;

use headroom_model::limit::Limit;
use headroom_model::policy::guardian::Subject;
use headroom_model::resource::{PerResource, Resource, ResourceSet};

use crate::cgroup::{Cgroup, CpuLimit, CpuQuota};
use crate::config::ContainerRule;
use crate::containers::Container;
use crate::sampler::audit::Audit;
use crate::sampler::SlotId;
use crate::sampler::meter::Reading;
use crate::scaler::originals::Record;
use crate::status::{Areas, GuardMode};

/// How far a container is on its way to being guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Only watched: nobody asked, or it was refused (the notes say why).
    Watched,
    /// What was found is being put on disk; nothing has been touched.
    Claiming,
    /// Judged. With [`GuardMode::Advise`], on paper.
    Guarded,
}

/// Everything known of one container.
pub(super) struct Entry {
    pub(super) container: Arc<Container>,
    pub(super) name: Arc<str>,
    pub(super) cgroup: Arc<Cgroup>,
    pub(super) slot: Option<SlotId>,
    /// What the configuration asks for it.
    pub(super) rule: Option<Arc<ContainerRule>>,
    pub(super) phase: Phase,
    pub(super) notes: Vec<Arc<str>>,
    /// Kept descriptors; there from the claim on.
    pub(super) quota: Option<CpuQuota>,
    /// The CPU limit as last written or read.
    pub(super) cpu: Option<CpuLimit>,
    /// What is on disk of it.
    pub(super) record: Option<Record>,
    /// The guarded resources, for the policy.
    pub(super) subject: Subject,
    /// Resources with a write in flight on a writer thread: not judged meanwhile.
    pub(super) in_flight: ResourceSet,
    /// When a write of its memory limit finished last: readings that began before are stale.
    pub(super) memory_written_ns: u64,
    /// `used_ns` when the CPU window opened.
    pub(super) opened_ns: Option<u64>,
    /// Mean of the last window, guarded or not.
    pub(super) usage: PerResource<Option<f64>>,
    pub(super) areas: PerResource<Areas>,
    /// The reading before the last, of what only differences tell.
    pub(super) before: Option<Box<Reading>>,
    /// The last of each part of a reading.
    pub(super) last: Box<Reading>,
    /// When memory, disks and network were last held against each other, for means.
    pub(super) audit: Audit,
}

impl Entry {
    pub(super) fn guard(&self) -> GuardMode {
        self.rule.as_ref().map_or(GuardMode::Off, |rule| rule.guard)
    }

    /// Whether limits are really written for it.
    pub(super) fn is_written(&self) -> bool {
        self.phase == Phase::Guarded && self.guard() == GuardMode::On
    }

    /// The limit that stands in cgroupfs, as far as is known.
    pub(super) fn applied(&self, resource: Resource) -> Limit {
        match resource {
            Resource::Cpu => self.cpu.map_or(Limit::Unlimited, |cpu| cpu.quota),
            Resource::Mem => self.last.memory.map_or(Limit::Unlimited, |memory| memory.moving()),
            Resource::DiskRead => self.disk_limit(|d| d.read_limit),
            Resource::DiskWrite => self.disk_limit(|d| d.write_limit),
            Resource::Net | Resource::Energy => Limit::Unlimited,
        }
    }

    fn disk_limit(&self, of: impl Fn(&crate::cgroup::DiskReading) -> Limit) -> Limit {
        self.last.disks.iter().flatten().map(of).fold(Limit::Unlimited, Limit::min)
    }

    /// The limit that the policy goes by: for CPU the lesser of the quota and 100 x the CPUs in the cpuset.
    pub(super) fn in_force(&self, resource: Resource) -> Limit {
        let applied = self.applied(resource);
        match (resource, &self.last.cpusets) {
            (Resource::Cpu, Some(sets)) if applied != Limit::Unlimited && !sets.configured.is_empty() => {
                applied.min(Limit::At(100.0 * sets.effective.len() as f64))
            }
            _ => applied,
        }
    }

    /// Adds a note once.
    pub(super) fn note(&mut self, note: impl Into<Arc<str>>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
