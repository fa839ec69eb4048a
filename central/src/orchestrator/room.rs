//! Whether a host has room for a container.

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use headroom_model::wire::GuardState;
use serde_json::Value;

use super::fields::number;
use crate::answer::Answer;
use crate::central::Central;
use crate::store::{Body, Database};

/// Refuses a container that wants more than its host, as it is now, has free. What the host counts as the container's already is its own.
pub(super) fn check(
    central: &Central,
    host: &Body,
    name: &str,
    wanted: &[(Resource, f64)],
    disk: Option<&str>,
) -> Result<(), Answer> {
    let host_name = host.get("name").and_then(Value::as_str).unwrap_or_default();
    for (resource, wanted) in wanted {
        let free = match (resource, disk) {
            (Resource::DiskRead | Resource::DiskWrite, None) => None,
            (Resource::DiskRead | Resource::DiskWrite, Some(disk)) => Some(of_disk(central, host, name, disk, *resource)?),
            (resource, _) => free(host, *resource),
        };
        let room = free.map(|free| free + held(central, name, *resource));
        if let Some(room) = room
            && *wanted > room
        {
            let unit = resource.unit();
            let message = format!("host {host_name:?} has {room} {unit} of {resource} free; {name:?} wants {wanted}");
            return Err(Answer::bad(message));
        }
    }
    Ok(())
}

fn free(host: &Body, resource: Resource) -> Option<f64> {
    number(host.get("resources")?.get(resource.key())?.as_object()?, "free")
}

/// What is free of a disk: what the document says, but not what containers that are there have of it. (A document may count them
/// already; agents do not report disks.)
fn of_disk(central: &Central, host: &Body, container: &str, disk: &str, resource: Resource) -> Result<f64, Answer> {
    let [max, free] = if resource == Resource::DiskRead { ["max_read", "free_read"] } else { ["max_write", "free_write"] };
    let entry = host.get("resources").and_then(|resources| resources.get("disks")?.get(disk)?.as_object());
    let entry = entry.ok_or_else(|| Answer::bad(format!("the host has no disk {disk:?}; add it first")))?;
    let host_name = host.get("name").and_then(Value::as_str).unwrap_or_default();
    let given: f64 = central
        .documents
        .naming(Database::Structures, disk)
        .iter()
        .filter(|body| {
            body.get("host").is_some_and(|of| of == host_name) && body.get("name").is_some_and(|name| name != container)
        })
        .filter_map(|body| body.get("resources"))
        .filter(|resources| resources.get("disk").and_then(|of| of.get("name")).is_some_and(|name| name == disk))
        .filter_map(|resources| number(resources.get(resource.key())?.as_object()?, "current"))
        .sum();
    let left = number(entry, max).map_or(f64::INFINITY, |max| max - given);
    Ok(number(entry, free).unwrap_or(0.0).min(left).max(0.0))
}

/// What the host has given to a container that is guarded already.
fn held(central: &Central, container: &str, resource: Resource) -> f64 {
    let live = central.fleet.live(container).filter(|live| live.guard == GuardState::On);
    let limit =
        live.and_then(|live| live.resources[resource].as_ref().filter(|report| report.guard).map(|report| report.current));
    match limit {
        Some(Limit::At(amount)) => amount,
        _ => 0.0,
    }
}
