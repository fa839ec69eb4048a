//! The agent: one daemon a host that samples containers, decides by the policy, and sets their limits.
//!
//! ARCHITECTURE.md follows a sample through these modules.

pub mod cgroup;
pub mod config;
pub mod containers;
pub mod replay;
pub mod sampler;
pub mod status;
