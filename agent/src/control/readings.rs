//! Readings of the meter: usages of the slow resources, the audit of our CPU count, limits that something else changed.

use headroom_model::limit::Limit;
use headroom_model::resource::{Resource, ResourceSet};

use super::claim::found;
use super::entry::{Entry, Phase};
use super::pace::Pace;
use super::state::State;
use crate::cgroup::{CpuLimit, Version};
use crate::clock;
use crate::config::OnForeignChange;
use crate::containers::Engine;
use crate::sampler::meter::Reading;
use crate::sampler::{SourceKind, audit, uplinks};
use crate::scaler::originals::Original;
use crate::scaler::reads_as;
use crate::scaler::writer::Job;

/// In how many windows every guarded container's quota has been read back once.
const DRIFT_TURNS: u64 = 20;

impl State {
    /// Takes over one tick's readings, and judges the memory windows that they end.
    pub(super) fn read(&mut self, readings: Vec<Reading>) {
        let decided_ns = clock::monotonic_ns();
        for reading in readings {
            let id = reading.cgroup_id;
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let is_fresh = reading.at_ns > entry.written_ns;
            let cpus_read = reading.cpusets.is_some() && is_fresh;
            let found_quota = reading.cpu_limit.is_some() && entry.awaits_quota(&self.config.guardian.guardable);
            let awaited_disk = entry.awaits_disk(&self.config.guardian.guardable);
            let of_pod = entry.container.engine == Engine::Kubernetes && (cpus_read || reading.above.is_some());
            let before = of_pod.then(|| self.kubelet(id)).flatten();
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let counted = entry.slot.filter(|_| reading.whole).and_then(|slot| self.source.net_bytes(slot));
            let ended = entry.take(reading, is_fresh, Pace::new(&self.config.guardian.window), counted);
            let found_disk = awaited_disk && entry.device().is_some();
            if found_disk || found_quota || (of_pod && self.kubelet(id) != before) {
                self.decide_guard(id);
            }
            if cpus_read {
                self.check_cores(id);
            }
            if self.entries.get(&id).is_some_and(|e| e.phase != Phase::Guarded) {
                self.reserve_unguarded(id);
            }
            for resource in ended.iter() {
                self.check_limit(id, resource);
                self.end_metered(id, resource, decided_ns);
            }
        }
        self.carry_out(decided_ns);
    }

    /// Takes over by what containers are linked to the host's network.
    pub(super) fn linked(&mut self, changed: uplinks::Changed) {
        for (id, uplink) in changed {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.uplink = uplink;
                entry.shown = None;
            }
        }
    }

    /// A window is over that the meter's readings are for.
    fn end_metered(&mut self, id: u64, resource: Resource, ended_ns: u64) {
        if !self.config.guardian.active {
            return;
        }
        self.record_windows(&[id], resource, ended_ns);
        self.judge(id, ResourceSet::only(resource), ended_ns as f64 / 1e9);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.subject.next_window(ResourceSet::only(resource));
        }
    }

    /// Holds our count of CPU time against the kernel's own, for those containers whose turn it is.
    pub(super) fn audit(&mut self) {
        if self.source.kind() != SourceKind::Ebpf {
            return;
        }
        let windows = self.config.sampler.audit_interval.as_nanos() / self.cpu_window().as_nanos().max(1);
        let turns = u64::try_from(windows).unwrap_or(u64::MAX).max(1);
        self.audit_turn = (self.audit_turn + 1) % turns;
        for (id, entry) in &mut self.entries {
            if id % turns != self.audit_turn {
                continue;
            }
            let Some(slot) = entry.slot else { continue };
            // Where the kernel does not account this cgroup, there is nothing to hold against.
            let Some(clock) = entry.accounting() else { continue };
            let (Some(before_ns), Ok(kernel_ns), Some(after_ns)) =
                (self.source.counted_ns(slot), clock.total_ns(), self.source.counted_ns(slot))
            else {
                continue;
            };
            let Some(verdict) = entry.audit.judge(audit::Reading { before_ns, kernel_ns, after_ns }) else { continue };
            self.audited.note(verdict);
            if let Some(by_ns) = verdict.correct_by_ns {
                self.source.correct(slot, by_ns);
                tracing::warn!(container = %entry.name, by_ns, "our count of CPU time was put right after the kernel's");
            }
        }
        self.counters.usage_corrected = self.audited.corrected;
        self.counters.usage_drift_max = self.audited.worst;
    }

    /// Reads the quotas of a twentieth of the guarded containers back, and lets their bursts follow.
    pub(super) fn check_drift(&mut self) {
        self.turn = (self.turn + 1) % DRIFT_TURNS;
        let turn = self.turn;
        let mut lost = Vec::new();
        let drifted: Vec<(u64, CpuLimit, CpuLimit)> = self
            .entries
            .iter()
            .filter(|(id, entry)| *id % DRIFT_TURNS == turn && entry.is_written() && !entry.in_flight.contains(Resource::Cpu))
            .filter_map(|(id, entry)| {
                let theirs = entry.quota.as_ref()?.read();
                lost.extend(theirs.is_err().then_some(*id));
                Some((*id, entry.cpu?, theirs.ok()?))
            })
            .filter(|(id, ours, theirs)| ours != theirs || self.entries.get(id).is_some_and(|entry| entry.burst_is_behind))
            .collect();
        for (id, ours, theirs) in drifted {
            if ours == theirs {
                self.follow_burst(id, ours.quota);
                continue;
            }
            self.foreign_quota(id, ours, theirs);
        }
        self.check_cores_in_turn();
        for id in lost {
            self.open_again(id);
        }
    }

    /// The same of the cores of those that are pinned.
    fn check_cores_in_turn(&mut self) {
        if self.cores.is_none() {
            return;
        }
        let is_due = |(id, entry): &(&u64, &mut Entry)| {
            *id % DRIFT_TURNS == self.turn && entry.is_written() && !entry.in_flight.contains(Resource::Cpu)
        };
        let mut due = Vec::new();
        for (id, entry) in self.entries.iter_mut().filter(is_due) {
            if let Ok(now) = entry.cgroup.cpuset()
                && entry.last.cpusets.as_ref() != Some(&now)
            {
                entry.last.cpusets = Some(now);
                entry.shown = None;
                due.push(*id);
            }
        }
        for id in due {
            self.check_cores(id);
        }
    }

    /// Its files answer no more: it is on its way out, or the controller was taken from it, and perhaps given back, which makes them anew.
    fn open_again(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.cgroup.alive()) else { return };
        entry.quota = None;
        entry.cpu = None;
        self.decide_guard(id);
    }

    /// The quota that [`Self::still_stands`] has just read, where it reads.
    pub(super) fn looked_at(&self, id: u64) -> Option<CpuLimit> {
        self.entries.get(&id)?.cpu.filter(|_| self.config.scaler.check_core_map)
    }

    /// Whether the limit still stands that a grant of CPU goes from. What something else has written meanwhile is not written over
    /// unseen: it is handled first, and where it is adopted the grant is void.
    pub(super) fn still_stands(&mut self, id: u64, from: Limit) -> bool {
        // Of a raise in steps the first was looked at.
        if !self.config.scaler.check_core_map || self.staged.iter().any(|(staged, _)| *staged == id) {
            return true;
        }
        let Some(entry) = self.entries.get(&id) else { return false };
        let theirs = entry.quota.as_ref().and_then(|quota| quota.read().ok());
        let (Some(ours), Some(theirs)) = (entry.cpu, theirs) else { return true };
        if ours == theirs {
            return true;
        }
        self.foreign_quota(id, ours, theirs);
        let current = self.entries.get(&id).and_then(|entry| entry.subject.resources[Resource::Cpu].as_ref()?.current);
        current.map(Limit::At) == Some(from)
    }

    fn foreign_quota(&mut self, id: u64, ours: CpuLimit, theirs: CpuLimit) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.cpu = Some(theirs);
            entry.burst_is_behind = false;
        }
        self.foreign_change(id, Resource::Cpu, ours.quota, theirs.quota);
    }

    /// Sets the burst that a raise of ours has left behind; nothing is written while people have the wheel.
    fn follow_burst(&mut self, id: u64, quota: Limit) {
        let wanted = self.cpu_limit(quota);
        let may_write = self.config.scaler.active && self.config.scaler.check_core_map;
        let Some(entry) = self.entries.get_mut(&id).filter(|_| may_write) else { return };
        entry.burst_is_behind = false;
        match entry.quota.as_ref().map(|files| files.write(&wanted)) {
            Some(Ok(read)) => entry.cpu = Some(read),
            Some(Err(e)) => tracing::debug!(container = %entry.name, "its burst does not follow: {e}"),
            None => {}
        }
    }

    /// Holds the limit that was read against the one that should stand.
    fn check_limit(&mut self, id: u64, resource: Resource) {
        let is_softer = resource == Resource::Mem && self.host.memory_version == Some(Version::V2);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if !entry.is_written() || entry.in_flight.contains(resource) {
            return;
        }
        let hard_moved = if is_softer { entry.hard_moved() } else { None };
        let Some(ours) = entry.subject.resources[resource].as_ref().and_then(|g| g.current).map(Limit::At) else { return };
        let theirs = entry.applied(resource);
        if !reads_as(resource, ours, theirs) {
            self.foreign_change(id, resource, ours, theirs);
        } else if let Some((before, now)) = hard_moved {
            self.foreign_hard_limit(id, ours, before, now);
        }
    }

    /// Holds the cores that were read against those that the core map gives.
    fn check_cores(&mut self, id: u64) {
        let Some(entry) = self.entries.get(&id).filter(|entry| !entry.in_flight.contains(Resource::Cpu)) else { return };
        let Some(current) = entry.subject.resources[Resource::Cpu].as_ref().and_then(|g| g.current).map(Limit::At) else {
            return;
        };
        let theirs = entry.last.cpusets.as_ref().map(|sets| &sets.configured);
        if self.held_to(entry).is_none_or(|ours| theirs == Some(&ours)) {
            return;
        }
        self.count_foreign_change(id);
        self.set(id, Resource::Cpu, "Reassert", "something else changed its cores".to_owned(), (current, current));
    }

    /// Something else changed a limit: put right, or gone on from, as configured. People who take the wheel (Scaler inactive,
    /// or no checks) are followed in silence.
    fn foreign_change(&mut self, id: u64, resource: Resource, ours: Limit, theirs: Limit) {
        if !self.config.scaler.active || !self.config.scaler.check_core_map {
            self.set_limit(id, resource, theirs);
            return;
        }
        self.count_foreign_change(id);
        let why = "something else changed the limit".to_owned();
        match self.config.scaler.on_foreign_change {
            OnForeignChange::Reassert => self.set(id, resource, "Reassert", why, (theirs, ours)),
            OnForeignChange::Adopt => {
                self.set_limit(id, resource, theirs);
                self.keep_adopted(id, resource, ours);
                self.tell_set(id, resource, "Adopt", why, (ours, theirs), "applied", None);
                self.admit_again(id, resource, theirs);
            }
        }
    }

    /// Something else moved v2's hard limit of memory, which is above ours: both stand.
    fn foreign_hard_limit(&mut self, id: u64, ours: Limit, before: Limit, now: Limit) {
        if !self.config.scaler.active || !self.config.scaler.check_core_map {
            return;
        }
        self.count_foreign_change(id);
        let action = match self.config.scaler.on_foreign_change {
            OnForeignChange::Reassert => "Reassert",
            OnForeignChange::Adopt => {
                self.keep(id, Resource::Mem, |original| original.hard = Some(now));
                "Adopt"
            }
        };
        let why = format!("something else changed memory.max from {before} to {now}");
        let detail = "the agent's limit is memory.high, which stands".to_owned();
        self.tell_set(id, Resource::Mem, action, why, (ours, ours), "unchanged", Some(detail));
    }

    /// What is put back in the end is what was adopted last. Where the limit of `ours` still stands something else has changed with it (a
    /// burst, v2's `memory.max`), it is not what was found.
    fn keep_adopted(&mut self, id: u64, resource: Resource, ours: Limit) {
        let Some(entry) = self.entries.get(&id) else { return };
        let adopted = found(entry, resource, self.host.memory_version);
        let Some(original) = entry.record.as_ref().and_then(|record| record.resources.get(&resource)) else { return };
        let hard = original.hard_to_put_back(entry.hard_memory()).or(adopted.hard);
        let limit = if reads_as(resource, ours, adopted.limit) { original.limit } else { adopted.limit };
        self.keep(id, resource, |original| {
            *original = Original { limit, hard, raised: original.raised, max: original.max, ..adopted };
        });
    }

    /// Changes what is known to have been found, in memory and on disk.
    fn keep(&mut self, id: u64, resource: Resource, change: impl FnOnce(&mut Original)) {
        let record = self.entries.get_mut(&id).and_then(|entry| entry.record.as_mut());
        let Some(record) = record else { return };
        let Some(original) = record.resources.get_mut(&resource) else { return };
        change(original);
        self.writer.submit(Job::Save(record.clone()));
    }

    fn count_foreign_change(&mut self, id: u64) {
        self.counters.drift_corrected += 1;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.foreign_changes += 1;
        }
    }
}

impl Entry {
    /// Takes over what was read; what was not read this time stays as it was, and so does a limit that was written since (not `is_fresh`).
    /// `counted`: the bytes of its sockets, where they are counted. Gives the guarded resources whose windows end with it.
    fn take(&mut self, mut reading: Reading, is_fresh: bool, pace: Pace<'_>, counted: Option<[u64; 2]>) -> ResourceSet {
        let mut ended = ResourceSet::NONE;
        if let Some(now) = counted.or_else(|| reading.net.as_ref()?.bytes()) {
            self.take_net(now, reading.at_ns);
        }
        if let Some(memory) = reading.memory.filter(|_| is_fresh) {
            self.usage[Resource::Mem] = Some(memory.usage_mib);
            if let Some(guarded) = &mut self.subject.resources[Resource::Mem] {
                guarded.usage = Some(memory.usage_mib);
                if pace.ends(Resource::Mem, reading.at_ns.saturating_sub(self.memory_opened_ns)) {
                    self.memory_opened_ns = reading.at_ns;
                    ended.insert(Resource::Mem);
                }
            } else {
                self.hard = None;
            }
            self.last.memory = Some(memory);
        }
        if reading.cpusets.is_some() || reading.disks.is_some() || reading.net.is_some() {
            self.shown = None;
        }
        if reading.cpu_time.is_some() {
            self.cpu_at_ns = reading.at_ns;
        }
        let last = &mut self.last;
        last.at_ns = reading.at_ns;
        last.cpu_time = reading.cpu_time.or(last.cpu_time);
        last.throttling = reading.throttling.or(last.throttling);
        last.effective_cpu = reading.effective_cpu.or(last.effective_cpu);
        last.above = reading.above.or(last.above);
        last.cpusets = reading.cpusets.or(last.cpusets.take());
        last.net = reading.net.or(last.net.take());
        if self.phase != Phase::Guarded {
            self.cpu = reading.cpu_limit.or(self.cpu);
        }
        if self.began.cpu_time.is_none() {
            self.began.cpu_time = self.last.cpu_time;
        }
        if let Some(disks) = reading.disks.take().filter(|_| is_fresh) {
            ended = ended.iter().chain(self.take_disks(disks, reading.at_ns, pace).iter()).collect();
        }
        ended
    }

    /// What it had received and sent at `at_ns`, in bytes: the mean since the last time is its usage.
    fn take_net(&mut self, now: [u64; 2], at_ns: u64) {
        let seconds = at_ns.saturating_sub(self.net_at_ns) as f64 / 1e9;
        if seconds <= 0.0 {
            return;
        }
        if let Some(before) = self.net_bytes.replace(now) {
            let sum = |bytes: [u64; 2]| bytes.iter().sum::<u64>();
            self.usage[Resource::Net] = Some(sum(now).saturating_sub(sum(before)) as f64 * 8.0 / 1e6 / seconds);
        }
        self.net_at_ns = at_ns;
    }
}
