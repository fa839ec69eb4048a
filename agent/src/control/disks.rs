//! A container's disk: which one its limits are for, and the windows over what it moves.

use std::sync::Arc;

use headroom_model::limit::Limit;
use headroom_model::policy::scaler::ledger::Disk;
use headroom_model::resource::{Resource, ResourceSet};

use super::entry::{Entry, Phase};
use super::pace::Pace;
use super::state::State;
use crate::cgroup::{Change, Device, DiskReading, MIB};
use crate::sampler::meter::Reading;
use crate::status::GuardMode;

/// The resources of a disk.
pub(super) const BOTH_WAYS: [Resource; 2] = [Resource::DiskRead, Resource::DiskWrite];

/// The least limit on a disk, in MiB/s: 0 would stop a container for good on cgroup v2, and be none on v1.
pub(super) const LEAST: f64 = 1.0;

/// What had been moved one way when a window opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    at_ns: u64,
    /// `None`: over all disks.
    device: Option<Device>,
    bytes: u64,
}

impl Opened {
    /// At the first reading of all.
    pub(super) fn first(reading: &Reading, resource: Resource) -> Option<Self> {
        let bytes = moved(reading.disks.as_deref()?, resource, None);
        Some(Self { at_ns: reading.at_ns, device: None, bytes })
    }
}

impl Entry {
    /// The disk that its limits are for. Once that was settled by guarding it, it stays; before, it is one that has a limit, else the
    /// one over which it has moved most.
    pub(super) fn device(&self) -> Option<Device> {
        let settled = self.record.iter().flat_map(|record| record.resources.values()).find_map(|original| original.device);
        settled.or_else(|| likely(self.last.disks.as_deref()?))
    }

    /// The limit on that disk.
    pub(super) fn disk_limit(&self, resource: Resource) -> Limit {
        let device = self.device();
        let disk = self.last.disks.iter().flatten().find(|disk| Some(disk.device) == device);
        disk.map_or(Limit::Unlimited, |disk| disk.limit(resource))
    }

    /// What is written to limit it; `None` while no disk is known.
    pub(super) fn disk_change(&self, resource: Resource, limit: Limit) -> Option<Change> {
        self.device().map(|device| Change::disk(resource, device, limit))
    }

    /// Takes over a limit that was written.
    pub(super) fn set_disk_limit(&mut self, resource: Resource, limit: Limit) {
        let device = self.device();
        for disk in self.last.disks.iter_mut().flatten().filter(|disk| Some(disk.device) == device) {
            match resource {
                Resource::DiskRead => disk.read_limit = limit,
                _ => disk.write_limit = limit,
            }
        }
    }

    /// Why it cannot be limited as asked, where that is so.
    pub(super) fn has_no_disk(&self) -> Option<String> {
        if self.device().is_some() {
            return None;
        }
        Some(match (&self.last.disks, self.cgroup.disk()) {
            (None, Err(e)) => e.to_string(),
            _ => "it has used no disk yet, so there is no device to limit".to_owned(),
        })
    }

    /// Whether the settings want a disk's limits to move, and it has used none.
    pub(super) fn awaits_disk(&self, guardable: &[Resource]) -> bool {
        let Some(rule) = self.rule.as_ref().filter(|rule| rule.guard != GuardMode::Off) else { return false };
        let wanted = |resource| guardable.contains(&resource) && rule.resources[resource].is_some_and(|of| of.guard);
        BOTH_WAYS.into_iter().any(wanted) && self.device().is_none()
    }

    /// What there is to say where it uses several disks.
    pub(super) fn only_one_disk(&self) -> Option<String> {
        let device = self.device()?;
        let used = |disk: &&DiskReading| disk.read_bytes + disk.write_bytes > 0 && disk.device != device;
        let others: Vec<_> = self.last.disks.iter().flatten().filter(used).map(|disk| disk.device.to_string()).collect();
        (!others.is_empty()).then(|| format!("of its disks {device} is limited, and {} not", others.join(", ")))
    }

    /// Takes over what was read of its disks. Gives the resources whose windows that ends.
    pub(super) fn take_disks(&mut self, disks: Vec<DiskReading>, at_ns: u64, pace: Pace<'_>) -> ResourceSet {
        self.last.disks = Some(disks);
        self.disks_at_ns = at_ns;
        let mut ended = ResourceSet::NONE;
        for resource in BOTH_WAYS {
            // What is limited is one disk; what is not is shown whole.
            let device = self.subject.resources[resource].as_ref().and_then(|_| self.device());
            let bytes = moved(self.last.disks.as_deref().unwrap_or_default(), resource, device);
            let opened = self.disks_opened[resource].filter(|opened| opened.device == device && opened.bytes <= bytes);
            let Some(opened) = opened else {
                self.disks_opened[resource] = Some(Opened { at_ns, device, bytes });
                continue;
            };
            let length_ns = at_ns.saturating_sub(opened.at_ns);
            if length_ns == 0 || !pace.ends(resource, length_ns) {
                continue;
            }
            self.disks_opened[resource] = Some(Opened { at_ns, device, bytes });
            self.end_disk_window(resource, (bytes - opened.bytes) as f64 / MIB, length_ns, pace);
            ended.insert(resource);
        }
        if self.phase == Phase::Guarded { ended } else { ResourceSet::NONE }
    }

    fn end_disk_window(&mut self, resource: Resource, mib: f64, length_ns: u64, pace: Pace<'_>) {
        let seconds = length_ns as f64 / 1e9;
        let usage = mib / seconds;
        self.usage[resource] = Some(usage);
        let Some(guarded) = &mut self.subject.resources[resource] else { return };
        guarded.usage = (!pace.is_gap(resource, length_ns)).then_some(usage);
        let area = &mut self.areas[resource];
        area.used += mib;
        area.allocated += guarded.counted().unwrap_or(guarded.bounds.max) * seconds;
        area.reserved += guarded.bounds.max * seconds;
    }
}

impl State {
    /// Tells both ledgers of a disk. Each is taken to give what the host may: reads and writes together no more than the larger of both.
    pub(super) fn know_disk(&mut self, disk: &Arc<str>) {
        let most = |resource| self.config.host.max[resource].unwrap_or(f64::INFINITY);
        let [max_read, max_write] = BOTH_WAYS.map(most);
        for ledger in [&mut self.ledger, &mut self.shadow] {
            ledger.set_disk(Arc::clone(disk), Disk { max_read, max_write });
        }
    }
}

fn likely(disks: &[DiskReading]) -> Option<Device> {
    let weight = |disk: &DiskReading| {
        let is_limited = disk.read_limit != Limit::Unlimited || disk.write_limit != Limit::Unlimited;
        // Of equals the first, as the kernel counts them.
        (is_limited, disk.read_bytes + disk.write_bytes, std::cmp::Reverse(disk.device))
    };
    disks.iter().max_by_key(|disk| weight(disk)).map(|disk| disk.device)
}

fn moved(disks: &[DiskReading], resource: Resource, device: Option<Device>) -> u64 {
    let of = disks.iter().filter(|disk| device.is_none_or(|device| disk.device == device));
    of.map(|disk| if resource == Resource::DiskRead { disk.read_bytes } else { disk.write_bytes }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(minor: u32, read_bytes: u64, write_bytes: u64) -> DiskReading {
        let device = Device { major: 8, minor };
        DiskReading { device, read_bytes, write_bytes, read_limit: Limit::Unlimited, write_limit: Limit::Unlimited }
    }

    #[test]
    fn the_disk_is_the_limited_one_else_the_most_used() {
        let device = |minor| Some(Device { major: 8, minor });
        assert_eq!(likely(&[]), None);
        assert_eq!(likely(&[disk(0, 0, 0), disk(16, 0, 0)]), device(0));
        assert_eq!(likely(&[disk(0, 10, 0), disk(16, 4, 7)]), device(16));
        let limited = DiskReading { write_limit: Limit::At(5.0), ..disk(32, 0, 0) };
        assert_eq!(likely(&[disk(0, 10, 0), disk(16, 4, 7), limited]), device(32));
    }

    #[test]
    fn what_moves_is_one_disks_or_all() {
        let disks = [disk(0, 10, 1), disk(16, 4, 7)];
        assert_eq!(moved(&disks, Resource::DiskRead, None), 14);
        assert_eq!(moved(&disks, Resource::DiskWrite, Some(Device { major: 8, minor: 16 })), 7);
    }
}
