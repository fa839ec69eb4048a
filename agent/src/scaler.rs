//! Carries decisions out: the threads that write what may take long, and what a crash must not lose. The control loop plans by
//! model's policy and writes CPU quotas itself.

pub mod originals;
pub mod writer;

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;

use crate::cgroup::{Change, MIB, Version};

/// What is written to move the memory limit to `to` MiB. v2's hard limit stays where it is, unless it is in the way: then it goes to
/// the structure's `max`, and is never lowered again but to put back what was found.
pub fn memory_changes(version: Version, to: f64, hard: Limit, max: f64) -> Vec<Change> {
    let in_the_way = version == Version::V2 && hard.amount().is_some_and(|hard| hard < to);
    let raised = in_the_way.then_some(Change::MemoryMax(Limit::At(max.max(to))));
    raised.into_iter().chain([memory_change(version, Limit::At(to))]).collect()
}

/// How the memory limit is moved: `memory.high` on v2, which never kills, the one limit there is on v1.
pub fn memory_change(version: Version, to: Limit) -> Change {
    match version {
        Version::V2 => Change::MemoryHigh(to),
        Version::V1 => Change::MemoryMax(to),
    }
}

/// Whether a limit reads back as `theirs` once `ours` was written: the kernel keeps whole pages of memory, of up to 64 KiB, and whole bytes
/// a second.
pub fn reads_as(resource: Resource, ours: Limit, theirs: Limit) -> bool {
    let grain = if resource == Resource::Mem { 1.0 / 16.0 } else { 1.0 / MIB };
    match (ours, theirs) {
        (Limit::At(ours), Limit::At(theirs)) => (ours - theirs).abs() < grain,
        _ => ours == theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hard_limit_moves_only_where_it_is_in_the_way() {
        let high = Change::MemoryHigh(Limit::At(150.0));
        assert_eq!(memory_changes(Version::V2, 150.0, Limit::Unlimited, 512.0), std::slice::from_ref(&high));
        assert_eq!(memory_changes(Version::V2, 150.0, Limit::At(150.0), 512.0), std::slice::from_ref(&high));
        assert_eq!(memory_changes(Version::V2, 150.0, Limit::At(128.0), 512.0), [Change::MemoryMax(Limit::At(512.0)), high]);
        assert_eq!(memory_changes(Version::V1, 150.0, Limit::At(128.0), 512.0), [Change::MemoryMax(Limit::At(150.0))]);
    }
}
