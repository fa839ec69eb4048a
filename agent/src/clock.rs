//! The two clocks: monotonic for everything that is measured, wall for documents and people.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in ns, the clock that the kernel side stamps with.
pub fn monotonic_ns() -> u64 {
    // The vDSO's clock cannot fail for this id; 0 would show as a gap, not as a wrong window.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |t| u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0))
}

/// Seconds since the epoch.
pub fn wall() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
