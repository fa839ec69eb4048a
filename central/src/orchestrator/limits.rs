//! `/structure/{name}/limits`: boundaries.

use axum::extract::State;
use axum::http::StatusCode;
use headroom_model::number::lenient;
use headroom_model::policy::thresholds::{Boundary, BoundaryType};
use headroom_model::resource::Resource;
use serde_json::{Map, Value, json};

use super::ask::{Asker, At, Fields};
use super::fields::{amount, no_resource, number, object, set, text};
use super::structures::no_structure;
use super::{Reply, live};
use crate::answer::{Answer, json};
use crate::central::Central;
use crate::documents::Documents;
use crate::store::{Body, Database};

/// `GET /structure/{name}/limits`
pub(super) async fn all(State(central): State<Central>, At(name): At<String>) -> Reply {
    Ok(json(StatusCode::OK, &resources(&central, &name)?))
}

/// `GET /structure/{name}/limits/{resource}`
pub(super) async fn one(State(central): State<Central>, At((name, resource)): At<(String, String)>) -> Reply {
    let resources = resources(&central, &name)?;
    let found = resources.get(&resource).map(|entry| json(StatusCode::OK, entry));
    found.ok_or_else(|| Answer::missing(format!("{name:?} has no limits of {resource:?}")))
}

fn resources(central: &Central, name: &str) -> Result<Value, Answer> {
    let Some(mut body) = central.documents.body(Database::Limits, name) else {
        let is_there = central.documents.has(Database::Structures, name);
        return Err(if is_there { Answer::missing(format!("{name:?} has no limits")) } else { no_structure(name) });
    };
    live::over_limits(central, name, &mut body);
    Ok(body.remove("resources").unwrap_or_else(|| json!({})))
}

/// `PUT /structure/{name}/limits/{resource}/boundary` with `{"value": n}`
pub(super) async fn boundary(asker: Asker, At((name, resource)): At<(String, String)>, fields: Fields) -> Reply {
    let value = amount("boundary", fields.value()?)?;
    let change = |entry: &mut Map<String, Value>, max: f64| {
        let kind = kind(entry)?;
        Boundary { value, kind }.check(max).map_err(|e| Answer::bad(e.to_string()))?;
        set(entry, "boundary", value);
        Ok(())
    };
    edit(&asker.central.documents, &name, &resource, change).await?;
    Ok(asker.did_to(&name, format!("{resource}.boundary = {value}")))
}

/// `PUT /structure/{name}/limits/{resource}/boundary_type` with `{"value": "percentage_of_max"}`
pub(super) async fn boundary_type(asker: Asker, At((name, resource)): At<(String, String)>, fields: Fields) -> Reply {
    let kind: BoundaryType =
        text("boundary_type", fields.value()?)?.parse().map_err(|e| Answer::bad(format!("boundary_type: {e}")))?;
    let change = |entry: &mut Map<String, Value>, max: f64| {
        if let Some(value) = number(entry, "boundary") {
            Boundary { value, kind }.check(max).map_err(|e| Answer::bad(e.to_string()))?;
        }
        entry.insert("boundary_type".into(), kind.key().into());
        Ok(())
    };
    edit(&asker.central.documents, &name, &resource, change).await?;
    Ok(asker.did_to(&name, format!("{resource}.boundary_type = {kind}")))
}

fn kind(entry: &Map<String, Value>) -> Result<BoundaryType, Answer> {
    match entry.get("boundary_type").and_then(Value::as_str).map(str::trim) {
        None | Some("") => Ok(BoundaryType::default()),
        Some(name) => name.parse().map_err(|e| Answer::bad(format!("in the document: {e}"))),
    }
}

/// Changes the limits of one resource of a structure that has it; the change is told the structure's `max` of it.
async fn edit(
    documents: &Documents,
    name: &str,
    resource: &str,
    change: impl Fn(&mut Map<String, Value>, f64) -> Result<(), Answer> + Send + Sync,
) -> Result<(), Answer> {
    let structure = documents.body(Database::Structures, name).ok_or_else(|| no_structure(name))?;
    let amounts = structure.get("resources").and_then(|resources| resources.get(resource));
    let max = amounts.and_then(|amounts| amounts.get("max")).and_then(lenient).unwrap_or(f64::INFINITY);
    let is_known = amounts.is_some() && resource.parse::<Resource>().is_ok();
    if !is_known && !documents.has(Database::Limits, name) {
        return Err(no_resource(name, resource));
    }
    let set = |body: &mut Body| {
        let resources = object(body, "resources")?;
        if !is_known && !resources.contains_key(resource) {
            return Err(no_resource(name, resource));
        }
        let entry = resources.entry(resource).or_insert_with(|| json!({}));
        let shown = entry.to_string();
        let expected = || Answer::bad(format!("the limits of {resource} are {shown}; expected an object"));
        change(entry.as_object_mut().ok_or_else(expected)?, max)
    };
    match documents.edit(Database::Limits, name, set).await {
        Err(answer) if answer.status == StatusCode::NOT_FOUND && is_known && !documents.has(Database::Limits, name) => {
            // The structure came without limits.
            let mut body = Body::from_iter([("type".into(), "limit".into()), ("name".into(), name.into())]);
            set(&mut body)?;
            documents.create(Database::Limits, name, body).await
        }
        outcome => outcome,
    }
}
