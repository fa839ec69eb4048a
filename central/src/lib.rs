//! One light service a fleet: keeps the State Database, serves the Orchestrator API, aggregates what agents report, refeeds totals, keeps
//! time series and accounts. Agents need it for none of their decisions.

#![cfg_attr(test, allow(clippy::float_cmp, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests"))]

pub mod access;
pub mod accounting;
pub mod agents;
pub mod answer;
pub mod audit;
pub mod central;
pub mod cli;
pub mod config;
pub mod ctl;
pub mod database_snapshoter;
pub mod documents;
pub mod fleet;
pub mod guardian;
pub mod leases;
pub mod openapi;
pub mod orchestrator;
pub mod peers;
pub mod refeeder;
pub mod requests;
pub mod seed;
pub mod series;
pub mod serve;
mod sqlite;
pub mod store;
pub mod structures_snapshoter;
