//! The cgroup module on whatever this host has mounted (v1, hybrid, v2) and on trees of plain files in each of these shapes.
//!
//! `conformance` holds what must be true on all of them, the same bodies each time; `kernel`, `refusals`, `states` and `counting` what only a kernel does: refuse,
//! forget, count; `fake` what a kernel never shows: nonsense.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed test is what is wanted"
)]

#[path = "../support/disk.rs"]
mod disk;
#[path = "../support.rs"]
mod support;

mod allocation;
mod conformance;
mod counting;
mod disks;
mod fake;
mod ground;
mod kernel;
mod refusals;
mod states;
