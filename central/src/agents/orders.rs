//! `GET /agent/orders`: the documents that concern a host, without what agents own in them. Their revision is a hash of their contents, so that
//! every central gives the same, and heartbeats or usages that change are no news.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use headroom_model::documents::by_resource::ByResource;
use headroom_model::documents::limits::Limits;
use headroom_model::documents::rule::Rule;
use headroom_model::documents::service::Service;
use headroom_model::documents::structure::{Container, Host};
use headroom_model::settings;
use headroom_model::wire::{Most, Orders};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::access::Caller;
use crate::answer::{Answer, json};
use crate::central::{Central, wall};
use crate::documents::{Changed, Documents};
use crate::serve::{Later, Until};
use crate::store::{Body, Database};

/// The longest that a question waits for news.
const LONGEST_WAIT: f64 = 60.0;

/// The rules and settings, which are the same for all hosts.
#[derive(Debug)]
pub struct Common(ArcSwap<Shared>);

#[derive(Debug, PartialEq)]
struct Shared {
    rules: Vec<Rule>,
    services: Vec<Service>,
    /// Whether groups are judged, here, and not each container by its agent.
    judges_groups: bool,
}

impl Common {
    /// As the documents are now.
    pub fn new(documents: &Documents) -> Self {
        Self(ArcSwap::from_pointee(Self::read(documents)))
    }

    /// Whether groups are judged, and not each container by its agent.
    pub fn judges_groups(&self) -> bool {
        self.0.load().judges_groups
    }

    /// All rules.
    pub fn rules(&self) -> Vec<Rule> {
        self.0.load().rules.clone()
    }

    fn read(documents: &Documents) -> Shared {
        let rules = documents.all_in_force(Database::Rules).into_iter().filter_map(understood).collect();
        let services = [settings::Service::Guardian, settings::Service::Scaler];
        let of = |service: settings::Service| documents.in_force(Database::Services, service.name()).and_then(understood);
        let mut services: Vec<Service> = services.into_iter().filter_map(of).collect();
        for service in &mut services {
            service.heartbeat = None;
            service.heartbeat_human = Value::Null;
        }
        let guardian = services.iter().find(|service| service.name == settings::Service::Guardian.name());
        let guardian = guardian.and_then(|document| settings::Guardian::read(&document.config).ok());
        let judges_groups = guardian.is_some_and(|guardian| guardian.guards == settings::Guards::Applications);
        Shared { rules, services, judges_groups }
    }

    /// Reads them again; whether something changed.
    fn refresh(&self, documents: &Documents) -> bool {
        let new = Self::read(documents);
        let changed = **self.0.load() != new;
        if changed {
            self.0.store(Arc::new(new));
        }
        changed
    }
}

/// A document, if it can be understood; one that cannot is reported where it is read first, and was never sound if it comes here.
fn understood<T: DeserializeOwned>(body: Body) -> Option<T> {
    serde_json::from_value(Value::Object(body)).ok()
}

/// What a host is to do now.
pub fn build(central: &Central, host: &str) -> Orders {
    let (documents, fleet) = (&central.documents, &central.fleet);
    let common = central.common.0.load();
    let mut orders = Orders { rules: common.rules.clone(), services: common.services.clone(), ..Orders::default() };
    let names = fleet.host(host).map(|host| host.containers).unwrap_or_default();
    for name in names.iter().filter(|name| fleet.owner(name).is_some_and(|owner| *owner == *host)) {
        let Some(body) = documents.in_force(Database::Structures, name) else { continue };
        if body.get("subtype").is_some_and(|subtype| subtype != "container") || body.get("host").is_some_and(|of| of != host) {
            continue;
        }
        let Some(mut container) = container(body) else { continue };
        if common.judges_groups {
            central.guardian.bound(central, &mut container);
        }
        orders.structures.push(container);
        orders.limits.extend(documents.in_force(Database::Limits, name).and_then(limits));
    }
    orders.host_max = host_max(documents, host);
    orders.sets = fleet.sets(host);
    orders.requests = fleet.requests(host);
    orders.wants_counted = central.raw_feed.is_some();
    orders.revision = revision(&orders);
    orders
}

/// A container's document, without what agents own in it.
fn container(body: Body) -> Option<Container> {
    let mut container: Container = understood(body)?;
    for (_, amounts) in container.resources.known.iter_mut() {
        if let Some(amounts) = amounts {
            (amounts.current, amounts.usage) = (None, None);
        }
    }
    Some(container)
}

/// A limits document, without what agents own in it.
fn limits(body: Body) -> Option<Limits> {
    let mut limits: Limits = understood(body)?;
    for (_, of) in limits.resources.known.iter_mut() {
        if let Some(of) = of {
            (of.upper, of.lower) = (None, None);
        }
    }
    Some(limits)
}

/// What a subscribed host may give out. That of one which was only discovered is what it said itself.
fn host_max(documents: &Documents, host: &str) -> ByResource<Most> {
    let mut most = ByResource::default();
    let body = documents.in_force(Database::Structures, host).filter(|body| body.get("discovered").is_none_or(|is| *is != true));
    for (resource, capacity) in body.and_then(understood::<Host>).iter().flat_map(|host| host.resources.known.present()) {
        most.known[resource] = capacity.max.map(Most);
    }
    most
}

fn revision(orders: &Orders) -> String {
    let digest = Sha256::digest(serde_json::to_vec(orders).unwrap_or_default());
    let first = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    format!("{first:016x}")
}

/// What an agent asks for.
#[derive(Deserialize)]
pub(super) struct Asked {
    host: String,
    instance: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    wait: f64,
}

/// Answers as soon as there is something newer than the revision that the agent has: most wait for that, at the connection.
pub(super) async fn give(
    State(central): State<Central>,
    Extension(caller): Extension<Caller>,
    until: Option<Extension<Until>>,
    Query(asked): Query<Asked>,
) -> Result<Response, Answer> {
    if !caller.is_agent_of(&asked.host) {
        let message = format!("the token of {:?} is not good for host {:?}", caller.name(), asked.host);
        return Err(Answer::new(StatusCode::FORBIDDEN, message));
    }
    central.fleet.may_speak_for(&asked.host, &asked.instance)?;
    // Before it is looked: what changes from now on is news.
    let news = central.fleet.touched(&asked.host);
    central.may_take()?;
    if let Some(answer) = newer(&central, &asked) {
        return Ok(answer);
    }
    let wait = Duration::try_from_secs_f64(asked.wait.min(LONGEST_WAIT)).unwrap_or_default();
    let until = until.map_or_else(|| Instant::now() + wait, |Extension(Until(until))| until);
    let mut nothing = StatusCode::NO_CONTENT.into_response();
    if Instant::now() < until {
        nothing.extensions_mut().insert(Later { news, until });
    }
    Ok(nothing)
}

/// Orders that the agent does not have yet.
fn newer(central: &Central, asked: &Asked) -> Option<Response> {
    // A central that does not know yet what the host carries has no better orders for it than those that it has.
    if !asked.after.is_empty() && central.fleet.host(&asked.host).is_none() {
        return None;
    }
    let mut orders = build(central, &asked.host);
    (orders.revision != asked.after).then(|| {
        central.fleet.give_requests(&mut orders.requests, wall());
        json(StatusCode::OK, &orders)
    })
}

/// What orders took of documents when these changed last: which, and what, as hashes, since a fleet has tens of thousands. Most changes are of
/// what agents own in them, which is no news to any host: looking at one document here spares looking at all of a host's.
#[derive(Debug, Default)]
struct Told(HashMap<u64, u64>);

impl Told {
    fn is_news(&mut self, documents: &Documents, Changed { database, name }: &Changed) -> bool {
        let which = hash(&(database, name));
        let Some(body) = documents.in_force(*database, name) else {
            self.0.remove(&which);
            return true;
        };
        let taken = match (database, body.get("subtype").and_then(Value::as_str)) {
            (Database::Structures, Some("host")) => serde_json::to_vec(&host_max(documents, name)),
            (Database::Structures, _) => serde_json::to_vec(&container(body)),
            _ => serde_json::to_vec(&limits(body)),
        };
        // With the name: also of two documents with one hash, what is taken differs.
        let what = hash(&(name, taken.unwrap_or_default()));
        self.0.insert(which, what) != Some(what)
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Tells those who wait when a document changes, for ever.
pub async fn follow(central: Central) {
    let mut changes = central.documents.subscribe();
    let mut told = Told::default();
    loop {
        match changes.recv().await {
            Ok(changed) => match changed.database {
                Database::Structures | Database::Limits => {
                    let host = central.fleet.owner(&changed.name).unwrap_or_else(|| Arc::clone(&changed.name));
                    if told.is_news(&central.documents, &changed) {
                        central.fleet.touch(&host);
                    }
                }
                Database::Rules | Database::Services => {
                    if central.common.refresh(&central.documents) {
                        central.fleet.touch_all();
                    }
                }
                Database::Users | Database::Events | Database::Requests | Database::Centrals => {}
            },
            Err(RecvError::Lagged(_)) => {
                told = Told::default();
                central.common.refresh(&central.documents);
                central.fleet.touch_all();
            }
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Sqlite;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_agents_own_is_no_news_and_what_people_set_is() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(&directory.path().join("state.db")).unwrap());
        let documents = Documents::open(store).await.unwrap();
        let container =
            json!({"subtype": "container", "name": "c", "host": "h", "resources": {"cpu": {"max": 200, "current": 100}}});
        let limit = json!({"name": "c", "resources": {"cpu": {"upper": 75, "boundary": 10}}});
        let host = json!({"subtype": "host", "name": "h", "resources": {"cpu": {"max": 400, "free": 200}}});
        let (structures, limits) = (Database::Structures, Database::Limits);
        for (database, name, document) in [(structures, "c", container), (limits, "c", limit), (structures, "h", host)] {
            documents.create(database, name, document.as_object().unwrap().clone()).await.unwrap();
        }
        let mut told = Told::default();
        let mut set = async |database, name: &str, key: &'static str, value: u32| {
            let change = |body: &mut Body| {
                body["resources"]["cpu"][key] = value.into();
                Ok(())
            };
            documents.edit(database, name, change).await.unwrap();
            told.is_news(&documents, &Changed { database, name: name.into() })
        };
        let table = [
            (structures, "c", "current", 90, true),
            (structures, "c", "current", 80, false),
            (structures, "c", "max", 150, true),
            (structures, "c", "usage", 10, false),
            (limits, "c", "boundary", 20, true),
            (limits, "c", "upper", 50, false),
            (structures, "h", "free", 100, true),
            (structures, "h", "free", 50, false),
            (structures, "h", "max", 300, true),
        ];
        for (n, (database, name, key, value, is_news)) in table.into_iter().enumerate() {
            assert_eq!(set(database, name, key, value).await, is_news, "{n}: {key}; of each document the first is always news");
        }
    }
}
