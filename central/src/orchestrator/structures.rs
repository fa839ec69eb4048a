//! `/structure/`: containers, applications and hosts; whether they are guarded, their bounds and their state.

use axum::extract::State;
use axum::http::StatusCode;
use headroom_model::resource::Resource;
use serde_json::{Map, Value};

use super::ask::{Asker, At, Fields, NoBody};
use super::fields::{amount, count, entry, no_resource, resources as resource_names};
use super::hosts::DISCOVERED;
use super::{Reply, lists, live};
use crate::answer::{Answer, json};
use crate::central::Central;
use crate::store::{Body, Database};

/// What a structure may be doing.
const STATES: [&str; 4] = ["running", "stopped", "hdfs_downloading", "hdfs_uploading"];

/// `GET /structure/`
pub(super) async fn list(State(central): State<Central>) -> Reply {
    lists::whole(central, Database::Structures, live::over_structure).await
}

/// `GET /structure/{name}`
pub(super) async fn one(State(central): State<Central>, At(name): At<String>) -> Reply {
    Ok(json(StatusCode::OK, &found(&central, &name)?))
}

/// `GET /structure/{name}/resources`
pub(super) async fn resources(State(central): State<Central>, At(name): At<String>) -> Reply {
    let body = found(&central, &name)?;
    let resources = body.get("resources").ok_or_else(|| Answer::missing(format!("{name:?} has no resources")))?;
    Ok(json(StatusCode::OK, resources))
}

/// `GET /structure/{name}/resources/{resource}`
pub(super) async fn resource(State(central): State<Central>, At((name, resource)): At<(String, String)>) -> Reply {
    show_resource(&central, &name, &resource)
}

/// A resource of this name, should there be one.
pub(super) async fn resource_called_guard(State(central): State<Central>, At(name): At<String>) -> Reply {
    show_resource(&central, &name, "guard")
}

/// A resource of this name, should there be one.
pub(super) async fn resource_called_unguard(State(central): State<Central>, At(name): At<String>) -> Reply {
    show_resource(&central, &name, "unguard")
}

/// `GET /structure/{name}/resources/{resource}/{parameter}`
pub(super) async fn parameter(
    State(central): State<Central>,
    At((name, resource, parameter)): At<(String, String, String)>,
) -> Reply {
    show_parameter(&central, &name, &resource, &parameter)
}

/// `GET /structure/{name}/resources/{resource}/guard`
pub(super) async fn parameter_called_guard(State(central): State<Central>, At((name, resource)): At<(String, String)>) -> Reply {
    show_parameter(&central, &name, &resource, "guard")
}

/// A parameter of this name, should there be one.
pub(super) async fn parameter_called_unguard(
    State(central): State<Central>,
    At((name, resource)): At<(String, String)>,
) -> Reply {
    show_parameter(&central, &name, &resource, "unguard")
}

fn show_resource(central: &Central, name: &str, resource: &str) -> Reply {
    let body = found(central, name)?;
    let found = body.get("resources").and_then(|resources| resources.get(resource));
    found.map(|entry| json(StatusCode::OK, entry)).ok_or_else(|| no_resource(name, resource))
}

fn show_parameter(central: &Central, name: &str, resource: &str, parameter: &str) -> Reply {
    let body = found(central, name)?;
    let entry = body.get("resources").and_then(|resources| resources.get(resource));
    let entry = entry.ok_or_else(|| no_resource(name, resource))?;
    let found = entry.get(parameter).map(|value| json(StatusCode::OK, value));
    found.ok_or_else(|| Answer::missing(format!("{resource} of {name:?} has no {parameter:?}")))
}

/// A structure's document with what is reported now.
pub(super) fn found(central: &Central, name: &str) -> Result<Body, Answer> {
    let mut body = central.documents.body(Database::Structures, name).ok_or_else(|| no_structure(name))?;
    live::over_structure(central, &mut body);
    Ok(body)
}

pub(super) fn no_structure(name: &str) -> Answer {
    Answer::missing(format!("there is no structure {name:?}"))
}

/// `PUT /structure/{name}/resources/{resource}/{parameter}` with `{"value": n}`
pub(super) async fn set_parameter(
    asker: Asker,
    At((name, resource, parameter)): At<(String, String, String)>,
    fields: Fields,
) -> Reply {
    let value = fields.value()?;
    let called = format!("{resource}.{parameter}");
    let value: Value = match parameter.as_str() {
        "max" | "min" => count(&called, value)?.into(),
        "weight" => headroom_model::number::plain(amount(&called, value)?),
        _ => return Err(Answer::bad(format!("{parameter:?} cannot be set; expected max, min or weight"))),
    };
    let set = |body: &mut Body| {
        if is_host(body) && parameter != "max" {
            return Err(Answer::bad(format!("{name:?} is a host, which has no {parameter}; expected max")));
        }
        entry_of(body, &name, &resource)?.insert(parameter.clone(), value.clone());
        if is_host(body) {
            // Somebody has said how much it may give out: that is no longer what it said itself.
            body.remove(DISCOVERED);
        }
        Ok(())
    };
    asker.central.documents.edit(Database::Structures, &name, set).await?;
    Ok(asker.did_to(&name, format!("{called} = {value}")))
}

/// `PUT /structure/{name}/guard`
pub(super) async fn guard(asker: Asker, At(name): At<String>, _: NoBody) -> Reply {
    set_guard(asker, &name, true).await
}

/// `PUT /structure/{name}/unguard`
pub(super) async fn unguard(asker: Asker, At(name): At<String>, _: NoBody) -> Reply {
    set_guard(asker, &name, false).await
}

async fn set_guard(asker: Asker, name: &str, guard: bool) -> Reply {
    let set = |body: &mut Body| {
        check_guardable(name, body)?;
        body.insert("guard".into(), guard.into());
        Ok(())
    };
    asker.central.documents.edit(Database::Structures, name, set).await?;
    Ok(asker.did_to(name, if guard { "guarded" } else { "unguarded" }.to_owned()))
}

/// `PUT /structure/{name}/resources/{resource}/guard`
pub(super) async fn guard_one(asker: Asker, At((name, resource)): At<(String, String)>, _: NoBody) -> Reply {
    guard_resources(asker, &name, &[resource], true).await
}

/// `PUT /structure/{name}/resources/{resource}/unguard`
pub(super) async fn unguard_one(asker: Asker, At((name, resource)): At<(String, String)>, _: NoBody) -> Reply {
    guard_resources(asker, &name, &[resource], false).await
}

/// `PUT /structure/{name}/resources/guard` with `{"resources": ["cpu", "mem"]}`
pub(super) async fn guard_several(asker: Asker, At(name): At<String>, fields: Fields) -> Reply {
    guard_resources(asker, &name, &named(&fields)?, true).await
}

/// `PUT /structure/{name}/resources/unguard` with `{"resources": "cpu"}`
pub(super) async fn unguard_several(asker: Asker, At(name): At<String>, fields: Fields) -> Reply {
    guard_resources(asker, &name, &named(&fields)?, false).await
}

fn named(fields: &Fields) -> Result<Vec<String>, Answer> {
    let resources = resource_names("resources", fields.get("resources")?)?;
    Ok(resources.into_iter().map(|resource| resource.key().to_owned()).collect())
}

/// All of them, or none.
async fn guard_resources(asker: Asker, name: &str, resources: &[String], guard: bool) -> Reply {
    let set = |body: &mut Body| {
        check_guardable(name, body)?;
        for resource in resources {
            entry_of(body, name, resource)?.insert("guard".into(), guard.into());
        }
        Ok(())
    };
    asker.central.documents.edit(Database::Structures, name, set).await?;
    let how = if guard { "guarded" } else { "unguarded" };
    Ok(asker.did_to(name, format!("{} {how}", resources.join(", "))))
}

/// The entry of a resource. The disk by which reads and writes go has an entry too, but no bounds and nothing to guard.
fn entry_of<'a>(body: &'a mut Body, name: &str, resource: &str) -> Result<&'a mut Map<String, Value>, Answer> {
    resource.parse::<Resource>().map_err(|_unknown| no_resource(name, resource))?;
    entry(body, name, resource)
}

/// `PUT /structure/{name}/state/{state}`
pub(super) async fn state(asker: Asker, At((name, state)): At<(String, String)>, _: NoBody) -> Reply {
    let state = state.to_lowercase();
    if !STATES.contains(&state.as_str()) {
        return Err(Answer::bad(format!("{state:?} is no state; expected {}", STATES.join(", "))));
    }
    let set = |body: &mut Body| {
        body.insert("state".into(), state.as_str().into());
        Ok(())
    };
    asker.central.documents.edit(Database::Structures, &name, set).await?;
    Ok(asker.did_to(&name, format!("state = {state}")))
}

pub(super) fn is_host(body: &Body) -> bool {
    body.get("subtype").is_some_and(|subtype| subtype == "host")
}

fn check_guardable(name: &str, body: &Body) -> Result<(), Answer> {
    if is_host(body) {
        return Err(Answer::bad(format!("{name:?} is a host; containers and applications are guarded")));
    }
    Ok(())
}
