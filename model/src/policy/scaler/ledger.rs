//! What the host may give out, and who holds how much of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::Grant;
use crate::limit::Limit;
use crate::policy::request::Field;
use crate::resource::{PerResource, Resource};

/// The bounds of a guarded resource, in the resource's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The limit is never set below.
    pub min: f64,
    /// The limit is never set above.
    pub max: f64,
    /// Its part of what is short.
    pub weight: f64,
}

/// One resource of one container.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The limit in force.
    pub limit: Limit,
    /// Its bounds if it is guarded; `None` if not.
    pub share: Option<Share>,
    /// The disk that a disk limit is for.
    pub disk: Option<Arc<str>>,
}

impl Entry {
    /// A guarded resource with a limit.
    pub const fn guarded(limit: f64, share: Share) -> Self {
        Self { limit: Limit::At(limit), share: Some(share), disk: None }
    }
}

/// A disk's bandwidth, in MiB/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disk {
    /// All reads together.
    pub max_read: f64,
    /// All writes together.
    pub max_write: f64,
}

/// The host's account. In each resource's unit.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    host_max: PerResource<Option<f64>>,
    disks: BTreeMap<Arc<str>, Disk>,
    reserve_unguarded: bool,
    entries: BTreeMap<Arc<str>, PerResource<Option<Entry>>>,
}

impl Ledger {
    /// An empty account. `host_max`: what may be given out, `None` where nothing bounds it. `reserve_unguarded`: whether the limits
    /// of containers that are not guarded count too.
    pub fn new(host_max: PerResource<Option<f64>>, reserve_unguarded: bool) -> Self {
        Self { host_max, reserve_unguarded, ..Self::default() }
    }

    /// What may be given out, `None` where nothing bounds it.
    pub fn host_max(&self, resource: Resource) -> Option<f64> {
        self.host_max[resource]
    }

    /// Changes what may be given out (CPU hotplug, configuration).
    pub fn set_host_max(&mut self, resource: Resource, max: Option<f64>) {
        self.host_max[resource] = max;
    }

    /// Whether limits of containers that are not guarded count.
    pub fn set_reserve_unguarded(&mut self, reserve: bool) {
        self.reserve_unguarded = reserve;
    }

    /// Adds a disk, or changes its bandwidth.
    pub fn set_disk(&mut self, name: impl Into<Arc<str>>, disk: Disk) {
        self.disks.insert(name.into(), disk);
    }

    /// Sets one resource of a container.
    pub fn set(&mut self, structure: &Arc<str>, resource: Resource, entry: Entry) {
        self.entries.entry(structure.clone()).or_default()[resource] = Some(entry);
    }

    /// One resource of a container, if it is known.
    pub fn entry(&self, structure: &str, resource: Resource) -> Option<&Entry> {
        self.entries.get(structure)?[resource].as_ref()
    }

    /// Sets the limit in force, of a container that is known.
    pub fn set_limit(&mut self, structure: &str, resource: Resource, limit: Limit) {
        if let Some(entry) = self.entries.get_mut(structure).and_then(|e| e[resource].as_mut()) {
            entry.limit = limit;
        }
    }

    /// Forgets a container.
    pub fn remove(&mut self, structure: &str) {
        self.entries.remove(structure);
    }

    /// Takes into account what was written: the limit as read back.
    pub fn account(&mut self, grant: &Grant, read_back: f64) {
        let Some(entry) = self.entries.get_mut(&grant.request.structure).and_then(|e| e[grant.request.resource].as_mut()) else {
            return;
        };
        entry.limit = Limit::At(read_back);
        if let (Field::Max, Some(share), Some(max)) = (grant.request.field, &mut entry.share, grant.max) {
            share.max = max;
        }
    }

    /// The sum of the limits that count: of guarded containers, of the others too if they are reserved for.
    pub fn held(&self, resource: Resource) -> f64 {
        self.sum(resource, |_, _| true)
    }

    /// The sum of the `min` of all guarded containers but one.
    pub fn min_sum(&self, resource: Resource, but: &str) -> f64 {
        let guarded = self.entries.iter().filter(|(name, _)| name.as_ref() != but);
        guarded.filter_map(|(_, e)| e[resource].as_ref()?.share.map(|s| s.min)).sum()
    }

    /// What is free of a resource, never below 0; `None` where nothing bounds it.
    pub fn free(&self, resource: Resource) -> Option<f64> {
        self.free_for(resource, None, None)
    }

    /// What is free for a container: of the host, and of its disk, of which reads and writes together take no more than the
    /// larger of the two bandwidths. What `but` holds of this resource counts as free.
    pub fn free_for(&self, resource: Resource, disk: Option<&str>, but: Option<&str>) -> Option<f64> {
        let others = |name: &str| but.is_none_or(|but| but != name);
        let host = self.host_max[resource].map(|max| (max - self.sum(resource, |name, _| others(name))).max(0.0));
        let disk = disk.and_then(|name| Some((name, self.disks.get(name)?))).and_then(|(name, disk)| {
            let held = |r| self.sum(r, |holder, e| (r != resource || others(holder)) && e.disk.as_deref() == Some(name));
            let (read, write) = (held(Resource::DiskRead), held(Resource::DiskWrite));
            let together = disk.max_read.max(disk.max_write) - read - write;
            match resource {
                Resource::DiskRead => Some((disk.max_read - read).min(together).max(0.0)),
                Resource::DiskWrite => Some((disk.max_write - write).min(together).max(0.0)),
                _ => None,
            }
        });
        match (host, disk) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    fn sum(&self, resource: Resource, which: impl Fn(&str, &Entry) -> bool) -> f64 {
        let entries = self.entries.iter().filter_map(|(name, e)| Some((name, e[resource].as_ref()?)));
        entries
            .filter(|(name, e)| (e.share.is_some() || self.reserve_unguarded) && which(name, e))
            .filter_map(|(_, e)| e.limit.amount())
            .sum()
    }
}
