//! One container, as the control loop knows it.

use std::sync::Arc;

use headroom_model::limit::Limit;
use headroom_model::policy::guardian::{Split, Subject};
use headroom_model::resource::{PerResource, Resource, ResourceSet};

use super::disks::Opened;
use super::opening::Opening;
use super::publish::Shown;
use crate::cgroup::{Cgroup, CpuClock, CpuLimit, CpuQuota, CpuTime, NetReading, ThrottleClock};
use crate::config::ContainerRule;
use crate::containers::Container;
use crate::sampler::SlotId;
use crate::sampler::audit::Audit;
use crate::sampler::meter::Reading;
use crate::sampler::uplinks::Uplink;
use crate::scaler::originals::Record;
use crate::scaler::reads_as;
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
    /// The pattern of `host.never_guard` that it has instead of a rule.
    pub(super) vetoed_by: Option<String>,
    pub(super) phase: Phase,
    /// Its engine is through with its limits: what stands may be taken for what was found.
    pub(super) is_set_up: bool,
    pub(super) notes: Vec<Arc<str>>,
    /// Kept descriptors; there from the claim on.
    pub(super) quota: Option<CpuQuota>,
    /// The CPU limit as last written or read.
    pub(super) cpu: Option<CpuLimit>,
    /// The burst or the period is not the one that goes with the quota, since our last raise left it or it was found so: it is to follow.
    pub(super) burst_is_behind: bool,
    /// How often something else had changed a limit of it.
    pub(super) foreign_changes: u64,
    /// `memory.max` as it was last seen, or set by a raise; while memory is guarded, on cgroup v2.
    pub(super) hard: Option<Limit>,
    /// What is on disk of it.
    pub(super) record: Option<Record>,
    /// The guarded resources, for the policy.
    pub(super) subject: Subject,
    /// Resources with a write in flight on a writer thread: not judged meanwhile.
    pub(super) in_flight: ResourceSet,
    pub(super) retry: PerResource<Retry>,
    /// When a write through a writer thread finished last: readings that began before are stale.
    pub(super) written_ns: u64,
    /// What stood when the CPU window opened.
    pub(super) opened: Option<Opening>,
    /// Its window goes on over the border that has just been: it began with a burst.
    pub(super) goes_on: bool,
    /// Mean of the last window, guarded or not.
    pub(super) usage: PerResource<Option<f64>>,
    pub(super) areas: PerResource<Areas>,
    /// The first reading.
    pub(super) began: Box<Reading>,
    /// The last of each part of a reading.
    pub(super) last: Box<Reading>,
    /// The kernel's accounting of it, on a kept descriptor; opened at the first audit.
    clock: Option<CpuClock>,
    /// What it said when the window opened, where rules read the usage by mode.
    split_began: Option<CpuTime>,
    /// Its throttling counters, on a kept descriptor, and the throttled periods when the window opened or the limit was raised last;
    /// where rules read them.
    throttle: Option<(ThrottleClock, u64)>,
    /// What the kernel side is armed with in the open window and has not told of, in ns of CPU time.
    pub(super) armed_ns: Option<u64>,
    /// The usage by which the open window was judged early; 0 where it was not.
    pub(super) certain: f64,
    pub(super) audit: Audit,
    /// `None` where what it is made of has changed.
    pub(super) shown: Option<Shown>,
    /// When somebody looked at it last, `CLOCK_MONOTONIC` ns.
    pub(super) looked_ns: u64,
    /// When the kernel's accounting of its CPU time was read last, `CLOCK_MONOTONIC` ns.
    pub(super) cpu_at_ns: u64,
    /// When its disks were.
    pub(super) disks_at_ns: u64,
    /// What it had moved over its disks when their windows opened.
    pub(super) disks_opened: PerResource<Option<Opened>>,
    /// When the memory window opened, `CLOCK_MONOTONIC` ns.
    pub(super) memory_opened_ns: u64,
    /// When its network was.
    pub(super) net_at_ns: u64,
    /// What it had received and sent then, in bytes: its sockets where they are counted, else its own interfaces.
    pub(super) net_bytes: Option<[u64; 2]>,
    /// By what it is linked to the host's network.
    pub(super) uplink: Option<Uplink>,
}

/// When a resource may be tried again after the kernel refused a write.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    not_before: f64,
    pause: f64,
}

impl Retry {
    pub(super) fn failed(&mut self, now: f64, (first, most): (f64, f64)) {
        self.pause = (self.pause * 2.0).clamp(first, most);
        self.not_before = now + self.pause;
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

impl Entry {
    pub(super) fn new(container: Arc<Container>, cgroup: Arc<Cgroup>, first: Box<Reading>) -> Self {
        let name: Arc<str> = container.name.as_str().into();
        Self {
            subject: Subject::new(name.clone()),
            name,
            container,
            cgroup,
            slot: None,
            rule: None,
            vetoed_by: None,
            phase: Phase::Watched,
            is_set_up: true,
            notes: Vec::new(),
            quota: None,
            cpu: first.cpu_limit,
            burst_is_behind: false,
            foreign_changes: 0,
            hard: None,
            record: None,
            in_flight: ResourceSet::NONE,
            retry: PerResource::default(),
            written_ns: 0,
            opened: None,
            goes_on: false,
            usage: PerResource::default(),
            areas: PerResource::default(),
            began: first.clone(),
            looked_ns: 0,
            cpu_at_ns: first.at_ns,
            disks_at_ns: first.at_ns,
            disks_opened: PerResource::from_fn(|r| Opened::first(&first, r)),
            memory_opened_ns: first.at_ns,
            net_at_ns: first.at_ns,
            net_bytes: first.net.as_ref().and_then(NetReading::bytes),
            uplink: None,
            last: first,
            clock: None,
            split_began: None,
            throttle: None,
            armed_ns: None,
            certain: 0.0,
            audit: Audit::default(),
            shown: None,
        }
    }

    /// Takes over the name that its engine has given it. What it used until now was used under the old one: what adds up begins anew.
    pub(super) fn rename(&mut self) {
        self.name = self.container.name.as_str().into();
        self.subject = Subject::new(self.name.clone());
        if self.phase == Phase::Guarded {
            self.phase = Phase::Watched;
        }
        self.areas = PerResource::default();
        self.foreign_changes = 0;
        self.began = self.last.clone();
        self.shown = None;
    }

    /// The kernel's accounting of its CPU time, where there is one.
    pub(super) fn accounting(&mut self) -> Option<&CpuClock> {
        if self.clock.is_none() {
            self.clock = self.cgroup.cpu_clock().ok();
        }
        self.clock.as_ref()
    }

    /// CPU usage by mode over the window that ends now, in shares, as the kernel accounts it. Costs a read or two: asked for only
    /// where a rule reads it.
    pub(super) fn cpu_split(&mut self, length_ns: u64) -> Option<Split> {
        if self.phase != Phase::Guarded {
            return None;
        }
        let now = self.accounting()?.read().ok()?;
        let before = self.split_began.replace(now)?;
        let shares = |after: u64, before: u64| after.saturating_sub(before) as f64 * 1e3 / length_ns as f64 * 100.0;
        Some(Split { user: shares(now.user_us, before.user_us), kernel: shares(now.kernel_us, before.kernel_us) })
    }

    /// Periods in which it was throttled since the last call, where the kernel counts them. Costs a read: asked for only where a rule
    /// reads it.
    pub(super) fn newly_throttled(&mut self) -> Option<f64> {
        if self.throttle.is_none() {
            let clock = self.cgroup.throttle_clock().ok()?;
            let before = clock.read().ok()?.throttled_periods;
            self.throttle = Some((clock, before));
        }
        let (clock, before) = self.throttle.as_mut()?;
        let now = clock.read().ok()?.throttled_periods;
        Some(now.saturating_sub(std::mem::replace(before, now)) as f64)
    }

    /// Whether a window of this resource is judged now.
    pub(super) fn may_judge(&self, resource: Resource, now: f64) -> bool {
        self.phase == Phase::Guarded
            && self.subject.resources[resource].is_some()
            && !self.in_flight.contains(resource)
            && now >= self.retry[resource].not_before
    }

    /// Adds `seconds` under the limits that stand. What is used is the kernel's own count, where it has one.
    pub(super) fn account(&mut self, seconds: f64, host_cpu: Option<f64>) {
        for resource in [Resource::Cpu, Resource::Mem] {
            let guarded = self.subject.resources[resource].as_ref();
            let host = if resource == Resource::Cpu { host_cpu } else { None };
            // What is above max counts as max, also where there is no limit at all.
            let limit = match guarded {
                Some(guarded) => Some(guarded.counted().unwrap_or(guarded.bounds.max)),
                None => self.in_force(resource).amount(),
            };
            let area = &mut self.areas[resource];
            area.allocated += limit.or(host).unwrap_or(0.0) * seconds;
            area.reserved += guarded.map(|g| g.bounds.max).or(limit).or(host).unwrap_or(0.0) * seconds;
            if resource == Resource::Mem || self.last.cpu_time.is_none() {
                area.used += self.usage[resource].unwrap_or(0.0) * seconds;
            }
        }
        if let (Some(first), Some(last)) = (self.began.cpu_time, self.last.cpu_time) {
            // 100 shares are a core: a second of CPU time is 100 share-seconds.
            self.areas[Resource::Cpu].used = last.total_us.saturating_sub(first.total_us) as f64 / 1e4;
        }
    }

    pub(super) fn guard(&self) -> GuardMode {
        self.rule.as_ref().map_or(GuardMode::Off, |rule| rule.guard)
    }

    /// Whether limits are really written for it.
    pub(super) fn is_written(&self) -> bool {
        self.phase == Phase::Guarded && self.guard() == GuardMode::On
    }

    /// The limit that stands in cgroupfs, or on its uplink, as far as is known.
    pub(super) fn applied(&self, resource: Resource) -> Limit {
        match resource {
            Resource::Cpu => self.cpu.map_or(Limit::Unlimited, |cpu| cpu.quota),
            Resource::Mem => self.last.memory.map_or(Limit::Unlimited, |memory| memory.high.min(memory.max)),
            Resource::DiskRead | Resource::DiskWrite => self.disk_limit(resource),
            Resource::Net => self.uplink.as_ref().map_or(Limit::Unlimited, Uplink::limit),
            Resource::Energy => Limit::Unlimited,
        }
    }

    /// Whether the CPU quota that stands is below this many shares.
    pub(super) fn has_less_than(&self, shares: f64) -> bool {
        self.applied(Resource::Cpu).amount().is_some_and(|stands| stands < shares)
    }

    /// What `memory.max` was and is where something else has moved it since it was last asked.
    pub(super) fn hard_moved(&mut self) -> Option<(Limit, Limit)> {
        let now = self.hard_memory();
        let before = self.hard.replace(now)?;
        (!reads_as(Resource::Mem, before, now)).then_some((before, now))
    }

    /// `memory.max`, or v1's only limit.
    pub(super) fn hard_memory(&self) -> Limit {
        self.last.memory.map_or(Limit::Unlimited, |memory| memory.max)
    }

    /// Whether the settings want its CPU limit to move, and it had none to be opened.
    pub(super) fn awaits_quota(&self, guardable: &[Resource]) -> bool {
        let wanted = |rule: &Arc<ContainerRule>| rule.resources[Resource::Cpu].is_some_and(|of| of.guard);
        self.quota.is_none() && self.is_written() && guardable.contains(&Resource::Cpu) && self.rule.as_ref().is_some_and(wanted)
    }

    /// The structure's `max` of memory, where it is guarded.
    pub(super) fn max_memory(&self) -> Option<f64> {
        self.subject.resources[Resource::Mem].as_ref().map(|guarded| guarded.bounds.max)
    }

    /// The limit that the policy goes by: for CPU the lesser of the quota and 100 x the CPUs in the cpuset.
    pub(super) fn in_force(&self, resource: Resource) -> Limit {
        match (resource, self.applied(resource)) {
            (Resource::Cpu, Limit::At(quota)) => self.cpuset_cap().min(Limit::At(quota)),
            (_, applied) => applied,
        }
    }

    /// What the CPUs of its cpuset can give, in shares, where it has one of its own.
    pub(super) fn cpuset_cap(&self) -> Limit {
        match &self.last.cpusets {
            Some(sets) if !sets.configured.is_empty() => Limit::At(100.0 * sets.effective.len() as f64),
            _ => Limit::Unlimited,
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
