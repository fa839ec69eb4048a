//! The way to being guarded: what was found goes on disk, the first limit is set, and only then is anything judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headroom_model::limit::Limit;
use headroom_model::policy::guardian::{Bounds, Guarded, Subject};
use headroom_model::policy::scaler::admission::{Admission, Applicant, Cause, NotAdmitted, admit};
use headroom_model::policy::scaler::ledger::{Entry as Account, Share};
use headroom_model::policy::thresholds::Boundary;
use headroom_model::resource::{PerResource, Resource, ResourceSet};

use super::apply::Pending;
use super::disks::{BOTH_WAYS, LEAST};
use super::entry::{Entry, Phase};
use super::kubelet::Kubelet;
use super::quota::Written;
use super::state::State;
use crate::cgroup::Version;
use crate::config::{OnDeath, ResourceRule};
use crate::containers::select::Selection;
use crate::sampler::meter::Ask;
use crate::scaler::originals::{Original, Record};
use crate::scaler::writer::Job;
use crate::status::GuardMode;

/// How often those that wait for room are tried again, in s.
const AGAIN: f64 = 1.0;

/// Containers that are to be guarded but for which the host has no room now.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    ids: BTreeSet<u64>,
    next: f64,
    /// Of whom the log has been told: they are tried again and again.
    told: BTreeSet<(u64, Resource)>,
}

impl Waiting {
    pub(super) fn remove(&mut self, id: u64) {
        self.ids.remove(&id);
        self.told.retain(|(told, _)| *told != id);
    }

    /// Whether that there is no room for it is not in the log yet.
    fn is_news(&mut self, id: u64, resource: Resource) -> bool {
        self.told.insert((id, resource))
    }
}

impl State {
    /// Holds a container against the configuration: guards it, or stops guarding it.
    pub(super) fn decide_guard(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.notes.retain(|note| note.starts_with("CPU usage is not counted"));
        if let Some(trouble) = entry.container.trouble.clone() {
            entry.note(trouble);
        }
        self.waiting.ids.remove(&id);
        let was_advised = entry.phase == Phase::Guarded && entry.guard() == GuardMode::Advise;
        let selection = self.selector.select(&entry.container);
        entry.shown = None;
        entry.vetoed_by = None;
        entry.rule = match &selection {
            Selection::Rule(at) => self.config.containers.get(*at).map(|rule| match &self.own {
                Some(own) => own.bound(rule, &entry.container),
                None => Arc::clone(rule),
            }),
            Selection::None | Selection::Vetoed { .. } => None,
        };
        for problem in entry.rule.iter().flat_map(|rule| rule.problems.clone()).collect::<Vec<_>>() {
            entry.note(problem);
        }
        if let Selection::Vetoed { by } = selection {
            entry.note(format!("host.never_guard has {by:?}: it is never guarded"));
            entry.vetoed_by = Some(by);
        }
        let (guard, is_set_up) = (entry.guard(), entry.is_set_up);
        if guard != GuardMode::Off
            && let Some(why) = self.left_to_outer(id)
        {
            return self.leave_alone(id, &why);
        }
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match guard {
            GuardMode::Off => {
                self.unguard(id);
                self.note_what_is_left(id);
            }
            _ if !is_set_up => {
                entry.note("not guarded yet: its engine may still be setting its limits");
                self.unguard(id);
            }
            GuardMode::Advise => {
                // One that is advised already goes on from the limit that it has on paper.
                if !was_advised {
                    self.unguard(id);
                }
                self.admit(id);
            }
            GuardMode::On => {
                // What was decided on paper is not what stands.
                if was_advised {
                    self.unguard(id);
                }
                match self.kubelet(id).and_then(Kubelet::refuses) {
                    Some(why) => self.leave_alone(id, why),
                    None => self.claim(id),
                }
            }
        }
    }

    /// Stops guarding. Limits stay as they are; what was found before the first touch stays known, and where nothing asks for the container any
    /// more, what it is left at.
    fn unguard(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.phase = Phase::Watched;
        let stands = PerResource::from_fn(|resource| entry.applied(resource));
        let is_asked_for = entry.rule.is_some();
        let was_judged = entry.subject.resources.present().next().is_some();
        entry.subject = Subject::new(entry.name.clone());
        entry.quota = None;
        let name = entry.name.clone();
        if let Some(record) = entry.record.as_mut().filter(|record| record.guarded) {
            record.guarded = false;
            for (resource, original) in record.resources.iter_mut().filter(|(_, original)| original.guarded) {
                original.left = (!is_asked_for).then_some(stands[*resource]);
            }
            if was_judged {
                tracing::info!(container = %name, "guarded no more; its limits stay as they are");
            }
            self.writer.submit(Job::Save(record.clone()));
        }
        self.shadow.remove(&name);
        self.reserve_unguarded(id);
        if let Some(cores) = &mut self.cores {
            cores.remove(&name);
        }
        self.meter.ask(Ask::Follow { cgroup_id: id, what: ResourceSet::NONE });
    }

    /// Says whose doing it is that a container which nothing asks for has a limit that it did not come with.
    fn note_what_is_left(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(record) = entry.record.clone().filter(|record| !record.guarded) else { return };
        for (resource, original) in record.resources {
            if let Some(left) = original.left.filter(|left| *left == entry.applied(resource) && *left != original.limit) {
                let found = original.limit;
                entry.note(format!(
                    "{resource}: left at {left}, as when it was guarded last; {found}, which was found, is put back by `headroom-agent \
                     release`, and at the agent's end with agent.restore_on_exit"
                ));
            }
        }
    }

    /// Stops guarding what is somebody else's from now on, and puts back what was found: nobody else would raise it again.
    fn leave_alone(&mut self, id: u64, why: &str) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.note(why);
        if let Some(record) = entry.record.clone().filter(|record| record.guarded) {
            self.restore(id, &record, why);
        }
        self.unguard(id);
    }

    /// Keeps the account of a container that is not guarded: it counts where the host reserves for those.
    pub(super) fn reserve_unguarded(&mut self, id: u64) {
        let Some(entry) = self.entries.get(&id) else { return };
        self.ledger.remove(&entry.name);
        // What lies in a guarded one has its share of what is counted there.
        if self.config.host.reserve_unguarded && self.guarded_around(id).is_some() {
            return;
        }
        let disk: Option<Arc<str>> = entry.device().map(|device| device.to_string().into());
        let disks = disk.iter().flat_map(|_| BOTH_WAYS);
        for resource in [Resource::Cpu, Resource::Mem].into_iter().chain(disks) {
            let limit = entry.in_force(resource);
            let disk = disk.clone().filter(|_| BOTH_WAYS.contains(&resource));
            self.ledger.set(&entry.name, resource, Account { limit, share: None, disk });
        }
    }

    /// Puts what stands now on disk, unless it is there already; [`State::claimed`] goes on from there.
    fn claim(&mut self, id: u64) {
        let (boot_id, memory_version) = (self.host.boot_id.clone(), self.host.memory_version);
        let hold = self.config.agent.on_death == OnDeath::Hold;
        let wanted = self.guarded_resources(id);
        let pins = self.cores.is_some() && wanted.iter().any(|(r, _)| *r == Resource::Cpu);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.quota.is_none() && wanted.iter().any(|(r, _)| *r == Resource::Cpu) {
            match entry.cgroup.cpu_quota() {
                Ok(quota) => {
                    entry.cpu = quota.read().ok().or(entry.cpu);
                    entry.quota = Some(quota);
                }
                Err(e) => entry.note(format!("cpu: not guarded: {e}")),
            }
        }
        let mut resources: BTreeMap<Resource, Original> = BTreeMap::new();
        for (resource, rule) in &wanted {
            let known = entry.record.as_ref().and_then(|record| record.resources.get(resource)).copied();
            let original = known.unwrap_or_else(|| found(entry, *resource, memory_version));
            // Under another `max` it would not be known as ours.
            let hard = entry.hard_memory();
            let raised = original.hard_to_put_back(hard).map_or(original.raised, |_| Some(hard));
            resources.insert(*resource, Original { raised, max: rule.max, guarded: true, left: None, ..original });
        }
        // What was found of a resource that is no longer guarded stays known.
        for (resource, original) in entry.record.iter().flat_map(|record| &record.resources) {
            let is_asked_for = entry.rule.as_ref().is_some_and(|rule| rule.resources[*resource].is_some());
            let left = (original.guarded && !is_asked_for).then(|| entry.applied(*resource)).or(original.left);
            resources.entry(*resource).or_insert(Original { guarded: false, left, ..*original });
        }
        let known = entry.record.as_ref().and_then(|record| record.cpuset.clone());
        let gives_back = known.clone().filter(|_| !pins);
        let cpuset = known.or_else(|| pins.then(|| entry.cgroup.cpuset().ok()).flatten().map(|sets| sets.configured));
        let (path, name) = (entry.cgroup.path().clone(), entry.container.name.clone());
        let record = Record { boot_id, cgroup_id: id, path, name, guarded: true, hold, resources, cpuset };
        let is_known = entry.record.as_ref() == Some(&record);
        if !is_known {
            entry.record = Some(record.clone());
            if entry.phase == Phase::Watched {
                entry.phase = Phase::Claiming;
            }
        }
        if let Some(cpus) = gives_back {
            self.unpin(id, cpus);
        }
        if is_known {
            self.admit(id);
        } else {
            self.writer.submit(Job::Save(record));
        }
    }

    /// What was found is on disk, or cannot be put there.
    pub(super) fn claimed(&mut self, id: u64, result: Result<(), String>) {
        let Some(entry) = self.entries.get_mut(&id) else {
            // It went while it was being put on disk.
            self.writer.submit(Job::Forget { cgroup_id: id });
            return;
        };
        match result {
            Ok(()) if entry.guard() == GuardMode::On && entry.record.as_ref().is_some_and(|record| record.guarded) => {
                self.admit(id);
            }
            Ok(()) => {}
            Err(e) => {
                tracing::error!(container = %entry.name, "not guarded: {e}");
                entry.note(format!("not guarded, since what was found cannot be kept: {e}"));
                entry.record = None;
                self.unguard(id);
            }
        }
    }

    /// What the kubelet has settled for it.
    pub(super) fn kubelet(&self, id: u64) -> Option<Kubelet> {
        let entry = self.entries.get(&id)?;
        Kubelet::of(&entry.container, &entry.last, self.host.online().len())
    }

    /// The resources that the configuration wants guarded, and that can be.
    fn guarded_resources(&mut self, id: u64) -> Vec<(Resource, ResourceRule)> {
        let kubelet = self.kubelet(id);
        let guardable = &self.config.guardian.guardable;
        let Some(entry) = self.entries.get_mut(&id) else { return Vec::new() };
        let Some(rule) = entry.rule.clone() else { return Vec::new() };
        if let Some(why) = kubelet.and_then(Kubelet::refuses) {
            entry.note(why);
            return Vec::new();
        }
        let mut wanted = Vec::new();
        for (resource, rule) in rule.resources.present().filter(|(_, rule)| rule.guard) {
            let (rule, note) = kubelet.map_or((*rule, None), |kubelet| kubelet.holds_under(resource, *rule));
            if let Some(note) = note {
                entry.note(note);
            }
            match resource {
                _ if !guardable.contains(&resource) => {
                    entry.note(format!("{resource}: not guarded: it is not in guardian.guardable"));
                }
                Resource::Cpu | Resource::Mem => wanted.push((resource, rule)),
                Resource::DiskRead | Resource::DiskWrite => match entry.has_no_disk() {
                    None => {
                        if let Some(note) = entry.only_one_disk() {
                            entry.note(note);
                        }
                        wanted.push((resource, rule));
                    }
                    Some(why) => entry.note(format!("{resource}: not guarded: {why}")),
                },
                Resource::Net | Resource::Energy => {
                    entry.note(format!("{resource}: read and reported, not guarded, in this version"));
                }
            }
        }
        wanted
    }

    /// Sets the first limits, and begins to judge.
    fn admit(&mut self, id: u64) {
        let wanted = self.guarded_resources(id);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let is_real = entry.guard() == GuardMode::On;
        entry.phase = Phase::Guarded;
        let name = entry.name.clone();
        // Resources that are no longer guarded.
        for (resource, guarded) in entry.subject.resources.iter_mut() {
            if !wanted.iter().any(|(r, _)| *r == resource) {
                *guarded = None;
            }
        }
        if is_real {
            self.reserve_unguarded(id);
        } else {
            self.shadow.remove(&name);
        }
        for (resource, rule) in &wanted {
            let admitted = self.admit_resource(id, *resource, rule, is_real);
            let waits = matches!(admitted, Err(NotAdmitted::NotEnoughFree { .. }));
            if waits {
                self.waiting.ids.insert(id);
            } else {
                self.waiting.told.remove(&(id, *resource));
            }
            if let Err(why) = admitted {
                // It may begin with the resource, as this does.
                let why = why.to_string();
                let why = why.strip_prefix(&format!("{resource}: ")).unwrap_or(&why);
                if !waits || self.waiting.is_news(id, *resource) {
                    tracing::warn!(container = %name, "{resource}: not guarded: {why}");
                }
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.subject.resources[*resource] = None;
                    entry.note(format!("{resource}: not guarded: {why}"));
                }
            }
        }
        // A disk that is waited for is seen as soon as it is used.
        let guardable = &self.config.guardian.guardable;
        let awaited = self.entries.get(&id).is_some_and(|entry| entry.awaits_disk(guardable)).then_some(BOTH_WAYS);
        let what = wanted.iter().map(|(resource, _)| *resource).chain(awaited.into_iter().flatten()).collect();
        self.meter.ask(Ask::Follow { cgroup_id: id, what });
    }

    fn admit_resource(&mut self, id: u64, resource: Resource, rule: &ResourceRule, is_real: bool) -> Result<(), NotAdmitted> {
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        let name = entry.name.clone();
        if is_real && resource == Resource::Cpu && entry.quota.is_none() {
            entry.subject.resources[resource] = None;
            return Ok(());
        }
        let min = match resource {
            // No lowering takes the limit under min + 2 margins, and a margin is at least 1.
            Resource::Cpu => rule.min.max(self.config.scaler.floor_cpu() - 2.0),
            Resource::DiskRead | Resource::DiskWrite => rule.min.max(LEAST),
            _ => rule.min,
        };
        let share = Share { min, max: rule.max, weight: rule.weight };
        let bounds = Bounds {
            min,
            max: rule.max,
            weight: rule.weight,
            boundary: Boundary { value: rule.boundary, kind: rule.boundary_type },
        };
        let found = entry.in_force(resource);
        // One that is guarded already goes on from where it is, also on paper.
        let counted = entry.subject.resources[resource].as_ref().and_then(|g| g.current);
        let held = counted.filter(|_| !is_real || found != Limit::Unlimited).map_or(found, Limit::At);
        let device = entry.device().filter(|_| BOTH_WAYS.contains(&resource));
        let disk: Option<Arc<str>> = device.map(|device| device.to_string().into());
        if let Some(disk) = &disk {
            self.know_disk(disk);
        }
        let ledger = if is_real { &self.ledger } else { &self.shadow };
        let max = Some(rule.max);
        let applicant = Applicant { structure: &name, resource, min, max, current: held, disk: disk.as_deref() };
        let Admission { limit, cause } = admit(applicant, ledger)?;
        // One that is taken up within its bounds still has to be given cores.
        let unpinned = resource == Resource::Cpu && self.cores.as_ref().is_some_and(|cores| cores.total_held(&name) < limit);
        let writes = is_real && (cause != Cause::Kept || unpinned) && self.config.scaler.active;
        let starts = if writes || !is_real { Limit::At(limit) } else { held };
        let Some(entry) = self.entries.get_mut(&id) else { return Ok(()) };
        match &mut entry.subject.resources[resource] {
            Some(guarded) => guarded.bounds = bounds,
            none => *none = Some(Guarded::new(bounds, held.amount(), None)),
        }
        let ledger = if is_real { &mut self.ledger } else { &mut self.shadow };
        ledger.set(&name, resource, Account { limit: starts, share: Some(share), disk });
        self.set_limit(id, resource, starts);
        if writes {
            let (action, why) = match cause {
                Cause::FirstLimit => ("FirstLimit", "it had no limit: the lesser of max and what the host has".to_owned()),
                Cause::RaisedToMin => ("FirstLimit", format!("it was under its min {min}")),
                Cause::LoweredToMax => ("FirstLimit", format!("it was above its max {}", rule.max)),
                Cause::Kept => ("Pin", "it had no cores of its own".to_owned()),
            };
            self.set(id, resource, action, why, (held, Limit::At(limit)));
        } else if is_real && resource == Resource::Cpu {
            let wanted = self.cpu_limit(Limit::At(limit));
            if let Some(entry) = self.entries.get_mut(&id) {
                // It comes with a burst and a period of others': ours are set at the next look.
                entry.burst_is_behind = entry.cpu.is_some_and(|stands| {
                    stands.period_us != wanted.period_us || stands.burst_us.is_some_and(|left| Some(left) != wanted.burst_us)
                });
            }
        }
        Ok(())
    }

    /// Sets a limit for another reason than a request: at once for CPU, else through a writer thread.
    pub(super) fn set(&mut self, id: u64, resource: Resource, action: &'static str, why: String, (from, to): (Limit, Limit)) {
        if resource == Resource::Cpu && self.cores.is_none() {
            let (stands, outcome, detail) = match self.write_cpu(id, to, None) {
                Ok(Written { quota, short: None }) => (quota, "applied", None),
                Ok(Written { quota, short }) => (quota, "partial", short),
                Err(e) => (from, "failed", Some(e)),
            };
            let cap = self.entries.get(&id).map_or(Limit::Unlimited, Entry::cpuset_cap);
            self.set_limit(id, resource, stands.min(cap));
            self.tell_set(id, resource, action, why, (from, stands), outcome, detail);
            return;
        }
        match self.changes(id, resource, to) {
            Ok(changes) => {
                let pending = Pending::Set { id, resource, from, to, action, why };
                self.submit(id, Some(resource), changes, pending);
            }
            Err(e) => {
                self.set_limit(id, resource, from);
                self.tell_set(id, resource, action, why, (from, from), "refused", Some(e));
            }
        }
    }

    /// Tries those again for which there was no room.
    pub(super) fn retry_waiting(&mut self) {
        let now = Self::now();
        if self.waiting.ids.is_empty() || now < self.waiting.next {
            return;
        }
        self.waiting.next = now + AGAIN;
        for id in std::mem::take(&mut self.waiting.ids) {
            self.decide_guard(id);
        }
    }
}

/// What stands now, as the original.
pub(super) fn found(entry: &Entry, resource: Resource, memory_version: Option<Version>) -> Original {
    let cpu = entry.cpu.filter(|_| resource == Resource::Cpu);
    let memory = entry.last.memory.filter(|_| resource == Resource::Mem && memory_version == Some(Version::V2));
    Original {
        limit: memory.map_or_else(|| entry.applied(resource), |memory| memory.high),
        period_us: cpu.map(|cpu| cpu.period_us),
        burst_us: cpu.and_then(|cpu| cpu.burst_us),
        hard: memory.map(|memory| memory.max),
        raised: None,
        device: entry.device().filter(|_| BOTH_WAYS.contains(&resource)),
        max: 0.0,
        guarded: true,
        left: None,
    }
}
