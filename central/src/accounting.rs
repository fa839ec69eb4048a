//! What each container used, was allocated and would have reserved, and what that costs.
//!
//! Agents report amounts that only grow. The [`Ledger`] adds up by how much they grew, when, and for whom: a report that was lost is in the next
//! one, one that comes twice counts once ([`state`]). A report's amounts are durable, in one transaction with the counters they were taken from,
//! before it is answered; so killing central at any moment neither loses nor repeats anything.

mod bill;
mod codec;
mod config;
mod ledger;
mod query;
mod route;
mod schema;
mod spread;
mod state;
mod tidy;
mod writer;

use axum::Router;
use axum::routing::get;

pub use bill::{Account, Amounts, Bill};
pub use config::Prices;
pub use ledger::{Ledger, LedgerError};
pub use query::{Line, Wanted};
pub use route::__path_accounting;
pub use route::accounting;

use crate::central::Central;

/// `GET /accounting`.
pub fn router() -> Router<Central> {
    Router::new().route("/accounting", get(accounting)).route("/accounting/", get(accounting))
}
