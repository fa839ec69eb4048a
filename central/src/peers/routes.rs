//! What a central tells the others, and does for them: `/central/..`, for tokens of the role `central`.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::Sets;
use crate::accounting;
use crate::answer::{Answer, json};
use crate::audit;
use crate::central::{Central, wall};
use crate::fleet::Relays;

/// The paths.
pub fn router() -> Router<Central> {
    Router::new()
        .route("/central/hosts", get(hosts))
        .route("/central/sets", post(sets))
        .route("/central/accounts", get(accounts))
        .route("/central/decisions", get(decisions))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
    /// The central that asks.
    #[serde(default)]
    central: String,
}

/// Hosts that reported here after the report of a number, and what is asked of the asker's.
async fn hosts(State(central): State<Central>, after: Result<Query<After>, QueryRejection>) -> Result<Response, Answer> {
    let Query(After { after, central: asker }) = after.map_err(|e| Answer::bad(e.body_text()))?;
    let (through, hosts) = central.fleet.relays(after, wall());
    let requests = central.fleet.requests_for(&asker, wall());
    Ok(json(StatusCode::OK, &Relays { through, in_touch: central.leases.is_in_touch(), hosts, requests }))
}

/// Limits that an agent which asks here is to set at once.
async fn sets(State(central): State<Central>, sets: Result<Json<Sets>, JsonRejection>) -> Result<Response, Answer> {
    let Json(sets) = sets.map_err(|e| Answer::new(e.status(), e.body_text()))?;
    let limits = sets.sets.into_iter().map(|set| (set.structure, set.resource, set.limit)).collect();
    central.fleet.set_limits(&sets.host, limits).await?;
    Ok(json(StatusCode::OK, &json!({})))
}

/// What this central has counted itself.
async fn accounts(
    State(central): State<Central>,
    wanted: Result<Query<accounting::Wanted>, QueryRejection>,
) -> Result<Response, Answer> {
    let Query(wanted) = wanted.map_err(|e| Answer::bad(e.body_text()))?;
    Ok(json(StatusCode::OK, &central.ledger.lines(wanted).await?))
}

/// What was decided or changed by way of this central.
async fn decisions(
    State(central): State<Central>,
    wanted: Result<Query<audit::Wanted>, QueryRejection>,
) -> Result<Response, Answer> {
    let Query(wanted) = wanted.map_err(|e| Answer::bad(e.body_text()))?;
    let audit = Arc::clone(&central.audit);
    Ok(json(StatusCode::OK, &audit.entries(wanted).await?))
}
