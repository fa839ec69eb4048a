//! A limit that is in force, or none.

use std::fmt;

use crate::number::rounded;

/// A limit in its resource's unit, or none. "No limit" is a variant, never -1: only the edges (cgroupfs, REST) spell it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Nothing limits the container but the host.
    Unlimited,
    /// At most this much, in the resource's unit.
    At(f64),
}

impl fmt::Display for Limit {
    /// The amount, or "none".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("none"),
            Self::At(amount) => write!(f, "{}", rounded(*amount, 2)),
        }
    }
}

impl Limit {
    /// The amount, if there is a limit.
    pub fn amount(self) -> Option<f64> {
        match self {
            Self::Unlimited => None,
            Self::At(amount) => Some(amount),
        }
    }

    /// The tighter of two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(a), Self::At(b)) => Self::At(a.min(b)),
            (Self::Unlimited, limit) | (limit, Self::Unlimited) => limit,
        }
    }
}
