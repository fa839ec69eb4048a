//! The five phases that the policy is known by.

use std::time::Duration;

/// One of them.
pub(super) struct Phase {
    /// What it is, and what the policy makes of it.
    pub(super) title: &'static str,
    /// The load that is driven, in shares.
    pub(super) shares: f64,
    /// For how long.
    pub(super) lasts: Duration,
}

/// What cont1 uses all the time, in shares.
pub(super) const NEIGHBOUR: f64 = 15.0;

/// Nearly all that max allows. Not all, so that on two cores something is left for who drives, decides and looks.
const HEAVY: f64 = 185.0;

/// In their order.
pub(super) const PHASES: [Phase; 5] = [
    Phase { title: "idle: the limit comes down", shares: 5.0, lasts: Duration::from_secs(8) },
    Phase { title: "sudden heavy load: the limit goes up", shares: HEAVY, lasts: Duration::from_secs(10) },
    Phase { title: "the load settles lower: the limit follows", shares: 120.0, lasts: Duration::from_secs(9) },
    Phase { title: "a steady load that fits: nothing changes", shares: 120.0, lasts: Duration::from_secs(9) },
    Phase { title: "idle again: down to min + 2 x boundary", shares: 2.0, lasts: Duration::from_secs(8) },
];
