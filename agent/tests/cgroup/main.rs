//! The cgroup module on whatever this host has mounted (v1, hybrid, v2) and on a made-up kernel of each of these kinds.
//!
//! `conformance` (limits), `conflicts`, `refusals` and `states` are the same bodies on all of them (`ground`); `kernel`, `counting` and `disks` are what only
//! a real one does: mount, count, write; `faults` and `fake` what one hardly ever shows: errors in the middle, and nonsense in files.
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
mod conflicts;
mod conformance;
mod counting;
mod disks;
mod fake;
mod fake_kernel;
mod faults;
mod files;
mod ground;
mod kernel;
mod refusals;
mod states;
