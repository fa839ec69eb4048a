//! The two thresholds under a limit.
//!
//! Under the limit in force lie two bands, each one margin wide: `upper = current - m`, `lower = upper - m`. Usage above
//! `upper` is a bottleneck, usage under `lower` is waste, between them the limit fits.

use std::fmt;
use std::str::FromStr;

/// How a boundary is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundaryType {
    /// In the resource's unit.
    #[default]
    Absolute,
    /// A percentage of the structure's `max`.
    PercentageOfMax,
    /// A percentage of the limit in force.
    PercentageOfCurrent,
}

impl BoundaryType {
    /// The name in documents.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Absolute => "absolute",
            Self::PercentageOfMax => "percentage_of_max",
            Self::PercentageOfCurrent => "percentage_of_current",
        }
    }
}

impl fmt::Display for BoundaryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

impl FromStr for BoundaryType {
    type Err = BoundaryError;

    fn from_str(name: &str) -> Result<Self, BoundaryError> {
        [Self::Absolute, Self::PercentageOfMax, Self::PercentageOfCurrent]
            .into_iter()
            .find(|t| t.key() == name)
            .ok_or_else(|| BoundaryError::UnknownType(name.to_owned()))
    }
}

/// A boundary that makes no sense, refused where it is set.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BoundaryError {
    /// A percentage outside 0..=100.
    #[error("boundary {boundary} is no percentage; with boundary_type {kind} it must be within 0..=100")]
    Percentage {
        /// What was to be set.
        boundary: f64,
        /// How it is meant.
        kind: BoundaryType,
    },
    /// An absolute boundary outside 0..=max.
    #[error("boundary {boundary} is outside 0..={max}; an absolute boundary must not exceed the structure's max")]
    Absolute {
        /// What was to be set.
        boundary: f64,
        /// The structure's `max`.
        max: f64,
    },
    /// No such type.
    #[error("unknown boundary_type {0:?}; known are absolute, percentage_of_max, percentage_of_current")]
    UnknownType(String),
}

/// A boundary and how it is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Boundary {
    /// In the resource's unit, or per cent.
    pub value: f64,
    /// Which of them.
    pub kind: BoundaryType,
}

impl Boundary {
    /// A boundary in the resource's unit.
    pub const fn absolute(value: f64) -> Self {
        Self { value, kind: BoundaryType::Absolute }
    }

    /// Checks a boundary at the moment when it, its type or the structure's `max` is set.
    pub fn check(self, max: f64) -> Result<(), BoundaryError> {
        let Self { value: boundary, kind } = self;
        match kind {
            BoundaryType::Absolute if !(0.0..=max).contains(&boundary) => Err(BoundaryError::Absolute { boundary, max }),
            BoundaryType::PercentageOfMax | BoundaryType::PercentageOfCurrent if !(0.0..=100.0).contains(&boundary) => {
                Err(BoundaryError::Percentage { boundary, kind })
            }
            _ => Ok(()),
        }
    }

    /// The margin m, at least 1, in the resource's unit.
    pub fn margin(self, max: f64, current: f64) -> f64 {
        let margin = match self.kind {
            BoundaryType::Absolute => self.value,
            BoundaryType::PercentageOfMax => (max * self.value / 100.0).floor(),
            BoundaryType::PercentageOfCurrent => (current * self.value / 100.0).floor(),
        };
        margin.max(1.0)
    }
}

/// Where usage is a bottleneck, and where it is waste, in the resource's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Usage above is a bottleneck.
    pub upper: f64,
    /// Usage under is waste.
    pub lower: f64,
}

impl Thresholds {
    /// Those of a limit, one and two margins under it.
    pub fn under(current: f64, margin: f64) -> Self {
        let upper = current - margin;
        Self { upper, lower: upper - margin }
    }

    /// What a window is judged by: these where they still fit the limit, else set anew. A `lower` that somebody chose
    /// stays as long as `upper` is right and `lower` not above it.
    #[must_use]
    #[expect(clippy::float_cmp, reason = "the policy asks whether upper is exactly current - m")]
    pub fn kept(stored: Option<Self>, current: f64, margin: f64) -> Self {
        match stored {
            Some(t) if t.upper == current - margin && t.lower <= t.upper => t,
            _ => Self::under(current, margin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: f64, kind: BoundaryType) -> Boundary {
        Boundary { value, kind }
    }

    #[test]
    fn margin_follows_the_type_and_is_at_least_one() {
        assert_eq!(of(25.0, BoundaryType::Absolute).margin(400.0, 200.0), 25.0);
        assert_eq!(of(0.0, BoundaryType::Absolute).margin(400.0, 200.0), 1.0);
        assert_eq!(of(7.0, BoundaryType::PercentageOfMax).margin(410.0, 200.0), 28.0);
        assert_eq!(of(7.0, BoundaryType::PercentageOfCurrent).margin(410.0, 150.0), 10.0);
        assert_eq!(of(5.0, BoundaryType::PercentageOfCurrent).margin(410.0, 10.0), 1.0);
    }

    #[test]
    fn thresholds_are_kept_while_upper_fits() {
        let set = Thresholds::under(200.0, 25.0);
        assert_eq!(set, Thresholds { upper: 175.0, lower: 150.0 });
        let chosen = Thresholds { upper: 175.0, lower: 100.0 };
        assert_eq!(Thresholds::kept(Some(chosen), 200.0, 25.0), chosen);
        assert_eq!(Thresholds::kept(Some(chosen), 210.0, 25.0), Thresholds { upper: 185.0, lower: 160.0 });
        assert_eq!(Thresholds::kept(Some(Thresholds { upper: 175.0, lower: 176.0 }), 200.0, 25.0), set);
        assert_eq!(Thresholds::kept(Some(Thresholds { upper: 175.0, lower: 175.0 }), 200.0, 25.0).lower, 175.0);
        assert_eq!(Thresholds::kept(None, 200.0, 25.0), set);
    }

    #[test]
    fn boundaries_that_make_no_sense_are_refused() {
        assert_eq!(of(100.0, BoundaryType::PercentageOfMax).check(50.0), Ok(()));
        assert!(of(100.5, BoundaryType::PercentageOfMax).check(50.0).is_err());
        assert!(of(-1.0, BoundaryType::PercentageOfCurrent).check(50.0).is_err());
        assert_eq!(of(50.0, BoundaryType::Absolute).check(50.0), Ok(()));
        let error = of(51.0, BoundaryType::Absolute).check(50.0).unwrap_err();
        assert_eq!(error.to_string(), "boundary 51 is outside 0..=50; an absolute boundary must not exceed the structure's max");
        assert!(of(f64::NAN, BoundaryType::Absolute).check(50.0).is_err());
        // A change of the type can make a boundary senseless.
        assert!(of(150.0, BoundaryType::Absolute).check(400.0).is_ok());
        assert!(of(150.0, BoundaryType::PercentageOfMax).check(400.0).is_err());
    }

    #[test]
    fn types_are_read_by_name() {
        assert_eq!("percentage_of_max".parse(), Ok(BoundaryType::PercentageOfMax));
        assert!("percent".parse::<BoundaryType>().is_err());
    }
}
