//! What agents report now, laid over documents: `current`, `usage`, `upper` and `lower` of containers, `free` and the core map of hosts, the
//! totals of applications and users. The documents have these too, from when they were last written.

use headroom_model::number::{plain, rounded};
use serde_json::{Map, Value};

use super::fields::number;
use crate::central::Central;
use crate::store::Body;

/// Over a structure.
pub(super) fn over_structure(central: &Central, body: &mut Body) {
    let Some(name) = body.get("name").and_then(Value::as_str).map(str::to_owned) else { return };
    match body.get("subtype").and_then(Value::as_str) {
        Some("container") => over_container(central, &name, body),
        Some("host") => over_host(central, &name, body),
        Some("application") => {
            if let Some(totals) = central.groups.application(&name) {
                totals.lay_over(body);
            }
        }
        _ => {}
    }
}

/// Over a user.
pub(super) fn over_user(central: &Central, body: &mut Body) {
    let totals = body.get("name").and_then(Value::as_str).and_then(|name| central.groups.user(name));
    if let Some(totals) = totals {
        totals.lay_over(body);
    }
}

fn over_container(central: &Central, name: &str, body: &mut Body) {
    let (Some(live), Some(resources)) = (central.fleet.live(name), resources(body)) else { return };
    for (resource, report) in live.resources.present() {
        if let Some(entry) = resources.get_mut(resource.key()).and_then(Value::as_object_mut) {
            put(entry, "current", report.in_force());
            put(entry, "usage", report.usage);
        }
    }
}

fn over_host(central: &Central, name: &str, body: &mut Body) {
    let (Some(host), Some(resources)) = (central.fleet.host(name), resources(body)) else { return };
    for (resource, report) in host.status.resources.known.present() {
        if let Some(entry) = resources.get_mut(resource.key()).and_then(Value::as_object_mut)
            && let Some(free) = report.free
        {
            // What is given out is what the agent says; of how much, the document.
            let given = report.max.map(|max| max - free);
            let free = number(entry, "max").zip(given).map_or(free, |(max, given)| (max - given).max(0.0));
            put(entry, "free", Some(free));
        }
    }
    if let Some(mapping) = &host.status.core_usage_mapping
        && let Some(cpu) = resources.get_mut("cpu").and_then(Value::as_object_mut)
    {
        cpu.insert("core_usage_mapping".into(), mapping.clone());
    }
}

/// Over a structure's limits.
pub(super) fn over_limits(central: &Central, name: &str, body: &mut Body) {
    let (Some(live), Some(resources)) = (central.fleet.live(name), resources(body)) else { return };
    for (resource, report) in live.resources.present() {
        if let Some(entry) = resources.get_mut(resource.key()).and_then(Value::as_object_mut)
            && report.upper.is_some()
            && report.lower.is_some()
        {
            put(entry, "upper", report.upper);
            put(entry, "lower", report.lower);
        }
    }
}

fn resources(body: &mut Body) -> Option<&mut Map<String, Value>> {
    body.get_mut("resources")?.as_object_mut()
}

/// What is not known now is not shown as if it were.
fn put(entry: &mut Map<String, Value>, key: &str, number: Option<f64>) {
    match number {
        Some(number) => entry.insert(key.to_owned(), plain(rounded(number, 3))),
        None => entry.remove(key),
    };
}
