//! `GET /fleet`: every host with how it is, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use headroom_model::wire::{GuardState, HostReport};
use serde::Serialize;
use serde_json::Value;

use crate::agents::orders;
use crate::answer::json;
use crate::central::{Central, wall};
use crate::documents::Problem;
use crate::fleet::Conflict;
use crate::leases::{Fence, Presence, Shown};
use crate::store::{Database, Trouble};

pub(super) fn router() -> Router<Central> {
    Router::new().route("/fleet", get(fleet)).route("/fleet/", get(fleet))
}

#[derive(Serialize)]
struct Fleet {
    at: f64,
    hosts: Vec<Host>,
    /// All centrals on one CouchDB; none where there can be only one.
    centrals: Vec<CentralView>,
    /// What one of them does at a time: which, by its id, and the lease's fencing number.
    leases: BTreeMap<String, Lease>,
    /// Hosts that have a document, but no agent that has reported since this central started.
    unheard: Vec<String>,
    conflicts: Vec<Conflict>,
    /// Documents that are not understood, and are left as they are.
    problems: Vec<Problem>,
    /// What keeps time series from being kept now.
    time_series: Option<String>,
    /// What is wrong with the State Database: what of it does not work, since when, and why.
    store: Vec<Trouble>,
}

#[derive(Serialize)]
struct Host {
    name: Arc<str>,
    /// `null` while it reports.
    quiet_since: Option<f64>,
    last_report: f64,
    /// How far its clock is ahead of ours, in s.
    skew: f64,
    version: Arc<str>,
    instance: Arc<str>,
    /// The id of the central that it reports to, where there are several.
    central: Option<Arc<str>>,
    containers: usize,
    guarded: usize,
    /// Whether the newest of its orders are in force there.
    up_to_date: bool,
    /// What containers say of themselves: why something that was asked for is not done.
    notes: Vec<Note>,
    #[serde(flatten)]
    status: Arc<HostReport>,
}

#[derive(Serialize)]
struct CentralView {
    id: Arc<str>,
    /// Whether it is the one that says so.
    this: bool,
    #[serde(flatten)]
    presence: Presence,
    /// Hosts whose agents report there.
    hosts: usize,
    /// Why it does not answer this one.
    trouble: Option<String>,
}

#[derive(Serialize)]
struct Lease {
    central: String,
    fence: Fence,
}

#[derive(Serialize)]
struct Note {
    container: Arc<str>,
    notes: Vec<String>,
}

async fn fleet(State(central): State<Central>) -> Response {
    let shown = central.leases.shown();
    let this = shown.as_ref().and_then(|shown| shown.this.clone());
    let hosts: Vec<Host> = central
        .fleet
        .hosts()
        .into_iter()
        .map(|host| {
            let live = host.containers.iter().filter_map(|name| Some((name, central.fleet.live(name)?)));
            let live: Vec<_> = live.filter(|(_, live)| live.host == host.name).collect();
            let revision = orders::build(&central, &host.name).revision;
            Host {
                containers: host.containers.len(),
                guarded: live.iter().filter(|(_, live)| live.guard == GuardState::On).count(),
                up_to_date: host.status.revision.as_ref() == Some(&revision),
                notes: live
                    .into_iter()
                    .filter(|(_, live)| !live.notes.is_empty())
                    .map(|(name, live)| Note { container: Arc::clone(name), notes: live.notes })
                    .collect(),
                name: host.name,
                quiet_since: host.quiet_since,
                last_report: host.last_report,
                skew: host.skew,
                version: host.version,
                instance: host.instance,
                central: host.via.or_else(|| this.clone()),
                status: host.status,
            }
        })
        .collect();
    let (centrals, leases) = shown.map(|shown| of_centrals(&central, shown, &hosts)).unwrap_or_default();
    let heard: BTreeSet<&str> = hosts.iter().map(|host| &*host.name).collect();
    let is_host = |name: &String| {
        let body = central.documents.body(Database::Structures, name);
        body.is_some_and(|body| body.get("subtype").and_then(Value::as_str) == Some("host"))
    };
    let unheard =
        central.documents.names(Database::Structures).into_iter().filter(|name| !heard.contains(name.as_str()) && is_host(name));
    let unheard = unheard.collect();
    let documents = &central.documents;
    let (conflicts, problems, store) = (central.fleet.conflicts(), documents.problems(), documents.troubles());
    let time_series = central.series.trouble();
    json(StatusCode::OK, &Fleet { at: wall(), hosts, centrals, leases, unheard, conflicts, problems, store, time_series })
}

fn of_centrals(central: &Central, shown: Shown, hosts: &[Host]) -> (Vec<CentralView>, BTreeMap<String, Lease>) {
    let this = shown.this;
    let view = |(id, presence): (Arc<str>, Presence)| CentralView {
        this: this.as_ref() == Some(&id),
        hosts: hosts.iter().filter(|host| host.quiet_since.is_none() && host.central.as_ref() == Some(&id)).count(),
        trouble: central.peers.trouble(&id),
        presence,
        id,
    };
    let lease = |(name, (central, fence))| (name, Lease { central, fence });
    (shown.centrals.into_iter().map(view).collect(), shown.leases.into_iter().map(lease).collect())
}
