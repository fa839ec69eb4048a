//! Cores that a container has for itself: which, and how the CPUs found before are given back.

use headroom_model::resource::Resource;

use super::apply::Pending;
use super::entry::Entry;
use super::state::State;
use crate::cgroup::{Change, CpuList};
use crate::scaler::writer::Job;

/// The action of giving back the CPUs found before a container was pinned.
pub(super) const UNPIN: &str = "Unpin";

impl State {
    /// The CPUs that a container is held to: whatever else is written there is put right.
    pub(super) fn held_to(&self, entry: &Entry) -> Option<CpuList> {
        let cores = self.cores.as_ref()?;
        let scaler = &self.config.scaler;
        let is_judged = entry.subject.resources[Resource::Cpu].as_ref().is_some_and(|guarded| guarded.current.is_some());
        let ours: CpuList = cores.cpuset(&entry.name).into_iter().collect();
        (entry.is_written() && is_judged && scaler.active && scaler.check_core_map && !ours.is_empty()).then_some(ours)
    }

    /// Gives back the CPUs found before a container was pinned. They stay on disk until that is done.
    pub(super) fn unpin(&mut self, id: u64, cpus: CpuList) {
        let is_under_way =
            |pending: &Pending| matches!(pending, Pending::Set { id: of, action, .. } if *of == id && *action == UNPIN);
        let Some(entry) = self.entries.get(&id) else { return };
        if !self.config.scaler.active || self.pending.values().any(is_under_way) {
            return;
        }
        if let Some(cores) = &mut self.cores {
            cores.remove(&entry.name);
        }
        let limit = entry.applied(Resource::Cpu);
        let why = "it is no longer pinned: the CPUs found before it was are given back".to_owned();
        let pending = Pending::Set { id, resource: Resource::Cpu, from: limit, to: limit, action: UNPIN, why };
        self.submit(id, Some(Resource::Cpu), vec![Change::Cpuset(cpus)], pending);
    }

    /// The CPUs are given back.
    pub(super) fn unpinned(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.shown = None;
        entry.last.cpusets = entry.cgroup.cpuset().ok().or(entry.last.cpusets.take());
        if let Some(record) = &mut entry.record {
            record.cpuset = None;
            self.writer.submit(Job::Save(record.clone()));
        }
        let limit = entry.in_force(Resource::Cpu);
        self.set_limit(id, Resource::Cpu, limit);
    }
}
