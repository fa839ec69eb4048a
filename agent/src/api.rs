//! The Container Scaler API: what this host's containers have, and direct changes of it, as JSON over HTTP.
//!
//! Answers come from the last published [`Snapshot`]; changes go to the control loop as commands ([`command`]) and are answered with
//! the snapshot that it published after them. So nothing here ever holds up a decision. Beside the contract's paths there are
//! `/status` and `/decisions` for people and `/metrics` for Prometheus.

pub mod command;
mod connections;
mod containers;
mod cpu_list;
mod decisions;
mod document;
mod door;
mod error;
mod put;
mod serve;
mod tls;

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde::{Deserialize, Serialize};

use self::command::ControlHandle;
pub use self::decisions::DecisionLog;
use self::door::SharedDoor;
use self::error::{ApiError, json};
pub use self::serve::{Doors, Listeners, ServeError};
use crate::status::{Decision, Snapshot};

/// A longer body is refused with 413.
const LONGEST_BODY: usize = 64 * 1024;

/// What the API answers from.
#[derive(Clone)]
pub struct ApiState {
    /// The last published snapshot.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The way to the control loop.
    pub control: Arc<dyn ControlHandle>,
    /// The decisions of late.
    pub decisions: Arc<DecisionLog>,
}

/// The whole API, behind one listener's door.
fn app(state: ApiState, door: SharedDoor) -> Router {
    let routes: [(&str, MethodRouter<ApiState>); 9] = [
        ("/heartbeat", get(heartbeat)),
        ("/container", get(containers::list)),
        ("/container/{name}", get(containers::one).put(containers::put)),
        ("/container/resources", get(containers::resources)),
        ("/container/resources/{name}", get(containers::resources_of_one)),
        ("/host/cpu_topology", get(cpu_topology)),
        ("/status", get(status)),
        ("/decisions", get(recent_decisions)),
        ("/metrics", get(metrics)),
    ];
    let with_and_without_slash = |router: Router<ApiState>, (path, method): (&str, MethodRouter<ApiState>)| {
        router.route(path, method.clone()).route(&format!("{path}/"), method)
    };
    routes
        .into_iter()
        .fold(Router::new(), with_and_without_slash)
        .fallback(async |uri: axum::http::Uri| ApiError::new(StatusCode::NOT_FOUND, format!("there is no path {:?}", uri.path())))
        .method_not_allowed_fallback(async |method: axum::http::Method, uri: axum::http::Uri| {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not for {:?}", uri.path()))
        })
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn_with_state(door, door::check))
        .with_state(state)
}

async fn heartbeat() -> Response {
    #[derive(Serialize)]
    struct Alive {
        status: &'static str,
    }
    json(StatusCode::OK, &Alive { status: "alive" })
}

async fn cpu_topology(State(state): State<ApiState>) -> Response {
    json(StatusCode::OK, &*state.snapshot.load().host.topology)
}

/// Everything that is known, for `headroom-agent status`.
async fn status(State(state): State<ApiState>) -> Response {
    #[derive(Serialize)]
    struct Status<'a> {
        version: &'static str,
        #[serde(flatten)]
        snapshot: &'a Snapshot,
        last_decisions: Vec<Arc<Decision>>,
    }
    let snapshot = state.snapshot.load_full();
    let living: HashSet<&str> = snapshot.containers.iter().map(|c| c.container.name.as_str()).collect();
    let last_decisions = state.decisions.last(|name| living.contains(name));
    json(StatusCode::OK, &Status { version: env!("CARGO_PKG_VERSION"), snapshot: &snapshot, last_decisions })
}

/// How many decisions are wanted.
#[derive(Deserialize)]
struct Recent {
    limit: Option<usize>,
}

/// Newest first; `?limit=20`.
async fn recent_decisions(
    State(state): State<ApiState>,
    query: Result<Query<Recent>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(Recent { limit }) = query.map_err(|e| ApiError::bad(e.body_text()))?;
    Ok(json(StatusCode::OK, &state.decisions.recent(limit.unwrap_or(100))))
}

async fn metrics(State(state): State<ApiState>) -> Response {
    let text = crate::metrics::render(&state.snapshot.load_full());
    ([(header::CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], text).into_response()
}
