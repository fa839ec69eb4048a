//! Placeholder until everything else stands.
use axum::Router;
use crate::central::Central;
/// Nothing yet.
pub fn router() -> Router<Central> { Router::new() }
