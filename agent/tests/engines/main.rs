//! Real engines, and the real agent beside them: what `docs/engines.md` tells people to do is done as it stands there.
//!
//! Run by `cargo xtask test` where the engines are and everything is in namespaces of its own (`xtask/src/test/engines.sh`), or in a guest with
//! systemd, where Docker and Podman have their containers' cgroups from that (`xtask/src/test/engines_under_systemd.sh`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test is what is wanted")]

mod accuracy;
mod again;
#[allow(dead_code, reason = "the tests of the daemon use all of it")]
#[path = "../daemon/agent.rs"]
mod agent;
mod bed;
mod docs;
mod engine;
mod engines;
mod inside;
mod kubernetes;
mod nested;
mod phases;
#[path = "../daemon/policy.rs"]
mod policy;
mod reloads;
mod starts;
mod updates;
mod uplinks;
mod watches;
