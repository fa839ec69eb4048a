//! The agents' side: reports come in, orders go out. The messages are [`headroom_model::wire`]'s.

pub mod orders;
mod register;
mod report;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use crate::central::Central;

/// A longer report is refused with 413: some 20,000 containers' worth.
const LONGEST_REPORT: usize = 32 * 1024 * 1024;

/// `POST /agent/report`, `GET /agent/orders`.
pub fn router() -> Router<Central> {
    Router::new()
        .route("/agent/report", post(report::take))
        .route("/agent/orders", get(orders::give))
        .layer(DefaultBodyLimit::max(LONGEST_REPORT))
}
