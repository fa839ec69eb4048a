//! The Scaler's plan: which requests, in which order, and how much of each the host can carry.
//!
//! ```text
//! let plan = plan::batches(requests, now, timeout);
//! for group in &plan.groups {
//!     for grant in plan::grant(group, &ledger) {
//!         if let Some(to) = grant.writes() { write `to`, read it back; ledger.account(&grant, read_back) }
//!     }
//! }
//! ```
//!
//! The ledger changes only by [`ledger::Ledger::account`], which is called for what was really written: what cannot be written
//! leaves it as it was.

pub mod admission;
pub mod ledger;
pub mod plan;
mod split;

#[cfg(test)]
mod tests;
