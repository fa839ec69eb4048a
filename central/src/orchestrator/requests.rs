//! `/request/`: requests that somebody has left, and what agents asked for of late. Ours: the earlier framework has no path for them.

use axum::extract::State;
use axum::http::StatusCode;
use headroom_model::number;
use headroom_model::policy::request::Request;
use serde_json::Value;

use super::ask::{Asker, At, Fields, NoBody};
use super::{Reply, fields};
use crate::answer::{Answer, json};
use crate::central::{Central, wall};
use crate::requests::intake;
use crate::store::{Body, Database};

/// `GET /request/`
pub(super) async fn list(State(central): State<Central>) -> Reply {
    let names = central.documents.names(Database::Requests);
    let all: Vec<Body> = names.iter().filter_map(|id| shown(&central, id)).collect();
    Ok(json(StatusCode::OK, &all))
}

/// `GET /request/{id}`
pub(super) async fn one(State(central): State<Central>, At(id): At<String>) -> Reply {
    let body = shown(&central, &id)
        .ok_or_else(|| Answer::missing(format!("there is no request {id:?}: it was carried out, or never made")))?;
    Ok(json(StatusCode::OK, &body))
}

/// Requests are found by their ids, which are not in them.
fn shown(central: &Central, id: &str) -> Option<Body> {
    let mut body = central.documents.body(Database::Requests, id)?;
    body.insert("id".into(), id.into());
    Some(body)
}

/// `PUT /request/{id}`: as if it had been put into the State Database.
pub(super) async fn make(asker: Asker, At(id): At<String>, Fields(fields): Fields) -> Reply {
    fields::check_name(&id)?;
    let now = wall();
    let request = intake::read(&fields, now).map_err(Answer::bad)?;
    let mut body = fields;
    // What of it is ours to say.
    for ours in ["id", "state", "reason", "refused_at"] {
        body.remove(ours);
    }
    body.insert("type".into(), "request".into());
    body.insert("action".into(), request.action().into());
    body.insert("timestamp".into(), number::plain(number::rounded(request.timestamp, 3)));
    asker.central.documents.create(Database::Requests, &id, body).await?;
    let Request { structure, resource, amount, .. } = &request;
    Ok(asker.did_to(structure, format!("request {id}: {resource} by {}", Value::from(*amount))))
}

/// `DELETE /request/{id}`: one that is on its way to its agent may be carried out all the same.
pub(super) async fn remove(asker: Asker, At(id): At<String>, _: NoBody) -> Reply {
    asker.central.documents.remove(Database::Requests, &id).await?;
    Ok(asker.did(format!("request {id} removed")))
}
