//! `headroom-agent run`, the real binary on the real kernel: real cgroups with real load in them, and what then stands in cgroupfs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test is what is wanted")]

#[path = "../support/disk.rs"]
mod disk;
#[path = "../support.rs"]
mod support;
#[path = "../support/talk.rs"]
mod talk;

mod agent;
mod bed;
mod crash;
mod disks;
mod ending;
mod files;
mod first;
mod foreign;
mod full;
mod hotplug;
mod late;
mod left;
mod linked;
mod nested;
mod net;
mod phases;
mod pinning;
mod policy;
mod privileges;
mod recorded;
mod rest;
mod squeeze;
mod starts;
mod storm;
mod tls;
mod unread;
mod untouched;
mod uplinks;
