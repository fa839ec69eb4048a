//! Carrying out: plan over the ledger, write, read back, then account. What cannot be written leaves limit, ledger and
//! status as they were, with the reason.

use std::sync::Arc;

use headroom_model::limit::Limit;
use headroom_model::policy::request::{Direction, Request};
use headroom_model::policy::scaler::plan::{self, Grant, Outcome, Refusal};
use headroom_model::resource::Resource;

use super::entry::Entry;
use super::journal::{Because, Told};
use super::latency::Timed;
use super::pinned::UNPIN;
use super::state::State;
use crate::api::command::ContainerWrite;
use crate::cgroup::{ApplyError, Change, Version};
use crate::clock;
use crate::scaler::writer::Job;
use crate::scaler::{memory_change, memory_changes};

/// How long a resource is left alone after the kernel refused a write, in s; doubled each time up to the second number.
pub(super) const RETRY: (f64, f64) = (1.0, 60.0);

/// A job that a writer thread has.
#[derive(Debug)]
pub(super) enum Pending {
    /// A grant of the Scaler's.
    Grant { id: u64, grant: Box<Grant> },
    /// A limit that is put right, or the first.
    Set { id: u64, resource: Resource, from: Limit, to: Limit, action: &'static str, why: String },
    /// A write through the REST interface.
    Write { id: u64, write: Box<ContainerWrite>, from: Vec<(Resource, Limit)> },
}

impl State {
    /// Carries out `requests`. Leaves in `raised` the containers whose limit was raised at once.
    pub(super) fn carry_out(&mut self, decided_ns: u64) {
        self.raised.clear();
        if self.requests.is_empty() {
            return;
        }
        let (now, timeout) = (Self::now(), self.config.scaler.request_timeout.as_secs_f64());
        let (mut real, mut advised) = (std::mem::take(&mut self.requests), std::mem::take(&mut self.advised));
        advised.extend(real.extract_if(.., |request| !self.is_written(&request.structure)));
        let mut plan = std::mem::take(&mut self.plan);
        for (requests, is_real) in [(&mut real, true), (&mut advised, false)] {
            plan.refill(requests.drain(..), now, timeout);
            for (request, why) in plan.dropped.drain(..) {
                self.tell(&request, Limit::Unlimited, Limit::Unlimited, "refused", Some(why.to_string()));
            }
            for group in &plan.groups {
                let mut grants = plan::grant(group, if is_real { &self.ledger } else { &self.shadow });
                if is_real && matches!(group, plan::Group::Pair(_)) {
                    self.outside.pairs.begin(&mut grants);
                }
                for grant in grants {
                    let raised = self.grant(grant, is_real, decided_ns);
                    self.raised.extend(raised);
                }
            }
        }
        (self.requests, self.advised, self.plan) = (real, advised, plan);
    }

    fn is_written(&self, name: &str) -> bool {
        self.id_of(name).and_then(|id| self.entries.get(&id)).is_some_and(Entry::is_written)
    }

    /// Carries out one grant. Returns the container if its limit was raised at once.
    pub(super) fn grant(&mut self, grant: Grant, is_real: bool, decided_ns: u64) -> Option<u64> {
        if is_real && !self.config.scaler.active {
            let why = "the Scaler is inactive: nothing was written".to_owned();
            self.tell(&grant.request, grant.from, grant.from, "inactive", Some(why));
            return None;
        }
        let Some(to) = grant.writes() else {
            self.tell_ungranted(&grant);
            return None;
        };
        let id = self.id_of(&grant.request.structure)?;
        let resource = grant.request.resource;
        if !is_real {
            self.shadow.account(&grant, to);
            let raised = self.set_limit(id, resource, Limit::At(to));
            self.tell_granted(&grant, Limit::At(to), "advised", None);
            return raised.then_some(id);
        }
        if resource == Resource::Cpu && self.cores.is_none() {
            return self.grant_cpu(id, grant, to, decided_ns);
        }
        self.grant_slowly(id, grant, to);
        None
    }

    /// Hands a grant to a writer thread. What it takes is counted from now on, what it gives back once it is written.
    fn grant_slowly(&mut self, id: u64, grant: Grant, to: f64) {
        let resource = grant.request.resource;
        match self.changes(id, resource, Limit::At(to)) {
            Ok(changes) => {
                if grant.request.direction() == Direction::Up {
                    self.ledger.set_limit(&grant.request.structure, resource, Limit::At(to));
                }
                self.submit(id, Some(resource), changes, Pending::Grant { id, grant: Box::new(grant) });
            }
            Err(why) => self.tell(&grant.request, grant.from, grant.from, "refused", Some(why)),
        }
    }

    /// What has to be written for a limit, off the control thread.
    pub(super) fn changes(&mut self, id: u64, resource: Resource, to: Limit) -> Result<Vec<Change>, String> {
        let Some(entry) = self.entries.get(&id) else { return Err("it is gone".into()) };
        match resource {
            Resource::Cpu => {
                let mut changes = vec![Change::Cpu { quota: to }];
                if let (Some(cores), Some(to)) = (&mut self.cores, to.amount()) {
                    let wanted = to - cores.total_held(&entry.name);
                    if wanted > 0.0 {
                        cores.up(&entry.name, wanted).map_err(|e| e.to_string())?;
                        changes.insert(0, Change::Cpuset(cores.cpuset(&entry.name).into_iter().collect()));
                    } else {
                        let mut after = cores.clone();
                        after.down(&entry.name, -wanted);
                        changes.push(Change::Cpuset(after.cpuset(&entry.name).into_iter().collect()));
                    }
                }
                Ok(changes)
            }
            Resource::Mem => {
                let lowers = to.amount().is_some_and(|to| entry.applied(Resource::Mem).amount().is_some_and(|from| to < from));
                match self.host.memory_version {
                    None => Err("the memory controller is not mounted".into()),
                    Some(Version::V1) if lowers && !self.config.scaler.lower_memory_v1 => {
                        Err("memory limits are not lowered on cgroup v1 (scaler.lower_memory_v1)".into())
                    }
                    Some(version) => Ok(match to {
                        Limit::At(to) => memory_changes(version, to, entry.hard_memory(), entry.max_memory().unwrap_or(to)),
                        Limit::Unlimited => vec![memory_change(version, to)],
                    }),
                }
            }
            Resource::DiskRead | Resource::DiskWrite => {
                entry.disk_change(resource, to).map(|change| vec![change]).ok_or_else(|| "it has used no disk".to_owned())
            }
            other => Err(format!("{other} limits are read and reported, not moved, in this version")),
        }
    }

    /// Hands changes to a writer thread. `resource` is left alone until they are reported; all are, without one.
    pub(super) fn submit(&mut self, id: u64, resource: Option<Resource>, changes: Vec<Change>, pending: Pending) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let reclaims = changes.iter().any(|c| matches!(c, Change::MemoryHigh(_) | Change::MemoryMax(_)));
        match resource {
            Some(resource) => entry.in_flight.insert(resource),
            None => entry.in_flight = headroom_model::resource::ResourceSet::ALL,
        }
        let (ticket, cgroup) = (self.next_ticket, Arc::clone(&entry.cgroup));
        self.next_ticket += 1;
        self.pending.insert(ticket, pending);
        self.writer.submit(Job::Apply { ticket, cgroup, changes, reclaims });
    }

    /// A writer thread has done its job, or not.
    pub(super) fn applied(&mut self, ticket: u64, result: Result<(), ApplyError>, finished_ns: u64, took_ns: u64) {
        self.latencies.record(Timed::SlowWrite, took_ns);
        match self.pending.remove(&ticket) {
            None => {}
            Some(Pending::Grant { id, grant }) => {
                let (resource, to) = (grant.request.resource, grant.to);
                self.landed(id, Some(resource), finished_ns);
                match result {
                    Ok(()) => {
                        self.succeeded(id, resource);
                        self.stands(id, resource, Limit::At(to));
                        self.ledger.account(&grant, to);
                        self.set_limit(id, resource, Limit::At(to));
                        self.tell_granted(&grant, Limit::At(to), "applied", None);
                    }
                    Err(e) => {
                        self.ledger.set_limit(&grant.request.structure, resource, grant.from);
                        self.keep_cores(id, grant.from);
                        self.back_off(id, resource);
                        self.tell(&grant.request, grant.from, grant.from, "failed", Some(e.to_string()));
                    }
                }
            }
            Some(Pending::Set { id, resource, from, to, action, why }) => {
                self.landed(id, Some(resource), finished_ns);
                let is_unpinned = action == UNPIN && result.is_ok();
                let (stands, outcome, detail) = match result {
                    Ok(()) => {
                        self.succeeded(id, resource);
                        (to, "applied", None)
                    }
                    Err(e) => {
                        self.back_off(id, resource);
                        (from, "failed", Some(e.to_string()))
                    }
                };
                self.stands(id, resource, stands);
                self.set_limit(id, resource, stands);
                self.tell_set(id, resource, action, why, (from, stands), outcome, detail);
                if is_unpinned {
                    self.unpinned(id);
                }
            }
            Some(Pending::Write { id, write, from }) => {
                self.landed(id, None, finished_ns);
                self.written(id, *write, from, result);
            }
        }
        self.carry_out_asked();
    }

    /// A job is back: the resource may be judged again, and readings that began before it are stale.
    fn landed(&mut self, id: u64, resource: Option<Resource>, finished_ns: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match resource {
            Some(resource) => entry.in_flight.remove(resource),
            None => entry.in_flight = headroom_model::resource::ResourceSet::NONE,
        }
        entry.written_ns = finished_ns;
    }

    fn back_off(&mut self, id: u64, resource: Resource) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.retry[resource].failed(Self::now(), RETRY);
        }
    }

    fn succeeded(&mut self, id: u64, resource: Resource) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.retry[resource].succeeded();
        }
    }

    /// Gives the core map what a container that could not be written still holds.
    fn keep_cores(&mut self, id: u64, from: Limit) {
        if let (Some(cores), Some(entry), Some(from)) = (&mut self.cores, self.entries.get(&id), from.amount()) {
            let too_many = cores.total_held(&entry.name) - from;
            if too_many > 0.0 {
                cores.down(&entry.name, too_many);
            }
        }
    }

    /// Notes what now stands in cgroupfs, after a job wrote it.
    pub(super) fn stands(&mut self, id: u64, resource: Resource, limit: Limit) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        match resource {
            Resource::Cpu => {
                entry.cpu = entry.quota.as_ref().and_then(|quota| quota.read().ok()).or(entry.cpu);
                if self.cores.is_some() {
                    entry.last.cpusets = entry.cgroup.cpuset().ok().or(entry.last.cpusets.take());
                }
                if let (Some(cores), Some(limit)) = (&mut self.cores, limit.amount()) {
                    let too_many = cores.total_held(&entry.name) - limit;
                    if too_many > 0.0 {
                        cores.down(&entry.name, too_many);
                    }
                }
            }
            Resource::Mem => {
                let max = entry.max_memory();
                if let Some(memory) = &mut entry.last.memory {
                    match (self.host.memory_version, limit) {
                        (Some(Version::V2), _) => {
                            memory.high = limit;
                            if limit.min(memory.max) != limit {
                                memory.max = max.map_or(memory.max, Limit::At);
                                entry.hard = Some(memory.max);
                            }
                        }
                        _ => memory.max = limit,
                    }
                }
            }
            _ => entry.set_disk_limit(resource, limit),
        }
    }

    /// `short`: why `to` is less than was granted, where it is.
    pub(super) fn tell_granted(&mut self, grant: &Grant, to: Limit, outcome: &'static str, short: Option<String>) {
        let (outcome, detail) = match grant.outcome {
            _ if short.is_some() => ("partial", short),
            Outcome::Partial { wanted } => {
                let free = format!("{wanted} {} wanted, the host has no more free", grant.request.resource.unit());
                (if outcome == "applied" { "partial" } else { outcome }, Some(free))
            }
            _ => (outcome, None),
        };
        self.tell(&grant.request, grant.from, to, outcome, detail);
    }

    fn tell_ungranted(&mut self, grant: &Grant) {
        let (outcome, detail) = match grant.outcome {
            Outcome::Starved { wanted } => {
                ("starved", format!("{wanted} {} wanted, the host has nothing free", grant.request.resource.unit()))
            }
            // The ledger has no account of what was never guarded.
            Outcome::Refused(Refusal::UnknownStructure) if self.id_of(&grant.request.structure).is_some() => {
                ("refused", Refusal::NotGuarded.to_string())
            }
            Outcome::Refused(why) => ("refused", why.to_string()),
            // The limit is where the request would take it.
            _ if grant.request.asked.is_none() => return,
            _ => {
                let there = "the limit is where it would be taken".to_owned();
                self.answer(&grant.request, (grant.from, grant.from), "unchanged", Some(there));
                return;
            }
        };
        self.tell(&grant.request, grant.from, grant.from, outcome, Some(detail));
    }

    pub(super) fn tell(&mut self, request: &Request, from: Limit, to: Limit, outcome: &'static str, detail: Option<String>) {
        let why = match (&request.why, &request.asked) {
            (Some(why), _) => Because::Rule(why.clone()),
            (None, Some(id)) => Because::Said(format!("request {id}").into()),
            (None, None) => Because::Said("requested".into()),
        };
        self.record(&request.structure, request.resource, request.action(), why, (from, to), outcome, detail.clone());
        // The other half of a pair may follow from it.
        if request.asked.is_some() {
            self.answer(request, (from, to), outcome, detail);
        }
    }

    /// Tells of a limit that was set for another reason than a request.
    #[expect(clippy::too_many_arguments, reason = "a decision is told whole")]
    pub(super) fn tell_set(
        &mut self,
        id: u64,
        resource: Resource,
        action: &'static str,
        why: String,
        limits: (Limit, Limit),
        outcome: &'static str,
        detail: Option<String>,
    ) {
        let Some(name) = self.entries.get(&id).map(|e| e.name.clone()) else { return };
        self.record(&name, resource, action, Because::Said(why.into()), limits, outcome, detail);
    }

    #[expect(clippy::too_many_arguments, reason = "a decision is told whole")]
    fn record(
        &mut self,
        structure: &Arc<str>,
        resource: Resource,
        action: &'static str,
        why: Because,
        (from, to): (Limit, Limit),
        outcome: &'static str,
        detail: Option<String>,
    ) {
        *self.counters.decisions.entry((action, outcome)).or_default() += 1;
        self.publisher.decided();
        let structure = Arc::clone(structure);
        self.journal.record(Told { at: clock::wall(), structure, resource, action, why, from, to, outcome, detail });
    }
}
