//! The Database Snapshoter: what documents say, and what agents report now, into time series.
//!
//! Which documents and fields is in its own document, on the fly. What documents say is kept as numbers, since most of them do not change between
//! two samples.

mod kept;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use headroom_model::number;
use headroom_model::settings::Service;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::time::Instant;

use self::kept::{Kept, Subtype};
use crate::central::{Central, wall};
use crate::documents::texts;
use crate::refeeder::heartbeat;
use crate::series::{Field, Kind, Metric, Owner, Place, Sample};
use crate::store::Database;

/// Under it samples are sent.
const LEASE: &str = "database_snapshoter";

/// Samples that are made and handed over at once.
const BATCH: usize = 500;

/// For ever.
pub async fn run(central: Central) {
    let mut kept = Kept::new(&central.documents);
    let mut unknown = BTreeSet::new();
    let mut next = Instant::now();
    loop {
        let settings = Settings::read(&central);
        for field in settings.unknown.difference(&unknown) {
            let known = Field::ALL.map(Field::key).join(", ");
            tracing::warn!("database_snapshoter: FIELDS_PERSISTED names {field:?}, which is not kept; known are {known}");
        }
        unknown.clone_from(&settings.unknown);
        // A series that several centrals would send is sent by one. Each that keeps series itself keeps all of them.
        let is_held = central.leases.held(LEASE).is_some();
        if settings.active && (is_held || central.config.time_series == Place::Embedded) {
            // Not among the tasks that answer requests: a large fleet takes a while.
            let work = tokio::task::spawn_blocking({
                let (central, settings) = (central.clone(), settings.clone());
                move || {
                    kept.refresh(&central.documents);
                    snapshot(&central, &kept, &settings);
                    kept
                }
            });
            kept = match work.await {
                Ok(kept) => kept,
                Err(e) => {
                    tracing::error!("a snapshot into the time series failed: {e}");
                    Kept::new(&central.documents)
                }
            };
            if is_held {
                heartbeat(&central, Service::DatabaseSnapshoter).await;
            }
        }
        next = (next + settings.pace).max(Instant::now());
        tokio::time::sleep_until(next).await;
    }
}

/// What its document says.
#[derive(Clone, Debug)]
struct Settings {
    active: bool,
    pace: Duration,
    /// `structures`, `limits`, `users`, `configs`.
    documents: Vec<String>,
    /// The services whose settings are kept.
    services: Vec<String>,
    fields: Vec<Field>,
    unknown: BTreeSet<String>,
}

impl Settings {
    fn read(central: &Central) -> Self {
        let config = central.setting(Service::DatabaseSnapshoter);
        let list = |key: &str| -> Vec<String> { texts(&config(key)).map(str::to_owned).collect() };
        let documents = list("DOCUMENTS_PERSISTED");
        let names = list("FIELDS_PERSISTED");
        let pace = number::lenient(&config("POLLING_FREQUENCY")).unwrap_or(5.0).clamp(0.1, 86400.0);
        Self {
            active: config("ACTIVE") == json!(true),
            pace: Duration::from_secs_f64(pace),
            services: if documents.iter().any(|what| what == "configs") { list("SERVICES_PERSISTED") } else { Vec::new() },
            fields: names.iter().filter_map(|name| Field::of_key(name)).collect(),
            unknown: names.into_iter().filter(|name| Field::of_key(name).is_none()).collect(),
            documents,
        }
    }

    /// Whether a field of a structure is kept.
    fn keeps(&self, field: Field) -> bool {
        let document = if matches!(field, Field::Upper | Field::Lower) { "limits" } else { "structures" };
        self.persists(document) && self.fields.contains(&field)
    }

    fn persists(&self, documents: &str) -> bool {
        self.documents.iter().any(|what| what == documents)
    }
}

fn snapshot(central: &Central, kept: &Kept, settings: &Settings) {
    let at = wall();
    let hand_over = |samples: Vec<Sample>| {
        if let Err(e) = Handle::current().block_on(central.series.append(at, samples)) {
            tracing::warn!("samples are lost: {e}");
        }
    };
    let mut samples = Vec::new();
    for (name, structure) in &kept.structures {
        let mut values: Vec<(Metric, f64)> = structure.values().filter(|(metric, _)| is_kept(settings, *metric)).collect();
        if structure.subtype == Subtype::Container {
            values.extend(live(central, settings, name));
        }
        add(&mut samples, Kind::Structure, name, values);
        if samples.len() >= BATCH {
            hand_over(std::mem::take(&mut samples));
        }
    }
    if settings.persists("users") {
        for (name, values) in &kept.users {
            let values = values.iter().filter(|(metric, _)| metric.field().is_some_and(|field| settings.fields.contains(&field)));
            add(&mut samples, Kind::User, name, values.copied().collect());
        }
    }
    for service in &settings.services {
        let Some(known) = Service::of_name(service) else { continue };
        // Also where its document is not there, or says nothing of a key: then the default is in force.
        let config = central.setting(known);
        let values = Metric::settings_of(service).filter_map(|(key, metric)| Some((metric, number::lenient(&config(key))?)));
        if central.documents.has(Database::Services, service) {
            add(&mut samples, Kind::Service, &Arc::from(service.as_str()), values.collect());
        }
    }
    hand_over(samples);
}

fn is_kept(settings: &Settings, metric: Metric) -> bool {
    metric.field().is_some_and(|field| settings.keeps(field))
}

/// What the container's agent reports now. Of a host that has gone quiet nothing is known.
fn live(central: &Central, settings: &Settings, name: &str) -> Vec<(Metric, f64)> {
    let Some(live) = central.fleet.live(name).filter(|live| live.quiet_since.is_none()) else { return Vec::new() };
    let mut values = Vec::new();
    for (resource, report) in live.resources.present() {
        let fields = [
            (Field::Usage, report.usage),
            (Field::Current, report.current.amount()),
            (Field::Upper, report.upper),
            (Field::Lower, report.lower),
        ];
        let present = fields.into_iter().filter(|(field, _)| settings.keeps(*field));
        values.extend(present.filter_map(|(field, value)| Some((Metric::of(resource, field), value?))));
    }
    values
}

fn add(samples: &mut Vec<Sample>, kind: Kind, name: &Arc<str>, values: Vec<(Metric, f64)>) {
    if !values.is_empty() {
        samples.push(Sample { owner: Owner { kind, name: Arc::clone(name) }, values });
    }
}
