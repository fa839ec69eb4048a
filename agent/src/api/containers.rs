//! `/container`: one, all, some of their resources, and the PUT.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ApiState;
use super::command::ContainerWrite;
use super::document::Document;
use super::error::{ApiError, json};
use super::put::changes;
use crate::status::{ContainerStatus, Snapshot};

/// Longer than any write takes; lowering memory reclaims for seconds.
const LONGEST_WRITE: Duration = Duration::from_secs(30);

/// Longer than it takes to send a body.
const LONGEST_SENDING: Duration = Duration::from_secs(10);

/// Longer than the control loop takes to answer when it is well.
const LONGEST_LOOK: Duration = Duration::from_millis(200);

type Name = Result<Path<String>, PathRejection>;
type Keys = Result<Query<Vec<(String, String)>>, QueryRejection>;
type Answer = Result<Response, ApiError>;

/// `/container/`: every container; `?name=cont0`: that one.
pub(super) async fn list(State(state): State<ApiState>, keys: Keys) -> Answer {
    let Query(keys) = keys.map_err(|e| ApiError::bad(e.body_text()))?;
    let snapshot = state.snapshot.load_full();
    match keys.iter().find(|(key, _)| key == "name") {
        Some((_, name)) => show(&looked_at(&state, name).await, name, StatusCode::OK),
        None => Ok(json(StatusCode::OK, &all(&snapshot, |_| true))),
    }
}

/// `/container/{name}`
pub(super) async fn one(State(state): State<ApiState>, name: Name) -> Answer {
    let Path(name) = name.map_err(|e| ApiError::bad(e.body_text()))?;
    show(&looked_at(&state, &name).await, &name, StatusCode::OK)
}

/// The snapshot, with what stands now of one container: the pace at which the others are read may be leisurely. Where the control
/// loop does not answer at once, the last snapshot has to do.
async fn looked_at(state: &ApiState, name: &str) -> Arc<Snapshot> {
    // An agent that is busy or ending has a snapshot all the same.
    timeout(LONGEST_LOOK, state.control.look(name)).await.ok();
    state.snapshot.load_full()
}

/// `/container/resources/?cpu=1&mem=1`: those resources of every container.
pub(super) async fn resources(State(state): State<ApiState>, keys: Keys) -> Answer {
    let wanted = Wanted::from(keys)?;
    Ok(json(StatusCode::OK, &all(&state.snapshot.load_full(), |part| wanted.has(part))))
}

/// `/container/resources/{name}?cpu=1&mem=1`: those resources of one.
pub(super) async fn resources_of_one(State(state): State<ApiState>, name: Name, keys: Keys) -> Answer {
    let Path(name) = name.map_err(|e| ApiError::bad(e.body_text()))?;
    let wanted = Wanted::from(keys)?;
    let snapshot = looked_at(&state, &name).await;
    let status = find(&snapshot, &name)?;
    Ok(json(StatusCode::OK, &Document::of(status, |part| wanted.has(part))))
}

/// `PUT /container/{name}`, whatever the Content-Type: carried out whole or not at all, answered with what then stands.
pub(super) async fn put(State(state): State<ApiState>, name: Name, body: Result<Body, ApiError>) -> Answer {
    let Path(name) = name.map_err(|e| ApiError::bad(e.body_text()))?;
    let Body(body) = body?;
    let snapshot = state.snapshot.load_full();
    let status = find(&snapshot, &name)?;
    let mut changes = changes(&body, &snapshot.host)?;
    // What was got is put back with its -1 for what this container does not have at all.
    changes.retain(|change| change.lifts().is_none_or(|resource| status.resources[resource].is_some()));
    if !changes.is_empty() {
        write(&state, &name, changes).await?;
    }
    show(&state.snapshot.load_full(), &name, StatusCode::CREATED)
}

async fn write(state: &ApiState, name: &str, changes: Vec<super::command::Change>) -> Result<(), ApiError> {
    let (reply, outcome) = oneshot::channel();
    state.control.submit(ContainerWrite { name: name.to_owned(), changes, reply })?;
    match timeout(LONGEST_WRITE, outcome).await {
        Ok(Ok(done)) => done.map_err(|e| ApiError::write(name, &e)),
        Ok(Err(_)) => {
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending; whether the change was made is not known"))
        }
        Err(_) => Err(ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("the write has taken longer than {LONGEST_WRITE:?} and goes on; GET shows what became of it"),
        )),
    }
}

/// The whole body of a request, which may not take long to come.
pub(super) struct Body(Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match timeout(LONGEST_SENDING, Bytes::from_request(request, state)).await {
            Ok(Ok(body)) => Ok(Self(body)),
            Ok(Err(e)) => {
                let message = format!("{}; the longest is {} KiB", e.body_text(), super::LONGEST_BODY / 1024);
                Err(ApiError::new(e.status(), message))
            }
            Err(_) => {
                let message = format!("the body was not sent within {LONGEST_SENDING:?}");
                Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, message))
            }
        }
    }
}

fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a ContainerStatus, ApiError> {
    snapshot.containers.iter().find(|c| c.container.name == name).ok_or_else(|| ApiError::no_container(name))
}

fn show(snapshot: &Arc<Snapshot>, name: &str, status: StatusCode) -> Answer {
    Ok(json(status, &Document::of(find(snapshot, name)?, |_| true)))
}

fn all(snapshot: &Snapshot, wanted: impl Fn(&str) -> bool) -> BTreeMap<&str, Document<'_>> {
    snapshot.containers.iter().map(|c| (c.container.name.as_str(), Document::of(c, &wanted))).collect()
}

/// The resources that a query names, whatever their values.
struct Wanted(HashSet<String>);

impl Wanted {
    fn from(keys: Keys) -> Result<Self, ApiError> {
        let Query(keys) = keys.map_err(|e| ApiError::bad(e.body_text()))?;
        Ok(Self(keys.into_iter().map(|(key, _)| key).collect()))
    }

    /// Any of the disk's keys gives both directions.
    fn has(&self, part: &str) -> bool {
        match part {
            "disk" => ["disk", "disk_read", "disk_write"].iter().any(|key| self.0.contains(*key)),
            _ => self.0.contains(part),
        }
    }
}
