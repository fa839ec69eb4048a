//! The values of one moment.

use super::metric::{Metric, places};

/// The greatest value that is kept, in steps: sums of a million of them are exact.
const MOST: f64 = 8_796_093_022_208.0;

/// A value, or none, for each metric; in whole steps ([`Metric::steps`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    /// Which there are.
    pub(super) present: u64,
    /// By place. What is not present has the value that it had last, or 0.
    pub(super) values: [i64; Metric::COUNT],
}

impl Default for Cells {
    fn default() -> Self {
        Self { present: 0, values: [0; Metric::COUNT] }
    }
}

impl Cells {
    /// Those of a sample. What is no number is left out.
    pub(super) fn of(values: &[(Metric, f64)]) -> Self {
        let mut cells = Self::default();
        for (metric, value) in values {
            if value.is_finite() {
                cells.set(metric.place(), steps(value * metric.steps()));
            }
        }
        cells
    }

    pub(super) fn set(&mut self, place: usize, steps: i64) {
        self.present |= 1 << place;
        self.values[place] = steps;
    }

    /// In steps.
    pub(super) fn get(&self, place: usize) -> Option<i64> {
        (self.present & (1 << place) != 0).then(|| self.values[place])
    }

    /// Each that is present.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, i64)> {
        places(self.present).map(|place| (place, self.values[place]))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whole and clamped to what fits")]
fn steps(value: f64) -> i64 {
    value.round().clamp(-MOST, MOST) as i64
}

/// The value of so many steps, in the metric's unit.
pub(super) fn unit(place: usize, steps: i64) -> f64 {
    steps as f64 / Metric::at(place).steps()
}
