//! Whether a host has room for a container.

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use headroom_model::wire::GuardState;
use serde_json::Value;

use super::fields::number;
use crate::answer::Answer;
use crate::central::Central;
use crate::store::Body;

/// Refuses a container that wants more than its host has free. What the host counts as the container's already is its own.
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
            (Resource::DiskRead, Some(disk)) => Some(of_disk(host, disk, "free_read")?),
            (Resource::DiskWrite, Some(disk)) => Some(of_disk(host, disk, "free_write")?),
            (resource, _) => free(central, host_name, host, *resource),
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

/// As its agent reports it, else as the document has it.
fn free(central: &Central, name: &str, host: &Body, resource: Resource) -> Option<f64> {
    let reported = central.fleet.host(name).and_then(|host| host.status.resources.known[resource].as_ref()?.free);
    reported.or_else(|| number(host.get("resources")?.get(resource.key())?.as_object()?, "free"))
}

fn of_disk(host: &Body, disk: &str, key: &str) -> Result<f64, Answer> {
    let entry = host.get("resources").and_then(|resources| resources.get("disks")?.get(disk)?.as_object());
    let entry = entry.ok_or_else(|| Answer::bad(format!("the host has no disk {disk:?}; add it first")))?;
    Ok(number(entry, key).unwrap_or(0.0))
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
