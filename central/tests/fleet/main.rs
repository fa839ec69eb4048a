//! Real agents and a real central: both binaries, real cgroups, and hosts that are network namespaces of their own where that matters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp, reason = "a failed test is what is wanted")]

mod advice;
mod autonomy;
mod bed;
mod centrals;
mod claims;
mod cutoff;
mod groups;
mod net;
mod pairs;
mod process;
#[path = "../couchdb/proxy.rs"]
#[allow(dead_code, reason = "of the tests with CouchDB")]
mod proxy;
mod requests;
#[path = "../couchdb/server.rs"]
#[allow(dead_code, reason = "of the tests with CouchDB")]
mod server;
#[path = "../../../agent/tests/support.rs"]
mod support;
mod tls;
mod walk;
