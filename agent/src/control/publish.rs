//! The snapshot after each step, for everyone who only looks.

use std::sync::Arc;

use arc_swap::ArcSwap;
use headroom_model::limit::Limit;
use headroom_model::resource::{PerResource, Resource};
use headroom_model::wire::{Counted, Pair};

use super::entry::{Entry, Phase};
use super::state::State;
use crate::cgroup::{Device, DiskReading, MIB};
use crate::clock;
use crate::status::{ContainerStatus, DiskDevice, GuardMode, HostStatus, NetDevice, ResourceStatus, Snapshot};

/// With nothing to tell, numbers are shown anew this often.
const PACE_NS: u64 = 500_000_000;

/// Decisions are shown at most this often: a snapshot of hundreds of containers takes longer than what it tells of.
const DECISIONS_NS: u64 = 200_000_000;

/// Publishes snapshots: after each step in which something happened, and at a steady pace.
#[derive(Debug)]
pub(super) struct Publisher {
    published: Arc<ArcSwap<Snapshot>>,
    at_ns: u64,
    touched: bool,
    decided: bool,
}

impl Publisher {
    pub(super) fn new(published: Arc<ArcSwap<Snapshot>>) -> Self {
        Self { published, at_ns: 0, touched: true, decided: false }
    }

    /// Something happened that people should see.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    /// A limit was decided, which people should see soon.
    pub(super) fn decided(&mut self) {
        self.decided = true;
    }
}

impl State {
    /// Publishes, if there is something to tell or it is time to.
    pub(super) fn publish_if_due(&mut self) {
        let now = clock::monotonic_ns();
        let pace = if self.publisher.decided { DECISIONS_NS } else { PACE_NS };
        if self.publisher.touched || now.saturating_sub(self.publisher.at_ns) >= pace {
            self.publish();
        }
    }

    /// Publishes what stands now.
    pub(super) fn publish(&mut self) {
        let (now, at) = (clock::monotonic_ns(), clock::wall());
        let booted_at = at - now as f64 / 1e9;
        let mut containers: Vec<_> = self.entries.values_mut().map(|entry| entry.status(booted_at)).collect();
        containers.sort_by(|a, b| a.container.name.cmp(&b.container.name));
        self.counters.source = self.source.health();
        self.counters.journal_dropped = self.journal.dropped();
        let snapshot = Snapshot {
            at,
            host: self.host_status(),
            containers,
            counters: self.counters.clone(),
            latencies: self.latencies.summaries(now),
        };
        self.publisher.published.store(Arc::new(snapshot));
        self.publisher.at_ns = now;
        (self.publisher.touched, self.publisher.decided) = (false, false);
    }

    fn host_status(&self) -> HostStatus {
        HostStatus {
            name: self.config.host.name.as_str().into(),
            cgroup_mode: self.host.mode,
            online_cpus: self.host.online().into(),
            topology: Arc::clone(&self.host.topology),
            max: PerResource::from_fn(|r| self.ledger.host_max(r)),
            free: PerResource::from_fn(|r| self.ledger.free(r)),
            least_cpu: self.config.scaler.least_cpu(),
            source: self.source.kind(),
            source_reason: self.source_reason.clone(),
            net_reason: self.net_reason.clone(),
            guardian_active: self.config.guardian.active,
            judged_at_central: self.config.guardian.at_central,
            scaler_active: self.config.scaler.active,
            core_usage_mapping: self.cores.as_ref().map(|cores| Arc::new(cores.mapping())),
        }
    }
}

/// What of a container's status seldom changes, as it is shown: kept from one snapshot to the next.
pub(super) struct Shown {
    reason: Arc<str>,
    cpuset: Arc<str>,
    effective_cpus: Arc<str>,
    disk: Option<Arc<DiskDevice>>,
    net: Option<Arc<NetDevice>>,
}

impl Shown {
    fn of(entry: &Entry) -> Self {
        let sets = entry.last.cpusets.as_ref();
        Self {
            reason: match (&entry.rule, &entry.vetoed_by) {
                (Some(rule), _) => rule.origin.as_str().into(),
                (None, Some(by)) => format!("host.never_guard has {by:?}").into(),
                (None, None) => "the settings do not ask for it".into(),
            },
            cpuset: sets.map(|s| s.configured.to_string()).unwrap_or_default().into(),
            effective_cpus: sets.map(|s| s.effective.to_string()).unwrap_or_default().into(),
            disk: entry.device().map(|Device { major, minor }| {
                Arc::new(DiskDevice { major, minor, path: format!("/dev/block/{major}:{minor}") })
            }),
            net: net_device(entry).map(Arc::new),
        }
    }
}

/// Its end of the link to the host's network; where there is none, whatever interface it has first.
fn net_device(entry: &Entry) -> Option<NetDevice> {
    let own = entry.last.net.as_ref().filter(|net| !net.shares_host);
    let first = own.and_then(|net| net.interfaces.first()).map(|interface| &interface.name);
    let Some(uplink) = &entry.uplink else {
        let (receive_limit, send_limit) = (Limit::Unlimited, Limit::Unlimited);
        return first.map(|name| NetDevice { in_container: name.clone(), in_host: String::new(), receive_limit, send_limit });
    };
    let named = Some(&uplink.in_container).filter(|name| !name.is_empty());
    Some(NetDevice {
        in_container: named.or(first).cloned().unwrap_or_default(),
        in_host: uplink.in_host.clone(),
        receive_limit: uplink.receive_limit,
        send_limit: uplink.send_limit,
    })
}

impl Entry {
    /// `booted_at`: when `CLOCK_MONOTONIC` was 0, in seconds since the epoch.
    fn status(&mut self, booted_at: f64) -> ContainerStatus {
        let shown = self.shown.take().unwrap_or_else(|| Shown::of(self));
        let status = ContainerStatus {
            container: Arc::clone(&self.container),
            guard: if self.phase == Phase::Guarded { self.guard() } else { GuardMode::Off },
            reason: Arc::clone(&shown.reason),
            notes: self.notes.clone(),
            cpuset: Arc::clone(&shown.cpuset),
            effective_cpus: Arc::clone(&shown.effective_cpus),
            resources: PerResource::from_fn(|r| self.resource_status(r)),
            cpu_total: self.last.cpu_time.map(|time| time.total_us as f64 / 1e4),
            counted: self.counted(booted_at),
            throttling: self.last.throttling,
            foreign_changes: self.foreign_changes,
            disk: shown.disk.clone(),
            net: shown.net.clone(),
        };
        self.shown = Some(shown);
        status
    }

    /// In the units of resources. Of a container in the host's network nothing is known unless its sockets are counted.
    fn counted(&self, booted_at: f64) -> Counted {
        let pair = |at_ns: u64, counters| Pair { at: booted_at + at_ns as f64 / 1e9, counters };
        let cpu = self.last.cpu_time.map(|time| pair(self.cpu_at_ns, [time.user_us, time.kernel_us].map(|us| us as f64 / 1e4)));
        let disk = self.last.disks.as_ref().map(|disks| {
            let mib = |bytes: fn(&DiskReading) -> u64| disks.iter().map(bytes).sum::<u64>() as f64 / MIB;
            pair(self.disks_at_ns, [mib(|disk| disk.read_bytes), mib(|disk| disk.write_bytes)])
        });
        let net = self.net_bytes.map(|bytes| pair(self.net_at_ns, bytes.map(|bytes| bytes as f64 * 8.0 / 1e6)));
        Counted { cpu, disk, net }
    }

    /// `None` for what this container has no controller for.
    fn resource_status(&self, resource: Resource) -> Option<ResourceStatus> {
        let there = match resource {
            Resource::Cpu => self.cpu.is_some() || self.slot.is_some(),
            Resource::Mem => self.last.memory.is_some(),
            Resource::DiskRead | Resource::DiskWrite => self.last.disks.is_some(),
            Resource::Net => self.last.net.is_some() || self.net_bytes.is_some() || self.uplink.is_some(),
            Resource::Energy => false,
        };
        if !there {
            return None;
        }
        let guarded = self.subject.resources[resource].as_ref();
        let thresholds = guarded.and_then(headroom_model::policy::guardian::Guarded::thresholds);
        let bounds = self.rule.as_ref().and_then(|rule| rule.resources[resource]);
        let in_force = self.in_force(resource);
        // Where nothing is written, a limit that counts as max may be none.
        let is_none = self.guard() == GuardMode::On && in_force == Limit::Unlimited;
        let limit = guarded.and_then(|g| g.current).filter(|_| !is_none).map_or(in_force, Limit::At);
        let effective = match resource {
            Resource::Cpu => {
                self.last.effective_cpu.map_or(in_force, |above| if self.is_written() { above.min(in_force) } else { above })
            }
            _ => in_force,
        };
        Some(ResourceStatus {
            guard: guarded.is_some(),
            usage: self.usage[resource],
            limit,
            applied: self.applied(resource),
            effective,
            min: bounds.map(|b| b.min),
            max: bounds.map(|b| guarded.map_or(b.max, |g| g.bounds.max.min(b.max))),
            upper: thresholds.map(|t| t.upper),
            lower: thresholds.map(|t| t.lower),
            areas: self.areas[resource],
        })
    }
}
