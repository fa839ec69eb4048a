//! The requests that somebody left, each on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headroom_model::number;
use headroom_model::policy::request::Request;
use headroom_model::wire::{Asked, RequestDone};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::place::{Next, Place, next};
use super::{STATE, history, intake, is_settled};
use crate::answer::Answer;
use crate::central::{Central, wall};
use crate::store::{Body, Database};

/// Who holds it sees to the requests of which no host reports the structure.
const LEASE: &str = "requests";

/// Refused ones that are kept.
const MOST_REFUSED: usize = 200;

/// How long an agent has to answer beyond the request timeout, in s: it times requests out by itself.
const GRACE: f64 = 10.0;

/// How long an answer is waited for of which nobody knows whether it will come, in s.
const LATE: f64 = 3600.0;

/// Every request that is not settled, by the id under which agents know it.
pub(super) struct Inbox {
    told: UnboundedSender<RequestDone>,
    open: BTreeMap<String, Open>,
}

/// One request.
struct Open {
    /// Its document's.
    name: String,
    body: Body,
    /// None: it makes no sense.
    request: Option<Request>,
    stage: Stage,
    /// When it was seen first: seconds since the epoch.
    since: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// Nobody has been asked.
    Waits,
    /// A host's agent was asked.
    Asked(Arc<str>),
    /// What became of it is to be written down.
    Settles(Outcome),
    /// It was refused since nobody knows what became of it. Its agent may still say.
    Lost,
}

#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    /// It was carried out; the structure's `max` is another now.
    Done { max: Option<f64> },
    /// It was not, for this reason. Whether its agent may still say otherwise.
    Refused { reason: String, is_lost: bool },
}

fn refused(reason: impl Into<String>) -> Stage {
    Stage::Settles(Outcome::Refused { reason: reason.into(), is_lost: false })
}

impl Inbox {
    /// What became of requests is told there.
    pub(super) fn new(told: UnboundedSender<RequestDone>) -> Self {
        Self { told, open: BTreeMap::new() }
    }

    /// Takes over what is there now, and finds out what is to be done with each.
    pub(super) fn look(&mut self, central: &Central, timeout: f64) {
        let now = wall();
        self.read(central, now);
        self.hand_out(central, now, timeout);
        self.time_out(central, now, timeout);
    }

    fn read(&mut self, central: &Central, now: f64) {
        let mut there = BTreeSet::new();
        for name in central.documents.names(Database::Requests).into_iter().filter(|name| !history::is_kept_here(name)) {
            let Some((rev, body)) = central.documents.version(Database::Requests, &name) else { continue };
            let id = format!("{name}@{}", rev.0);
            let is_over = self.open.get(&id).is_some_and(|open| matches!(open.stage, Stage::Settles(_) | Stage::Lost));
            if !is_over && !is_here(central, &body) {
                continue;
            }
            if !is_settled(&body) && !self.open.contains_key(&id) {
                let (request, stage) = match intake::read(&body, now) {
                    Ok(request) => (Some(request), Stage::Waits),
                    Err(why) => (None, refused(why)),
                };
                self.open.insert(id.clone(), Open { name, body, request, stage, since: now });
            }
            there.insert(id);
        }
        // Somebody took it back, or made another one of it, or its host reports to another central now.
        let is_there = |id: &String, open: &Open| match open.stage {
            Stage::Lost => now - open.since < LATE,
            _ => there.contains(id),
        };
        self.open.retain(|id, open| {
            let stays = is_there(id, open);
            if !stays {
                central.fleet.forget_request(id);
            }
            stays
        });
    }

    /// Passes on to agents what can be.
    fn hand_out(&mut self, central: &Central, now: f64, timeout: f64) {
        let place = |structure: &str| place(central, structure);
        let mut stages: Vec<(String, Stage)> = Vec::new();
        let mut asked: BTreeMap<Arc<str>, Vec<(Asked, f64)>> = BTreeMap::new();
        for (id, request) in self.waiting() {
            let age = now - request.timestamp;
            let has_partner = self.waiting().any(|(_, other)| request.pairs_with(other));
            match next(request, has_partner, place) {
                Next::Refuse(why) => stages.push((id.clone(), refused(why))),
                next if age > timeout => {
                    let why = if let Next::Wait(why) = next { why + "; " } else { String::new() };
                    let reason = format!("{why}it is {age:.1} s old, and the Scaler's REQUEST_TIMEOUT is {timeout} s");
                    stages.push((id.clone(), refused(reason)));
                }
                Next::Wait(_) => {}
                Next::Ask(host) => {
                    asked.entry(Arc::clone(&host)).or_default().push((told(id, request), request.timestamp));
                    stages.push((id.clone(), Stage::Asked(host)));
                }
            }
        }
        for (id, stage) in stages {
            if let Some(open) = self.open.get_mut(&id) {
                open.stage = stage;
            }
        }
        for (host, requests) in asked {
            central.fleet.request(&host, requests, &self.told);
        }
    }

    fn waiting(&self) -> impl Iterator<Item = (&String, &Request)> {
        let waiting = self.open.iter().filter(|(_, open)| open.stage == Stage::Waits);
        waiting.filter_map(|(id, open)| Some((id, open.request.as_ref()?)))
    }

    /// Gives up those whose agents have not answered.
    fn time_out(&mut self, central: &Central, now: f64, timeout: f64) {
        for (id, open) in &mut self.open {
            let Stage::Asked(host) = &open.stage else { continue };
            let age = now - open.request.as_ref().map_or(open.since, |request| request.timestamp);
            if age <= timeout + GRACE {
                continue;
            }
            let is_lost = !central.fleet.take_request_back(id);
            let why = if is_lost {
                "was given it and has not answered: whether it was carried out is not known"
            } else {
                "has not asked for its orders"
            };
            let reason = format!("host {host:?} {why}; it is {age:.1} s old, and the Scaler's REQUEST_TIMEOUT is {timeout} s");
            open.stage = Stage::Settles(Outcome::Refused { reason, is_lost });
        }
    }

    /// An agent says what became of one.
    pub(super) fn answered(&mut self, done: RequestDone) {
        if let Some(open) = self.open.get_mut(&done.id) {
            let RequestDone { limits, max, reason, .. } = done;
            let reason = reason.unwrap_or_else(|| "its agent does not say why".to_owned());
            open.stage = if limits.is_some() { Stage::Settles(Outcome::Done { max }) } else { refused(reason) };
        }
    }

    /// Writes down what became of those that are over. What cannot be written is tried again the next time.
    pub(super) async fn settle(&mut self, central: &Central) {
        let over: Vec<String> =
            self.open.iter().filter(|(_, open)| matches!(open.stage, Stage::Settles(_))).map(|(id, _)| id.clone()).collect();
        let has_refused = !over.is_empty();
        for id in over {
            let Some(open) = self.open.get_mut(&id) else { continue };
            let Stage::Settles(outcome) = &open.stage else { continue };
            let written = match outcome {
                Outcome::Done { max } => finish(central, open, *max).await,
                Outcome::Refused { reason, .. } => refuse(central, open, reason).await,
            };
            match written {
                Err(why) => tracing::warn!(request = open.name, "what became of it is not written down yet: {why}"),
                Ok(()) if matches!(outcome, Outcome::Refused { is_lost: true, .. }) => open.stage = Stage::Lost,
                Ok(()) => {
                    central.fleet.forget_request(&id);
                    self.open.remove(&id);
                }
            }
        }
        if has_refused {
            forget_oldest(central).await;
        }
    }
}

fn told(id: &str, request: &Request) -> Asked {
    Asked {
        id: id.to_owned(),
        structure: request.structure.to_string(),
        resource: request.resource,
        field: request.field,
        amount: request.amount,
        priority: request.priority,
        pair: request.pair.as_deref().map(str::to_owned),
        age: 0.0,
    }
}

/// Whether a request is this central's to see to: that to which its structure's host reports, else the one that holds the lease.
fn is_here(central: &Central, body: &Body) -> bool {
    let structure = body.get("structure").and_then(Value::as_str).unwrap_or_default();
    match central.fleet.live(structure).filter(|live| live.quiet_since.is_none()) {
        Some(live) => central.fleet.via(&live.host).is_none(),
        None => central.leases.held(LEASE).is_some(),
    }
}

fn place(central: &Central, structure: &str) -> Place {
    let Some(body) = central.documents.in_force(Database::Structures, structure) else { return Place::Unknown };
    match body.get("subtype").and_then(Value::as_str) {
        Some("container") | None => {}
        Some(other) => return Place::NoContainer(other.to_owned()),
    }
    match central.fleet.live(structure) {
        None => Place::Nowhere,
        Some(live) if live.quiet_since.is_some() => Place::Quiet(live.host),
        Some(live) => Place::On(live.host),
    }
}

/// It was carried out: a new `max` goes into the structure's document, and the request away.
async fn finish(central: &Central, open: &Open, max: Option<f64>) -> Result<(), Answer> {
    if let (Some(max), Some(request)) = (max, &open.request) {
        let (structure, resource) = (&*request.structure, request.resource);
        let set = |body: &mut Body| {
            let entry = body.get_mut("resources").and_then(|resources| resources.get_mut(resource.key()));
            if let Some(entry) = entry.and_then(Value::as_object_mut)
                && entry.get("max").and_then(number::lenient) != Some(max)
            {
                entry.insert("max".into(), number::plain(max));
            }
            Ok(())
        };
        match central.documents.edit(Database::Structures, structure, set).await {
            Err(answer) if answer.status != 404 => return Err(answer),
            _ => {}
        }
        central.audit.changed_structure(&format!("request {}", open.name), structure, format!("{resource}.max = {max}"));
    }
    // What somebody has made of it meanwhile is another request.
    let is_it = |body: Body| body == open.body || is_settled(&body);
    if !central.documents.body(Database::Requests, &open.name).is_some_and(is_it) {
        return Ok(());
    }
    match central.documents.remove(Database::Requests, &open.name).await {
        Err(answer) if answer.status != 404 => Err(answer),
        _ => Ok(()),
    }
}

/// It was not: the reason goes into it.
async fn refuse(central: &Central, open: &Open, reason: &str) -> Result<(), Answer> {
    let now = number::rounded(wall(), 3);
    let set = |body: &mut Body| {
        if *body == open.body || is_settled(body) {
            body.insert(STATE.into(), "refused".into());
            body.insert("reason".into(), reason.into());
            body.insert("refused_at".into(), number::plain(now));
        }
        Ok(())
    };
    match central.documents.edit(Database::Requests, &open.name, set).await {
        Err(answer) if answer.status != 404 => return Err(answer),
        _ => {}
    }
    let structure = open.request.as_ref().map(|request| &*request.structure);
    let what = format!("request {} refused: {reason}", open.name);
    match structure {
        Some(structure) => central.audit.changed_structure("central", structure, what),
        None => central.audit.changed("central", what),
    }
    Ok(())
}

/// Refused ones are kept for whoever looks, but not all of them for ever.
async fn forget_oldest(central: &Central) {
    let mut refused: Vec<(f64, String)> = Vec::new();
    for name in central.documents.names(Database::Requests) {
        let body = central.documents.body(Database::Requests, &name);
        let at = body.filter(|body| body.get(STATE).is_some_and(|state| state == "refused"));
        refused.extend(at.map(|body| (body.get("refused_at").and_then(number::lenient).unwrap_or(0.0), name)));
    }
    refused.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    for (_, name) in refused.into_iter().skip(MOST_REFUSED) {
        if let Err(why) = central.documents.remove(Database::Requests, &name).await
            && why.status != 404
        {
            tracing::warn!(request = name, "an old one stays: {why}");
        }
    }
}
