//! Many rows made one: the mean of each metric, and of usages the greatest too.

use headroom_model::resource::Resource;

use super::cells::Cells;
use super::metric::{Field, Metric};

/// Rows that are being made one.
#[derive(Clone, Debug)]
pub(super) struct Rollup {
    sums: [i64; Metric::COUNT],
    counts: [i64; Metric::COUNT],
    peaks: Cells,
    rows: u32,
}

impl Default for Rollup {
    fn default() -> Self {
        Self { sums: [0; Metric::COUNT], counts: [0; Metric::COUNT], peaks: Cells::default(), rows: 0 }
    }
}

impl Rollup {
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Adds a row: a sample, or one that was rolled up already. A missing value counts for nothing.
    pub(super) fn add(&mut self, row: &Cells) {
        self.rows += 1;
        for (place, value) in row.iter().filter(|(place, _)| Metric::ALL_PEAKS & (1 << place) == 0) {
            self.sums[place] = self.sums[place].saturating_add(value);
            self.counts[place] += 1;
        }
        for resource in Resource::ALL {
            let peak = Metric::peak(resource).place();
            if let Some(most) = row.get(peak).or_else(|| row.get(Metric::of(resource, Field::Usage).place())) {
                self.peaks.set(peak, self.peaks.get(peak).map_or(most, |before| before.max(most)));
            }
        }
    }

    /// The row that they make; then there are none.
    pub(super) fn take(&mut self) -> Cells {
        let Self { sums, counts, peaks, .. } = std::mem::take(self);
        let mut row = peaks;
        for (place, (sum, count)) in sums.into_iter().zip(counts).enumerate() {
            if count > 0 {
                // To the nearest step, halves upwards.
                row.set(place, (2 * sum + count).div_euclid(2 * count));
            }
        }
        row
    }
}

/// Rolls rows up that come in the order of their times, into times of so many ms; gives each to `out` with its beginning.
pub(super) struct Steps<F: FnMut(i64, &Cells)> {
    length: i64,
    began: i64,
    rollup: Rollup,
    out: F,
}

impl<F: FnMut(i64, &Cells)> Steps<F> {
    pub(super) fn new(length: i64, out: F) -> Self {
        Self { length: length.max(1), began: 0, rollup: Rollup::default(), out }
    }

    pub(super) fn add(&mut self, at: i64, row: &Cells) {
        let began = at - at.rem_euclid(self.length);
        if began != self.began {
            self.finish();
            self.began = began;
        }
        self.rollup.add(row);
    }

    /// Gives out what has not been yet.
    pub(super) fn finish(&mut self) {
        if !self.rollup.is_empty() {
            (self.out)(self.began, &self.rollup.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[(usize, i64)]) -> Cells {
        let mut cells = Cells::default();
        for (place, value) in values {
            cells.set(*place, *value);
        }
        cells
    }

    #[test]
    fn means_leave_out_what_is_missing_and_peaks_outlive_a_second_rolling() {
        let (usage, max, peak) = (0, 24, 42);
        let mut rollup = Rollup::default();
        rollup.add(&row(&[(usage, 100), (max, 400)]));
        rollup.add(&row(&[(max, 400)]));
        rollup.add(&row(&[(usage, 301), (max, 400)]));
        let first = rollup.take();
        assert_eq!(first.iter().collect::<Vec<_>>(), [(usage, 201), (max, 400), (peak, 301)]);
        assert!(rollup.is_empty());
        rollup.add(&first);
        rollup.add(&row(&[(usage, 101)]));
        assert_eq!(rollup.take().iter().collect::<Vec<_>>(), [(usage, 151), (max, 400), (peak, 301)]);
    }

    #[test]
    fn negative_halves_round_upwards_too() {
        let mut rollup = Rollup::default();
        rollup.add(&row(&[(0, -3)]));
        rollup.add(&row(&[(0, -2)]));
        assert_eq!(rollup.take().get(0), Some(-2));
    }

    #[test]
    fn steps_are_whole_and_empty_ones_left_out() {
        let mut out = Vec::new();
        {
            let mut steps = Steps::new(60_000, |at, row: &Cells| out.push((at, row.get(0))));
            for (at, value) in [(59_999, 10), (60_000, 20), (119_999, 40), (240_000, 50)] {
                steps.add(at, &row(&[(0, value)]));
            }
            steps.finish();
            steps.finish();
        }
        assert_eq!(out, [(0, Some(10)), (60_000, Some(30)), (240_000, Some(50))]);
    }
}
