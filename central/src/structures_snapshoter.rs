//! The Structure Snapshoter: the limits really applied, as agents read them from the kernel, into `structures`. What has not changed is not
//! written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headroom_model::number;
use headroom_model::resource::Resource;
use headroom_model::settings::Service;
use serde_json::{Value, json};

use crate::central::Central;
use crate::documents::{Edit, texts};
use crate::fleet::{HostView, Live};
use crate::leases::{Fence, fenced};
use crate::refeeder::heartbeat;
use crate::store::{Body, Database};

/// Under it limits are written.
const LEASE: &str = "structures_snapshoter";

/// What a structure's document was last given, so that an idle fleet is not even looked at.
type Written = HashMap<Arc<str>, Box<[(Resource, f64)]>>;

/// For ever.
pub async fn run(central: Central) {
    let mut written = Written::new();
    loop {
        let setting = central.setting(Service::StructuresSnapshoter);
        let fence = central.leases.held(LEASE);
        if fence.is_none() {
            written.clear();
        }
        if let (true, Some(fence)) = (setting("ACTIVE") == json!(true), fence) {
            let resources = texts(&setting("RESOURCES_PERSISTED")).filter_map(|name| name.parse().ok()).collect();
            let applications = texts(&setting("STRUCTURES_PERSISTED")).any(|what| what == "application");
            snapshot(&central, resources, applications, fence, &mut written).await;
            heartbeat(&central, Service::StructuresSnapshoter).await;
        }
        let pace = number::lenient(&setting("POLLING_FREQUENCY")).unwrap_or(5.0).max(0.1);
        tokio::time::sleep(Duration::from_secs_f64(pace)).await;
    }
}

async fn snapshot(central: &Central, resources: Vec<Resource>, applications: bool, fence: Fence, written: &mut Written) {
    let mut edits: Vec<Edit> = Vec::new();
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut living = 0;
    for host in central.fleet.hosts().into_iter().filter(|host| host.quiet_since.is_none()) {
        for name in &host.containers {
            let Some(live) = central.fleet.live(name).filter(|live| live.host == host.name) else { continue };
            living += 1;
            let limits = limits(&live, &resources);
            if written.get(name) != Some(&limits) {
                edits.push((Database::Structures, name.to_string(), container(&live, limits.clone())));
                written.insert(Arc::clone(name), limits);
                names.push(Arc::clone(name));
            }
        }
        // A large fleet takes a while, and requests come in between.
        tokio::task::yield_now().await;
        let free = free(&host);
        if written.get(&host.name) != Some(&free) {
            written.insert(Arc::clone(&host.name), free);
            names.push(Arc::clone(&host.name));
            edits.push((Database::Structures, host.name.to_string(), capacity(host)));
        }
    }
    if applications {
        for (database, name, totals) in
            central.groups.all().into_iter().filter(|(database, ..)| *database == Database::Structures)
        {
            let resources = resources.clone();
            let refresh = move |body: &mut Body| fenced(body, LEASE, fence, |body| totals.refresh_current(body, &resources));
            edits.push((database, name.to_string(), Box::new(refresh)));
        }
    }
    // Many bulks take a while: what comes to be written when another central does this changes nothing.
    let while_held = |(database, name, edit): Edit| -> Edit {
        let leases = Arc::clone(&central.leases);
        let edit = move |body: &mut Body| {
            if leases.still_held(LEASE, fence) {
                edit(body);
            }
        };
        (database, name, Box::new(edit))
    };
    let edits: Vec<Edit> = edits.into_iter().map(while_held).collect();
    if edits.is_empty() {
        return;
    }
    if let Err(e) = central.documents.edit_many(edits).await {
        tracing::warn!("limits are not written into the structures' documents: {e}");
        for name in names {
            written.remove(&name);
        }
    }
    // Those that have gone.
    if written.len() > 2 * living + 1000 {
        written.clear();
    }
}

fn limits(live: &Live, resources: &[Resource]) -> Box<[(Resource, f64)]> {
    let present = live.resources.present().filter(|(resource, _)| resources.contains(resource));
    present.filter_map(|(resource, report)| Some((resource, number::rounded(report.current.amount()?, 2)))).collect()
}

/// What agents own of a container's document: `current`, and where it really is.
fn container(live: &Live, limits: Box<[(Resource, f64)]>) -> Box<dyn Fn(&mut Body) + Send + Sync> {
    let host = live.host.to_string();
    Box::new(move |body| {
        // A document that speaks of another host is a person's, or another container's.
        if body.get("host").is_some_and(|of| *of != host) {
            return;
        }
        let Some(resources) = body.get_mut("resources").and_then(Value::as_object_mut) else { return };
        for (resource, current) in &limits {
            let Some(entry) = resources.get_mut(resource.key()).and_then(Value::as_object_mut) else { continue };
            if entry.get("current").and_then(number::lenient) != Some(*current) {
                entry.insert("current".into(), number::plain(*current));
            }
        }
    })
}

fn free(host: &HostView) -> Box<[(Resource, f64)]> {
    let present = host.status.resources.known.present();
    present.filter_map(|(resource, numbers)| Some((resource, number::rounded(numbers.free?, 2)))).collect()
}

/// What agents own of a host's document: `free` and `core_usage_mapping`, and `max` where nobody gave one.
fn capacity(host: HostView) -> Box<dyn Fn(&mut Body) + Send + Sync> {
    Box::new(move |body| {
        let Some(resources) = body.get_mut("resources").and_then(Value::as_object_mut) else { return };
        for (resource, numbers) in host.status.resources.known.present() {
            let Some(entry) = resources.get_mut(resource.key()).and_then(Value::as_object_mut) else { continue };
            if let Some(free) = numbers.free.map(|free| number::rounded(free, 2))
                && entry.get("free").and_then(number::lenient) != Some(free)
            {
                entry.insert("free".into(), number::plain(free));
            }
            if let (false, Some(max)) = (entry.contains_key("max"), numbers.max) {
                entry.insert("max".into(), number::plain(max));
            }
            if let (Resource::Cpu, Some(mapping)) = (resource, &host.status.core_usage_mapping)
                && entry.get("core_usage_mapping") != Some(mapping)
            {
                entry.insert("core_usage_mapping".into(), mapping.clone());
            }
        }
    })
}
