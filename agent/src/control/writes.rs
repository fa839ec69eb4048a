//! Limits that people and programs set through the REST interface, and putting back the originals.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use headroom_model::limit::Limit;
use headroom_model::resource::Resource;

use super::Command;
use super::apply::Pending;
use super::state::State;
use crate::api::command::{Change as Wish, ContainerWrite, WriteError};
use crate::cgroup::{ApplyError, Change, CpuLimit, CpuList};
use crate::clock;
use crate::sampler::meter;
use crate::scaler::memory_change;
use crate::scaler::originals::{Original, Record};
use crate::scaler::writer::{Job, Report};

/// What was read so short ago is not read again for the next who looks.
const LOOKED_NS: u64 = 100_000_000;

/// How long putting back may hold up the end.
const RESTORE: Duration = Duration::from_millis(800);

/// The container, what is written, and what stood before.
type Planned = (u64, Vec<Change>, Vec<(Resource, Limit)>);

impl State {
    /// Hands a write to a writer thread, as one transaction. The container is left alone until it is reported.
    pub(super) fn write(&mut self, mut write: ContainerWrite) {
        let net = self.id_of(&write.name).and_then(|id| self.entries.get(&id)).map(|entry| entry.in_force(Resource::Net));
        // What was got is put back: that changes nothing.
        write.changes.retain(|wish| !matches!(wish, Wish::Net(limit) if net.is_some_and(|net| is_shown_as(net, *limit))));
        match self.plan_write(&write) {
            Ok((id, changes, from)) => {
                let pending = Pending::Write { id, write: Box::new(write), from };
                self.submit(id, None, changes, pending);
            }
            Err(e) => answer(write, Err(e)),
        }
    }

    fn plan_write(&self, write: &ContainerWrite) -> Result<Planned, WriteError> {
        let id = self.id_of(&write.name).ok_or(WriteError::Gone)?;
        let entry = self.entries.get(&id).ok_or(WriteError::Gone)?;
        if !entry.in_flight.is_empty() {
            let part = write.changes.first().map_or("container", Wish::part);
            return Err(WriteError::Conflict { part, why: "another write of it is under way; try again".into() });
        }
        let mut changes = Vec::new();
        let mut from = Vec::new();
        for wish in &write.changes {
            let refused = |why: String| WriteError::Refused { part: wish.part(), why };
            let (resource, limit) = match wish {
                Wish::CpuLimit(limit) => (Resource::Cpu, *limit),
                Wish::Memory(limit) => (Resource::Mem, *limit),
                Wish::DiskRead(limit) => (Resource::DiskRead, *limit),
                Wish::DiskWrite(limit) => (Resource::DiskWrite, *limit),
                Wish::Cpuset(cpus) => {
                    let wanted: CpuList = cpus.iter().copied().collect();
                    if let Some(ours) = self.held_to(entry).filter(|ours| *ours != wanted) {
                        let why = format!(
                            "the agent pins it to cores of its own, now {ours}, and would put that back; to choose them yourself, \
                             switch scaler.pin_cores off or stop guarding it"
                        );
                        return Err(WriteError::Conflict { part: wish.part(), why });
                    }
                    changes.push(Change::Cpuset(wanted));
                    continue;
                }
                Wish::Net(_) => return Err(refused("network limits are read and reported, not set, in this version".into())),
            };
            let (host, wanted) = (self.ledger.host_max(resource), limit.amount());
            if let (Some(host), Some(wanted)) = (host, wanted)
                && wanted > host
            {
                let unit = resource.unit();
                return Err(refused(format!("{wanted} {unit} is more than the host has, which is {host}")));
            }
            changes.push(match resource {
                Resource::Cpu => Change::Cpu { quota: limit },
                Resource::Mem => match self.host.memory_version {
                    Some(version) => memory_change(version, limit),
                    None => return Err(refused("the memory controller is not mounted".into())),
                },
                _ => {
                    let no_disk = || refused(entry.has_no_disk().unwrap_or_default());
                    entry.disk_change(resource, limit).ok_or_else(no_disk)?
                }
            });
            from.push((resource, entry.in_force(resource)));
        }
        Ok((id, changes, from))
    }

    /// A write through the REST interface came back: everything that it may have changed is read again.
    pub(super) fn written(
        &mut self,
        id: u64,
        write: ContainerWrite,
        from: Vec<(Resource, Limit)>,
        result: Result<(), ApplyError>,
    ) {
        let part = |index: usize| write.changes.get(index).map_or("container", Wish::part);
        let result = result.map_err(|e| match *e.source {
            ref gone if gone.is_gone() => WriteError::Gone,
            _ if !e.undone() => WriteError::HalfDone { part: part(e.index), why: e.to_string() },
            ref now if now.is_conflict() => WriteError::Conflict { part: part(e.index), why: e.source.to_string() },
            _ => WriteError::Failed { part: part(e.index), why: e.source.to_string() },
        });
        self.read_again(id);
        for (resource, before) in from {
            let Some(entry) = self.entries.get(&id) else { break };
            let now = entry.in_force(resource);
            if result.is_ok() {
                let outcome = "applied";
                self.tell_set(id, resource, "Api", "set through the REST interface".into(), (before, now), outcome, None);
            }
            self.set_limit(id, resource, now);
            self.admit_again(id, resource, now);
        }
        self.publish();
        answer(write, result);
    }

    /// A guarded container whose limit somebody took off, or set outside its bounds, is brought back within them.
    pub(super) fn admit_again(&mut self, id: u64, resource: Resource, now: Limit) {
        let guarded = self.entries.get(&id).and_then(|entry| entry.subject.resources[resource].as_ref());
        let Some(bounds) = guarded.map(|guarded| guarded.bounds) else { return };
        if now.amount().is_none_or(|now| now < bounds.min || now > bounds.max) {
            self.decide_guard(id);
        }
    }

    /// Reads one container again for somebody who looks at it, unless that was done just now.
    pub(super) fn look(&mut self, name: &str) {
        let now = clock::monotonic_ns();
        let Some(id) = self.id_of(name) else { return };
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| now.saturating_sub(entry.looked_ns) > LOOKED_NS) else {
            return;
        };
        entry.looked_ns = now;
        // A guarded quota that something else changed is for the drift check to find.
        let ours = entry.cpu.filter(|_| entry.is_written());
        self.read_again(id);
        if let (Some(entry), Some(ours)) = (self.entries.get_mut(&id), ours) {
            entry.cpu = Some(ours);
        }
        self.publish();
    }

    /// Reads a container's limits, so that the answer shows what stands.
    fn read_again(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.shown = None;
        entry.cpu = entry.cgroup.cpu_limit().ok().or(entry.cpu);
        entry.last.effective_cpu = entry.cgroup.effective_cpu_limit().ok().or(entry.last.effective_cpu);
        entry.last.cpusets = meter::cpusets(&entry.cgroup).or(entry.last.cpusets.take());
        entry.last.memory = entry.cgroup.memory().ok().or(entry.last.memory);
        entry.last.disks = entry.cgroup.disk().ok().or(entry.last.disks.take());
    }

    /// Puts back what was found before the first touch, and forgets it. CPU at once, the rest through the writer threads.
    pub(super) fn restore_all(&mut self, reports: &Receiver<Command>) {
        let deadline = Instant::now() + RESTORE;
        // A write that is still under way would land on top of what is put back.
        while !self.pending.is_empty() {
            match reports.recv_deadline(deadline) {
                Ok(Command::Report(Report::Applied { ticket, result, finished_ns, took_ns })) => {
                    self.applied(ticket, result, finished_ns, took_ns);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let mut open = Vec::new();
        let ids: Vec<u64> = self.entries.keys().copied().collect();
        for id in ids {
            // One that somebody said is not to be guarded any more is no longer ours: its limits are left, and what was found stays known.
            let record =
                self.entries.get(&id).and_then(|e| e.record.clone()).filter(|record| record.guarded || record.has_left());
            let Some(record) = record else { continue };
            // What was left is ours as long as it stands.
            if record.has_left() {
                self.read_again(id);
            }
            let jobs = self.restore(id, &record, "the agent ends; what was found before the first touch is put back");
            open.extend(std::iter::repeat_n(id, jobs));
            if jobs == 0 {
                self.writer.submit(Job::Forget { cgroup_id: id });
            }
        }
        let mut failed = BTreeSet::new();
        while !open.is_empty() {
            match reports.recv_deadline(deadline) {
                Ok(Command::Report(Report::Applied { ticket, result, .. })) => {
                    let Some(Pending::Set { id, .. }) = self.pending.remove(&ticket) else { continue };
                    if let Some(at) = open.iter().position(|open| *open == id) {
                        open.swap_remove(at);
                    }
                    if let Err(e) = result {
                        tracing::error!(id, "the original limit was not put back: {e}");
                        failed.insert(id);
                    }
                    if !open.contains(&id) && !failed.contains(&id) {
                        self.writer.submit(Job::Forget { cgroup_id: id });
                    }
                }
                Ok(_) => {}
                Err(_) => {
                    tracing::error!("{} limits of memory, disks or CPUs were not put back in time", open.len());
                    return;
                }
            }
        }
    }

    /// Puts back what was found of one container. Returns how many jobs were given to the writer threads for it.
    pub(super) fn restore(&mut self, id: u64, record: &Record, why: &str) -> usize {
        let mut slow: Vec<(Resource, Limit, Vec<Change>)> = Vec::new();
        for (resource, original) in &record.resources {
            let Some(entry) = self.entries.get(&id) else { return 0 };
            let from = entry.applied(*resource);
            if !record.is_ours(original, from) {
                continue;
            }
            if let Some(cpus) = record.cpuset.clone().filter(|_| *resource == Resource::Cpu) {
                slow.push((Resource::Cpu, Limit::Unlimited, vec![Change::Cpuset(cpus)]));
            }
            match resource {
                Resource::Cpu => {
                    let (outcome, detail) = match self.restore_cpu(id, original) {
                        Ok(()) => ("applied", None),
                        Err(e) => ("failed", Some(e)),
                    };
                    self.tell_set(id, *resource, "Restore", why.into(), (from, original.limit), outcome, detail);
                }
                Resource::Mem => {
                    let hard = original.hard_to_put_back(entry.hard_memory()).map(Change::MemoryMax);
                    let moving = self.host.memory_version.map(|version| memory_change(version, original.limit));
                    slow.push((*resource, original.limit, moving.into_iter().chain(hard).collect()));
                }
                _ => {
                    let change = entry.disk_change(*resource, original.limit);
                    slow.push((*resource, original.limit, change.into_iter().collect()));
                }
            }
        }
        slow.retain(|(.., changes)| !changes.is_empty());
        let jobs = slow.len();
        // One that fails does not keep the others from being put back.
        for (resource, to, changes) in slow {
            let pending = Pending::Set { id, resource, from: to, to, action: "Restore", why: why.into() };
            self.submit(id, Some(resource), changes, pending);
        }
        jobs
    }

    fn restore_cpu(&mut self, id: u64, original: &Original) -> Result<(), String> {
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        let period_us = original.period_us.unwrap_or(100_000);
        let limit = CpuLimit { quota: original.limit, period_us, burst_us: original.burst_us };
        let opened;
        let files = if let Some(files) = &entry.quota {
            files
        } else {
            opened = entry.cgroup.cpu_quota().map_err(|e| e.to_string())?;
            &opened
        };
        match files.write(&limit) {
            Ok(_) => Ok(()),
            Err(e) if e.is_gone() => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    }
}

/// Whether a limit that was read is what the API shows, to three places.
fn is_shown_as(limit: Limit, shown: Limit) -> bool {
    match (limit, shown) {
        (Limit::At(limit), Limit::At(shown)) => (limit - shown).abs() < 1e-3,
        _ => limit == shown,
    }
}

fn answer(write: ContainerWrite, result: Result<(), WriteError>) {
    // Who asked may have given up.
    drop(write.reply.send(result));
}
