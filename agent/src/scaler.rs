//! Carries decisions out: the threads that write what may take long, and what a crash must not lose. The control loop plans by
//! model's policy and writes CPU quotas itself.

pub mod originals;
pub mod writer;

use headroom_model::limit::Limit;

use crate::cgroup::{Change, Version};

/// How the memory limit is moved: `memory.high` on v2, which never kills, the one limit there is on v1.
pub fn memory_change(version: Version, to: Limit) -> Change {
    match version {
        Version::V2 => Change::MemoryHigh(to),
        Version::V1 => Change::MemoryMax(to),
    }
}
