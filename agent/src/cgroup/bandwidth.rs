//! In which order the parts of a CPU quota may be written: pure.

use std::fmt;

use headroom_model::limit::Limit;
use smallvec::SmallVec;

use super::CpuLimit;
use super::hierarchies::Version;
use super::text::whole;

/// A CPU quota in the kernel's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units belong into names")]
pub(super) struct Bandwidth {
    /// `None`: no quota.
    pub(super) quota_us: Option<u64>,
    pub(super) period_us: u64,
    /// `None`: the kernel has no burst.
    pub(super) burst_us: Option<u64>,
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// v1.
    Quota(Option<u64>),
    /// v1.
    Period(u64),
    /// v2: quota and period are one file.
    Both(Option<u64>, u64),
    Burst(u64),
}

/// At most four writes.
pub(super) type Steps = SmallVec<[Step; 4]>;

/// The writes that lead from `from` to `to`, each of which leaves a state that the kernel accepts: a burst is never over the quota, and
/// (v1, where the period is a file of its own) no mixture of old and new ever stands above the parent or below a child: while the period changes
/// there is no quota, for some µs. No write of what stands already.
pub(super) fn steps(version: Version, from: Bandwidth, to: Bandwidth) -> Steps {
    let mut steps = Steps::new();
    let burst = to.burst_us.filter(|_| to.burst_us != from.burst_us).map(Step::Burst);
    let same_period = to.period_us == from.period_us;
    if same_period && to.quota_us == from.quota_us {
        steps.extend(burst);
        return steps;
    }
    if version == Version::V1 && !same_period {
        steps.extend(from.quota_us.map(|_| Step::Quota(None)));
        steps.push(Step::Period(to.period_us));
        steps.extend(burst);
        steps.extend(to.quota_us.map(|quota_us| Step::Quota(Some(quota_us))));
        return steps;
    }
    let quota = if version == Version::V1 { Step::Quota(to.quota_us) } else { Step::Both(to.quota_us, to.period_us) };
    if to.quota_us.unwrap_or(u64::MAX) >= from.quota_us.unwrap_or(u64::MAX) {
        steps.push(quota);
        steps.extend(burst);
    } else {
        steps.extend(burst);
        steps.push(quota);
    }
    steps
}

impl Bandwidth {
    /// The quota in shares.
    pub(super) fn shares(self) -> Limit {
        self.quota_us.map_or(Limit::Unlimited, |quota_us| Limit::At(quota_us as f64 * 100.0 / self.period_us as f64))
    }

    /// That of a limit which was read, so its quota is one in whole µs.
    pub(super) fn of(limit: &CpuLimit) -> Self {
        let CpuLimit { quota, period_us, burst_us } = *limit;
        let quota_us = quota.amount().and_then(|shares| whole(shares / 100.0 * period_us as f64));
        Self { quota_us, period_us, burst_us }
    }

    pub(super) fn limit(self) -> CpuLimit {
        CpuLimit { quota: self.shares(), period_us: self.period_us, burst_us: self.burst_us }
    }

    /// What stands after `step`.
    #[must_use]
    pub(super) fn after(self, step: Step) -> Self {
        match step {
            Step::Quota(quota_us) => Self { quota_us, ..self },
            Step::Period(period_us) => Self { period_us, ..self },
            Step::Both(quota_us, period_us) => Self { quota_us, period_us, ..self },
            Step::Burst(burst_us) => Self { burst_us: Some(burst_us), ..self },
        }
    }

    /// The write that puts back what `step` changed.
    pub(super) fn restoring(self, step: Step) -> Step {
        match step {
            Step::Quota(_) => Step::Quota(self.quota_us),
            Step::Period(_) => Step::Period(self.period_us),
            Step::Both(..) => Step::Both(self.quota_us, self.period_us),
            Step::Burst(_) => Step::Burst(self.burst_us.unwrap_or(0)),
        }
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quota_us {
            Some(quota_us) => write!(f, "quota {quota_us}")?,
            None => write!(f, "quota max")?,
        }
        write!(f, " period {}", self.period_us)?;
        self.burst_us.map_or(Ok(()), |burst_us| write!(f, " burst {burst_us}"))
    }
}

#[cfg(test)]
mod tests;
