//! The Structure Snapshoter: the limits really applied, as agents read them from the kernel, into `structures`. What has not changed is not
//! written.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
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

/// How many documents are changed before it is looked further.
const TOGETHER: usize = 2000;

/// A hash of what a structure's document was last given, so that an idle fleet is not even looked at.
type Written = HashMap<Arc<str>, u64>;

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

/// Gives the documents what has changed. Some at a time: a busy fleet changes more than is written meanwhile, and what waits is old.
async fn snapshot(central: &Central, resources: Vec<Resource>, applications: bool, fence: Fence, written: &mut Written) {
    let mut news = News::default();
    let mut living = 0;
    let names: Vec<Arc<str>> = central.fleet.hosts().into_iter().map(|host| host.name).collect();
    for name in names {
        let Some(host) = central.fleet.host(&name).filter(|host| host.quiet_since.is_none()) else { continue };
        for name in &host.containers {
            let Some(live) = central.fleet.live(name).filter(|live| live.host == host.name) else { continue };
            living += 1;
            let limits = limits(&live, &resources);
            let is = hash(&limits);
            if written.insert(Arc::clone(name), is) != Some(is) {
                news.add(name, container(&live, limits));
            }
        }
        let free = hash(&free(&host));
        if written.insert(Arc::clone(&host.name), free) != Some(free) {
            news.add(&host.name.clone(), capacity(host));
        }
        if news.edits.len() >= TOGETHER && !news.write(central, fence, written).await {
            return;
        }
        // A large fleet takes a while, and requests come in between.
        tokio::task::yield_now().await;
    }
    if applications {
        for (database, name, totals) in
            central.groups.all().into_iter().filter(|(database, ..)| *database == Database::Structures)
        {
            let resources = resources.clone();
            let refresh = move |body: &mut Body| fenced(body, LEASE, fence, |body| totals.refresh_current(body, &resources));
            news.edits.push((database, name.to_string(), Box::new(refresh)));
        }
    }
    news.write(central, fence, written).await;
    // Those that have gone.
    if written.len() > 2 * living + 1000 {
        written.clear();
    }
}

/// What documents are to be given.
#[derive(Default)]
struct News {
    edits: Vec<Edit>,
    /// Those of which `written` knows.
    names: Vec<Arc<str>>,
}

impl News {
    fn add(&mut self, name: &Arc<str>, edit: Box<dyn Fn(&mut Body) + Send + Sync>) {
        self.edits.push((Database::Structures, name.to_string(), edit));
        self.names.push(Arc::clone(name));
    }

    /// Writes them; then there are none. False where that failed: what was not written is news again.
    async fn write(&mut self, central: &Central, fence: Fence, written: &mut Written) -> bool {
        let Self { edits, names } = std::mem::take(self);
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
        let Err(e) = central.documents.edit_many(edits).await else { return true };
        tracing::warn!("limits are not written into the structures' documents: {e}");
        for name in names {
            written.remove(&name);
        }
        false
    }
}

fn limits(live: &Live, resources: &[Resource]) -> Box<[(Resource, f64)]> {
    let present = live.resources.present().filter(|(resource, _)| resources.contains(resource));
    present.filter_map(|(resource, report)| Some((resource, number::rounded(report.current.amount()?, 2)))).collect()
}

fn hash(amounts: &[(Resource, f64)]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (resource, amount) in amounts {
        (resource, amount.to_bits()).hash(&mut hasher);
    }
    hasher.finish()
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
