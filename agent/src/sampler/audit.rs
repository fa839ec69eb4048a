//! Holds our count against the kernel's own, as the agent runs. No kernel, no clock: readings in, verdicts out.

/// Beyond this share of the kernel's count ours is put right.
pub const TOLERANCE: f64 = 0.01;

/// The kernel's files count in whole µs; an interval has two readings.
const ROUNDING_NS: u64 = 2_000;

/// Both counts of one container, cumulative, in ns. Ours ([`counted_ns`](super::UsageSource::counted_ns)) is read on both
/// sides of the kernel's, because a charge may fall between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Ours, before the kernel's was read.
    pub before_ns: u64,
    /// The kernel's.
    pub kernel_ns: u64,
    /// Ours, after it was read.
    pub after_ns: u64,
}

/// What an interval between two readings shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// How far our count was from the kernel's, as a share of the larger one; 0 where they agree.
    pub distance: f64,
    /// What to add to our count, in ns; `None` where it is near enough.
    pub correct_by_ns: Option<i64>,
}

/// The audit of one container.
#[derive(Clone, Copy, Debug, Default)]
pub struct Audit {
    last: Option<Reading>,
}

impl Audit {
    /// Judges the interval since the last reading; the first only starts one. Where the verdict asks for a correction, the
    /// caller makes it; the next interval begins with it made.
    pub fn judge(&mut self, now: Reading) -> Option<Verdict> {
        let last = self.last.replace(now)?;
        let kernel = now.kernel_ns.checked_sub(last.kernel_ns)?;
        let least = now.before_ns.saturating_sub(last.after_ns);
        let most = now.after_ns.saturating_sub(last.before_ns);
        let ours = kernel.clamp(least, most);
        let apart = ours.abs_diff(kernel).saturating_sub(ROUNDING_NS);
        if apart == 0 {
            return Some(Verdict { distance: 0.0, correct_by_ns: None });
        }
        let distance = apart as f64 / ours.max(kernel) as f64;
        let by_ns = kernel.checked_signed_diff(ours).filter(|_| distance > TOLERANCE);
        if let Some(by_ns) = by_ns {
            let corrected = |ours: u64| ours.saturating_add_signed(by_ns);
            self.last = Some(Reading { before_ns: corrected(now.before_ns), after_ns: corrected(now.after_ns), ..now });
        }
        Some(Verdict { distance, correct_by_ns: by_ns })
    }
}

/// What all audits of a host have found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Audited {
    /// Corrections made.
    pub corrected: u64,
    /// The biggest distance seen.
    pub worst: f64,
}

impl Audited {
    /// Counts a verdict.
    pub fn note(&mut self, verdict: Verdict) {
        self.corrected += u64::from(verdict.correct_by_ns.is_some());
        self.worst = self.worst.max(verdict.distance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    const AGREED: Verdict = Verdict { distance: 0.0, correct_by_ns: None };

    fn reading(ours_ns: u64, kernel_ns: u64) -> Reading {
        Reading { before_ns: ours_ns, kernel_ns, after_ns: ours_ns }
    }

    fn interval(ours: u64, kernel: u64) -> Verdict {
        let mut audit = Audit::default();
        assert_eq!(audit.judge(reading(7, 900)), None);
        audit.judge(reading(7 + ours, 900 + kernel)).unwrap()
    }

    #[test]
    fn equal_counts_agree_whatever_they_began_with() {
        for span in [0, 1, 5 * MS] {
            assert_eq!(interval(span, span), AGREED);
        }
    }

    #[test]
    fn rounding_to_microseconds_is_no_drift() {
        assert_eq!(interval(1_999, 0), AGREED);
        assert_eq!(interval(100_000, 102_000), AGREED);
    }

    #[test]
    fn up_to_one_percent_is_seen_but_left() {
        let verdict = interval(995 * MS, 1000 * MS);
        assert!((0.0049..0.0051).contains(&verdict.distance), "{verdict:?}");
        assert_eq!(verdict.correct_by_ns, None);
    }

    #[test]
    fn more_is_put_right_in_full_both_ways() {
        assert_eq!(interval(900 * MS, 1000 * MS).correct_by_ns, Some(100_000_000));
        assert_eq!(interval(1000 * MS, 900 * MS).correct_by_ns, Some(-100_000_000));
        assert_eq!(interval(0, 10 * MS).correct_by_ns, Some(10_000_000));
        assert_eq!(interval(10 * MS, 0).correct_by_ns, Some(-10_000_000));
    }

    #[test]
    fn a_charge_between_the_readings_is_no_drift() {
        let mut audit = Audit::default();
        audit.judge(Reading { before_ns: 0, kernel_ns: 4 * MS, after_ns: 4 * MS });
        let verdict = audit.judge(Reading { before_ns: 20 * MS, kernel_ns: 20 * MS, after_ns: 24 * MS }).unwrap();
        assert_eq!(verdict, AGREED);
    }

    #[test]
    fn a_correction_is_not_asked_for_twice() {
        let mut audit = Audit::default();
        audit.judge(reading(0, 0));
        let by = audit.judge(reading(900 * MS, 1000 * MS)).unwrap().correct_by_ns.unwrap();
        // The caller has added it, and another second went by in which both counted alike.
        let ours = (1900 * MS).checked_add_signed(by).unwrap();
        assert_eq!(audit.judge(reading(ours, 2000 * MS)).unwrap(), AGREED);
    }

    #[test]
    fn a_kernel_count_that_went_back_starts_anew() {
        let mut audit = Audit::default();
        audit.judge(reading(0, 5 * MS));
        assert_eq!(audit.judge(reading(MS, MS)), None);
        assert_eq!(audit.judge(reading(2 * MS, 2 * MS)).unwrap(), AGREED);
    }

    #[test]
    fn totals_count_corrections_and_keep_the_worst() {
        let mut audited = Audited::default();
        for verdict in [interval(995 * MS, 1000 * MS), interval(900 * MS, 1000 * MS), interval(MS, MS)] {
            audited.note(verdict);
        }
        assert_eq!(audited.corrected, 1);
        assert!((0.099..0.101).contains(&audited.worst), "{audited:?}");
    }
}
