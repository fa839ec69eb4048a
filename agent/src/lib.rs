//! The agent: one daemon a host that samples containers, decides by the policy, and sets their limits.
//!
//! ARCHITECTURE.md follows a sample through these modules.

pub mod api;
pub mod cgroup;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod containers;
pub mod control;
pub mod daemon;
pub mod host;
mod https;
pub mod link;
pub mod metrics;
pub mod release;
pub mod replay;
pub mod sampler;
pub mod scaler;
pub mod show;
pub mod status;
