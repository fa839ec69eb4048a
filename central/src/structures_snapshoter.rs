//! The Structure Snapshoter: the limits really applied, as agents read them from the kernel, into `structures`. Agents tell of them, so
//! what has changed is written with the next bulk; the sums of applications are looked at from time to time. What has not changed is not
//! written, and what is written holds at that moment, however long it waited.

mod behind;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headroom_model::number;
use headroom_model::resource::Resource;
use headroom_model::settings::Service;
use serde_json::{Value, json};

use crate::central::Central;
use crate::documents::texts;
use crate::fleet::{HostView, Live};
use crate::leases::{Fence, fenced};
use crate::refeeder::heartbeat;
use crate::store::{Body, Database, StoreError};
use behind::{Behind, Numbers, Of};

/// Under it limits are written.
const LEASE: &str = "structures_snapshoter";

/// How often it is looked what agents have told, where nothing waits.
const LOOK: Duration = Duration::from_millis(500);

/// Documents that are looked at for one bulk. Of a fleet that was just heard of most are as they should be.
const MANY: usize = 1000;

/// What is done to a document.
type Change = Box<dyn Fn(&mut Body) + Send + Sync>;

/// For ever.
pub async fn run(central: Central) {
    let mut snapshots = Snapshots::default();
    loop {
        let settings = Settings::read(&central);
        let Some(fence) = central.leases.held(LEASE).filter(|_| settings.active) else {
            // Others may write meanwhile.
            snapshots = Snapshots::default();
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let is_due = snapshots.polls(&central, &settings);
        let beat = async {
            if is_due {
                heartbeat(&central, Service::StructuresSnapshoter).await;
            }
        };
        let (written, ()) = tokio::join!(snapshots.write(&central, &settings, fence), beat);
        match written {
            // More may wait. The store's pace is kept; requests come in between.
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => tokio::time::sleep(LOOK).await,
            Err(e) => {
                tracing::warn!("limits are not written into the structures' documents: {e}");
                tokio::time::sleep(settings.pace).await;
            }
        }
    }
}

/// What its document says.
struct Settings {
    active: bool,
    /// How often sums are looked at.
    pace: Duration,
    applications: bool,
    resources: Vec<Resource>,
}

impl Settings {
    fn read(central: &Central) -> Self {
        let config = central.setting(Service::StructuresSnapshoter);
        let pace = number::lenient(&config("POLLING_FREQUENCY")).unwrap_or(5.0).clamp(0.1, 86400.0);
        Self {
            active: config("ACTIVE") == json!(true),
            pace: Duration::from_secs_f64(pace),
            applications: texts(&config("STRUCTURES_PERSISTED")).any(|what| what == "application"),
            resources: texts(&config("RESOURCES_PERSISTED")).filter_map(|name| name.parse().ok()).collect(),
        }
    }
}

#[derive(Default)]
struct Snapshots {
    behind: Behind,
    /// The report of each host that was looked at last, by when it came.
    heard: HashMap<Arc<str>, f64>,
    polled: Option<Instant>,
}

impl Snapshots {
    /// Whether sums are due: then all of them are looked at, since nobody tells of them.
    fn polls(&mut self, central: &Central, settings: &Settings) -> bool {
        let is_due = self.polled.is_none_or(|at| at.elapsed() >= settings.pace);
        if is_due {
            self.polled = Some(Instant::now());
            let is_wanted = |database| settings.applications && database == Database::Structures;
            let applications = central.groups.all().into_iter().filter(|(database, ..)| is_wanted(*database));
            applications.for_each(|(_, name, _)| self.behind.add(Of::Application(name)));
        }
        is_due
    }

    /// Looks at what was reported since the last time.
    async fn look(&mut self, central: &Central, resources: &[Resource]) {
        let mut living = 0;
        for (name, at, containers) in central.fleet.heard() {
            living += 1 + containers;
            if self.heard.insert(Arc::clone(&name), at) == Some(at) {
                continue;
            }
            let Some(host) = central.fleet.host(&name) else { continue };
            for container in &host.containers {
                let live = central.fleet.live(container).filter(|live| live.host == name);
                if let Some(live) = live {
                    self.behind.notice(Of::Container(Arc::clone(container)), &limits(&live, resources));
                }
            }
            self.behind.notice(Of::Host(name), &free(&host));
            // A large fleet takes a while, and requests come in between.
            tokio::task::yield_now().await;
        }
        if self.behind.known() > 2 * living + 1000 {
            // Most of it has gone.
            (self.behind, self.heard) = Default::default();
        }
    }

    /// Writes a bulk, when it is its turn. False where nothing was behind.
    async fn write(&mut self, central: &Central, settings: &Settings, fence: Fence) -> Result<bool, StoreError> {
        let bulk = central.documents.bulk(Database::Structures).await;
        self.look(central, &settings.resources).await;
        self.behind.begin();
        let mut taken = Vec::new();
        let edits = std::iter::from_fn(|| {
            // It was a while until this bulk's turn: another central may do this now.
            while central.leases.still_held(LEASE, fence) {
                let of = self.behind.next()?;
                if let Some((numbers, change)) = change(central, &of, &settings.resources, fence) {
                    self.behind.give(of.clone(), &numbers);
                    let name = of.name().to_owned();
                    taken.push(of);
                    return Some((Database::Structures, name, change));
                }
            }
            None
        });
        let written = bulk.edit(edits.take(MANY)).await;
        let is_any = !taken.is_empty();
        let failed: Vec<Of> = match &written {
            Ok((_, conflicts)) => taken.into_iter().filter(|of| conflicts.iter().any(|(_, name, _)| name == of.name())).collect(),
            Err(_) => taken,
        };
        for of in failed {
            self.behind.again(of);
        }
        written.map(|_| is_any)
    }
}

/// What is so now, and what that changes in the document. `None` where nobody knows.
fn change(central: &Central, of: &Of, resources: &[Resource], fence: Fence) -> Option<(Numbers, Change)> {
    match of {
        Of::Container(name) => {
            let live = central.fleet.live(name).filter(|live| live.quiet_since.is_none())?;
            let limits = limits(&live, resources);
            Some((limits.clone(), container(&live, limits)))
        }
        Of::Host(name) => {
            let host = central.fleet.host(name).filter(|host| host.quiet_since.is_none())?;
            Some((free(&host), capacity(host)))
        }
        Of::Application(name) => {
            let (totals, resources) = (central.groups.application(name)?, resources.to_vec());
            let refresh = move |body: &mut Body| fenced(body, LEASE, fence, |body| totals.refresh_current(body, &resources));
            Some((Numbers::default(), Box::new(refresh)))
        }
    }
}

fn limits(live: &Live, resources: &[Resource]) -> Numbers {
    let present = live.resources.present().filter(|(resource, _)| resources.contains(resource));
    present.filter_map(|(resource, report)| Some((resource, number::rounded(report.current.amount()?, 2)))).collect()
}

/// What agents own of a container's document: `current`, and where it really is.
fn container(live: &Live, limits: Numbers) -> Change {
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

fn free(host: &HostView) -> Numbers {
    let present = host.status.resources.known.present();
    present.filter_map(|(resource, numbers)| Some((resource, number::rounded(numbers.free?, 2)))).collect()
}

/// What agents own of a host's document: `free` and `core_usage_mapping`, and `max` where nobody gave one.
fn capacity(host: HostView) -> Change {
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
