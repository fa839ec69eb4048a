//! How far apart the rows of a recording are.

/// So many steps tell.
const ENOUGH: usize = 10_000;

/// A window may be so much longer or shorter than the rows are apart, as a part of it: a recording's clock is not exact.
const SAME: f64 = 0.1;

/// The first steps from row to row, in s.
#[derive(Debug, Default)]
pub(super) struct Steps {
    last: Option<f64>,
    steps: Vec<f64>,
}

impl Steps {
    /// Takes the next row's time.
    pub(super) fn add(&mut self, timestamp: f64) {
        let step = self.last.replace(timestamp).map(|last| timestamp - last);
        self.steps.extend(step.filter(|_| self.steps.len() < ENOUGH));
    }

    /// The median step, if it is not what a window of so many seconds should make it.
    pub(super) fn differ_from(mut self, window: f64) -> Option<f64> {
        let middle = self.steps.len() / 2;
        self.steps.sort_by(f64::total_cmp);
        self.steps.get(middle).copied().filter(|median| (median - window).abs() > SAME * window)
    }
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn the_median_step_is_held_against_the_window() {
        let differ = |times: &[f64], window: f64| {
            let mut steps = Steps::default();
            for time in times {
                steps.add(*time);
            }
            steps.differ_from(window)
        };
        // A pause and a little jitter are no other pace.
        assert_eq!(differ(&[0.0, 10.0, 20.3, 30.0, 500.0, 510.1], 10.0), None);
        assert_eq!(differ(&[0.0, 1.0, 2.0, 3.0, 100.0], 10.0), Some(1.0));
        assert_eq!(differ(&[5.0], 10.0), None);
    }
}
