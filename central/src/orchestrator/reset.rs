//! `PUT /structure/{name}/reset`: limits back to the structure's `max`, at once. Ours: it is no path of the earlier framework's.

use std::collections::BTreeMap;

use headroom_model::limit::Limit;
use headroom_model::number::lenient;
use headroom_model::resource::Resource;
use serde_json::Value;

use super::Reply;
use super::ask::{Asker, At, NoBody};
use super::members::names;
use super::structures::no_structure;
use crate::answer::Answer;
use crate::central::Central;
use crate::fleet::Live;
use crate::store::{Body, Database};

type Sets = Vec<(String, Resource, Limit)>;

/// Sets each limit that is in force and has a `max`; of an application, those of its containers. Answered when the agents have done it.
pub(super) async fn reset(asker: Asker, At(name): At<String>, _: NoBody) -> Reply {
    let body = asker.central.documents.body(Database::Structures, &name).ok_or_else(|| no_structure(&name))?;
    let mut by_host: BTreeMap<String, Sets> = BTreeMap::new();
    match body.get("subtype").and_then(Value::as_str) {
        Some("host") => return Err(Answer::bad(format!("{name:?} is a host; containers and applications have limits"))),
        Some("application") => {
            for container in names(&body, "containers") {
                add(&asker.central, container, &mut by_host)?;
            }
        }
        _ => add(&asker.central, &name, &mut by_host)?,
    }
    for (host, sets) in by_host {
        asker.central.set_limits(&host, sets).await?;
    }
    Ok(asker.did_to(&name, "limits reset to max".to_owned()))
}

fn add(central: &Central, container: &str, by_host: &mut BTreeMap<String, Sets>) -> Result<(), Answer> {
    let body = central.documents.body(Database::Structures, container).ok_or_else(|| no_structure(container))?;
    let live = central.fleet.live(container).filter(|live| live.quiet_since.is_none());
    let live =
        live.ok_or_else(|| Answer::unavailable(format!("no host reports container {container:?} now; nothing was set")))?;
    let sets = to_max(container, &body, &live);
    if !sets.is_empty() {
        by_host.entry(live.host.to_string()).or_default().extend(sets);
    }
    Ok(())
}

/// What has no limit is not given one.
fn to_max(container: &str, body: &Body, live: &Live) -> Sets {
    let max = |resource: Resource| body.get("resources")?.get(resource.key())?.get("max").and_then(lenient);
    let is_limited = |resource: Resource| live.resources[resource].as_ref().is_some_and(|now| now.current != Limit::Unlimited);
    let set = |resource| Some((container.to_owned(), resource, Limit::At(max(resource)?)));
    Resource::ALL.into_iter().filter(|resource| is_limited(*resource)).filter_map(set).collect()
}
