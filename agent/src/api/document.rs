//! One container as the Container Scaler API shows it, keys in the contract's order.

use headroom_model::limit::Limit;
use headroom_model::number;
use headroom_model::resource::Resource;
use serde::{Serialize, Serializer};

use super::cpu_list;
use crate::status::ContainerStatus;

/// `{"cpu": {..}, "mem": {..}, ..}`, of these what was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem: Option<Mem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_read: Option<Disk<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_write: Option<Disk<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<Net<'a>>,
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
struct Cpu<'a> {
    cpu_num: &'a str,
    effective_num_cpus: usize,
    effective_cpu_limit: Amount,
    cpu_allowance_limit: Amount,
}

#[derive(Debug, Serialize)]
struct Mem {
    unit: &'static str,
    mem_limit: Amount,
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
struct Disk<'a> {
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_read_limit: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_write_limit: Option<Amount>,
    device_path: &'a str,
    major: String,
    minor: String,
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
struct Net<'a> {
    unit: &'static str,
    net_limit: Amount,
    device_name_in_container: &'a str,
    device_name_in_host: &'a str,
}

impl<'a> Document<'a> {
    /// Those parts for which `wanted` says so; it is asked for `cpu`, `mem`, `disk` and `net`.
    pub(super) fn of(status: &'a ContainerStatus, wanted: impl Fn(&str) -> bool) -> Self {
        let disk = |resource| wanted("disk").then(|| Disk::of(status, resource));
        Self {
            cpu: wanted("cpu").then(|| Cpu::of(status)),
            mem: wanted("mem").then(|| Mem::of(status)),
            disk_read: disk(Resource::DiskRead),
            disk_write: disk(Resource::DiskWrite),
            net: wanted("net").then(|| Net::of(status)),
        }
    }
}

/// What stands in the container's own cgroup; none where the resource could not be read.
fn applied(status: &ContainerStatus, resource: Resource) -> Limit {
    status.resources[resource].map_or(Limit::Unlimited, |read| read.applied)
}

impl<'a> Cpu<'a> {
    fn of(status: &'a ContainerStatus) -> Self {
        let cpus = cpu_list::parse(&status.effective_cpus).map_or(0, |cpus| cpus.len());
        let all_of_them = if cpus == 0 { Limit::Unlimited } else { Limit::At(100.0 * cpus as f64) };
        let effective = status.resources[Resource::Cpu].map_or(Limit::Unlimited, |cpu| cpu.effective);
        Self {
            cpu_num: if status.cpuset.is_empty() { &status.effective_cpus } else { &status.cpuset },
            effective_num_cpus: cpus,
            effective_cpu_limit: Amount(effective.min(all_of_them)),
            cpu_allowance_limit: Amount(applied(status, Resource::Cpu)),
        }
    }
}

impl Mem {
    fn of(status: &ContainerStatus) -> Self {
        let limit = applied(status, Resource::Mem);
        Self { unit: unit_of(limit, "M"), mem_limit: Amount(limit) }
    }
}

impl<'a> Disk<'a> {
    /// The unit is what clients know; the values are MiB/s all the same.
    fn of(status: &'a ContainerStatus, resource: Resource) -> Self {
        let limit = Amount(applied(status, resource));
        let reads = resource == Resource::DiskRead;
        let device = status.disk.as_deref();
        Self {
            unit: "Mbit",
            disk_read_limit: reads.then_some(limit),
            disk_write_limit: (!reads).then_some(limit),
            device_path: device.map_or("", |d| &d.path),
            major: device.map_or_else(String::new, |d| d.major.to_string()),
            minor: device.map_or_else(String::new, |d| d.minor.to_string()),
        }
    }
}

impl<'a> Net<'a> {
    fn of(status: &'a ContainerStatus) -> Self {
        let limit = applied(status, Resource::Net);
        let device = status.net.as_deref();
        Self {
            unit: unit_of(limit, "Mbit"),
            net_limit: Amount(limit),
            device_name_in_container: device.map_or("", |d| &d.in_container),
            device_name_in_host: device.map_or("", |d| &d.in_host),
        }
    }
}

fn unit_of(limit: Limit, unit: &'static str) -> &'static str {
    if limit == Limit::Unlimited { "unlimited" } else { unit }
}

/// A limit as a JSON number: -1 for none, whole numbers without a fraction, others to three places.
#[derive(Clone, Copy, Debug)]
struct Amount(Limit);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Limit::At(amount) = self.0 else { return serializer.serialize_i64(-1) };
        number::serialize(&number::rounded(amount, 3), serializer)
    }
}
