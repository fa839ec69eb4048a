//! What Headroom's agent and central service speak and decide by.
//!
//! No I/O, no clock, no async, no kernel: every function here takes numbers and timestamps and gives decisions, so that
//! the daemon, `replay` and central run the very same code.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "tests compare whole numbers, which are exact"))]

pub mod accounting;
pub mod documents;
pub mod duration;
pub mod limit;
pub mod number;
pub mod policy;
pub mod profile;
pub mod resource;
pub mod settings;
pub mod wire;
