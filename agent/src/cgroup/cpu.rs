//! The CPU quota: kept descriptors, the order in which its parts may be written, undo.
//!
//! Shares and µs: `quota_us = shares / 100 * period_us`. The kernel takes a quota of 1 ms and more, a period of 1 ms to 1 s, and a burst
//! up to the quota (`kernel/sched/core.c`, `tg_set_cfs_bandwidth`); each write of a file is checked against what the others say then.

use std::sync::Arc;

use headroom_model::limit::Limit;

use super::bandwidth::{Bandwidth, Step, steps};
use super::dir::{Access, Dir, KeptFile};
use super::error::{CgroupError, Result, optional};
use super::hierarchies::{Controller, Version};
use super::text::{Line, whole};
use super::{Cgroup, CpuLimit};

/// The least quota that the kernel takes, in µs: 1 share of a period of 100 ms.
pub const MIN_QUOTA_US: u64 = 1_000;
/// The shortest period, in µs.
pub const MIN_PERIOD_US: u64 = 1_000;
/// The longest period, in µs.
pub const MAX_PERIOD_US: u64 = 1_000_000;

/// Longer than any of the files.
const TEXT: usize = 64;

/// The files of one cgroup's CPU quota, kept open for hot reads and writes. It stays with this incarnation of the cgroup: when that is
/// removed, every call answers [`CgroupError::Gone`].
#[derive(Debug)]
pub struct CpuQuota {
    dir: Arc<Dir>,
    files: Files,
    burst: Option<KeptFile>,
}

#[derive(Debug)]
enum Files {
    V1 { quota: KeptFile, period: KeptFile },
    V2 { max: KeptFile },
}

impl CpuQuota {
    pub(super) fn open(cgroup: &Cgroup, access: Access) -> Result<Self> {
        let dir = Arc::clone(cgroup.dir(Controller::Cpu)?);
        let open = |name| dir.file(name, Controller::Cpu, access);
        let (files, burst) = match dir.version() {
            Version::V1 => {
                (Files::V1 { quota: open("cpu.cfs_quota_us")?, period: open("cpu.cfs_period_us")? }, "cpu.cfs_burst_us")
            }
            Version::V2 => (Files::V2 { max: open("cpu.max")? }, "cpu.max.burst"),
        };
        let burst = optional(open(burst))?;
        Ok(Self { dir, files, burst })
    }

    /// What is in force in this cgroup itself.
    pub fn read(&self) -> Result<CpuLimit> {
        self.bandwidth().map(Bandwidth::limit)
    }

    /// Puts `limit` in force and answers what the kernel made of it (whole µs). Parts that stand already are not written; `burst_us: None`
    /// leaves the burst, but never over the quota. Read back and compared; when a later part is refused the earlier ones are
    /// put back. A difference in what is read back is somebody else's write, and stays.
    pub fn write(&self, limit: &CpuLimit) -> Result<CpuLimit> {
        self.write_from(self.bandwidth()?, limit)
    }

    /// The same over `stands`, which was read just now: each reading takes microseconds, and a raise is waited for.
    pub fn write_over(&self, stands: &CpuLimit, limit: &CpuLimit) -> Result<CpuLimit> {
        self.write_from(Bandwidth::of(stands), limit)
    }

    fn write_from(&self, from: Bandwidth, limit: &CpuLimit) -> Result<CpuLimit> {
        let to = self.target(limit, from)?;
        let steps = steps(self.dir.version(), from, to);
        if steps.is_empty() {
            return Ok(to.limit());
        }
        let mut state = from;
        for (done, step) in steps.iter().enumerate() {
            if let Err(error) = self.take(*step) {
                let cause = self.explain(error, from, to);
                return Err(self.undo(&steps[..done], from, cause));
            }
            state = state.after(*step);
        }
        let reads = self.bandwidth()?;
        if reads == state {
            return Ok(reads.limit());
        }
        Err(CgroupError::Verify { file: self.main().whole(), wrote: state.to_string(), reads: reads.to_string() })
    }

    fn main(&self) -> &KeptFile {
        match &self.files {
            Files::V1 { quota, .. } => quota,
            Files::V2 { max } => max,
        }
    }

    fn bandwidth(&self) -> Result<Bandwidth> {
        let mut buffer = [0; TEXT];
        let (quota_us, period_us) = match &self.files {
            Files::V1 { quota, period } => {
                let text = quota.read(&mut buffer)?;
                let quota_us = match text.trim_end() {
                    "-1" => None,
                    number => Some(number.parse().map_err(|_not| quota.not_understood(text, "µs, or -1"))?),
                };
                (quota_us, read_number(period)?)
            }
            Files::V2 { max } => {
                let text = max.read(&mut buffer)?;
                parse_max(text).ok_or_else(|| max.not_understood(text, "a quota in µs or max, and a period in µs"))?
            }
        };
        let burst_us = self.burst.as_ref().map(read_number).transpose()?;
        Ok(Bandwidth { quota_us, period_us, burst_us })
    }

    /// `limit` in whole µs, or why no kernel would take it.
    fn target(&self, limit: &CpuLimit, from: Bandwidth) -> Result<Bandwidth> {
        let out_of_range = |what, value: String, expected: String| CgroupError::OutOfRange {
            path: self.dir.path().clone(),
            what,
            value,
            expected,
        };
        let period_us = limit.period_us;
        if !(MIN_PERIOD_US..=MAX_PERIOD_US).contains(&period_us) {
            let expected = format!("{MIN_PERIOD_US} to {MAX_PERIOD_US} µs");
            return Err(out_of_range("CPU period", format!("{period_us} µs"), expected));
        }
        let quota_us = match limit.quota {
            Limit::Unlimited => None,
            Limit::At(shares) => {
                let quota_us = whole(shares / 100.0 * period_us as f64).filter(|us| *us >= MIN_QUOTA_US);
                Some(quota_us.ok_or_else(|| {
                    let least = MIN_QUOTA_US as f64 / period_us as f64 * 100.0;
                    let expected = format!("{least} shares or more with a period of {period_us} µs");
                    out_of_range("CPU quota", format!("{shares} shares"), expected)
                })?)
            }
        };
        let most = quota_us.unwrap_or(u64::MAX);
        let burst_us = match (from.burst_us, limit.burst_us) {
            (Some(_), Some(burst_us)) if burst_us > most => {
                return Err(out_of_range("CPU burst", format!("{burst_us} µs"), format!("at most the quota, {most} µs")));
            }
            (Some(_), Some(burst_us)) => Some(burst_us),
            (current, _) => current.map(|burst_us| burst_us.min(most)),
        };
        Ok(Bandwidth { quota_us, period_us, burst_us })
    }

    fn take(&self, step: Step) -> Result<()> {
        match (&self.files, step) {
            (Files::V1 { quota, .. }, Step::Quota(None)) => quota.write("-1"),
            (Files::V1 { quota, .. }, Step::Quota(Some(us))) => quota.write(Line::new(format_args!("{us}")).as_str()),
            (Files::V1 { period, .. }, Step::Period(us)) => period.write(Line::new(format_args!("{us}")).as_str()),
            (Files::V2 { max }, Step::Both(Some(us), period)) => max.write(Line::new(format_args!("{us} {period}")).as_str()),
            (Files::V2 { max }, Step::Both(None, period)) => max.write(Line::new(format_args!("max {period}")).as_str()),
            (_, Step::Burst(us)) => match &self.burst {
                Some(burst) => burst.write(Line::new(format_args!("{us}")).as_str()),
                None => Ok(()),
            },
            // `steps` plans for the version that the files are of.
            (Files::V1 { .. }, Step::Both(..)) | (Files::V2 { .. }, Step::Quota(_) | Step::Period(_)) => Ok(()),
        }
    }

    /// Puts back what `done` changed, last first: every state on the way stood before.
    fn undo(&self, done: &[Step], from: Bandwidth, cause: CgroupError) -> CgroupError {
        for step in done.iter().rev() {
            match self.take(from.restoring(*step)) {
                Ok(()) => {}
                // Nothing stands half-way where nothing stands.
                Err(gone) if gone.is_absent() => return gone,
                Err(undo) => return CgroupError::HalfDone { cause: cause.into(), undo: undo.into() },
            }
        }
        cause
    }

    /// Says what an EINVAL of v1 is about, where the tree tells.
    fn explain(&self, error: CgroupError, from: Bandwidth, to: Bandwidth) -> CgroupError {
        let CgroupError::Write { answer, .. } = &error else { return error };
        let (Files::V1 { .. }, Some(nix::libc::EINVAL)) = (&self.files, answer.raw_os_error()) else { return error };
        let path = self.dir.path().clone();
        match (to.shares(), tightest_above(&self.dir)) {
            (Limit::At(wanted), Ok(Some((ancestor, limit)))) if wanted > limit => {
                CgroupError::OverParent { path, wanted, ancestor, limit }
            }
            (Limit::At(wanted), Ok(_)) if from.shares().amount().is_none_or(|before| wanted < before) => {
                CgroupError::UnderChild { path, wanted }
            }
            _ => error,
        }
    }
}

/// The cgroup above `dir` with the least quota, and that in shares.
fn tightest_above(dir: &Dir) -> Result<Option<(super::CgroupPath, f64)>> {
    let mut tightest: Option<(super::CgroupPath, f64)> = None;
    let mut above = dir.parent()?;
    while let Some(dir) = above {
        if let Limit::At(shares) = quota_of(&dir)?
            && tightest.as_ref().is_none_or(|(_, least)| shares < *least)
        {
            tightest = Some((dir.path().clone(), shares));
        }
        above = dir.parent()?;
    }
    Ok(tightest)
}

/// The least of the quotas above `dir`, in shares.
pub(super) fn least_quota_above(dir: &Dir) -> Result<Limit> {
    Ok(tightest_above(dir)?.map_or(Limit::Unlimited, |(_, shares)| Limit::At(shares)))
}

/// The least of the quotas of `dir` and all above it, in shares.
pub(super) fn least_quota(dir: &Dir) -> Result<Limit> {
    Ok(quota_of(dir)?.min(least_quota_above(dir)?))
}

/// The quota of `dir`, in shares; where the controller is not enabled there is none.
fn quota_of(dir: &Dir) -> Result<Limit> {
    const EXPECTED: &str = "a quota and a period in µs";
    let bandwidth = match dir.version() {
        Version::V1 => {
            let quota_us = dir.parse("cpu.cfs_quota_us", Controller::Cpu, EXPECTED, |text| match text.trim() {
                "-1" => Some(None),
                number => number.parse().ok().map(Some),
            });
            let period_us = dir.parse("cpu.cfs_period_us", Controller::Cpu, EXPECTED, |text| text.trim().parse().ok());
            quota_us.and_then(|quota_us| Ok((quota_us, period_us?)))
        }
        Version::V2 => dir.parse("cpu.max", Controller::Cpu, EXPECTED, parse_max),
    };
    Ok(match optional(bandwidth)? {
        Some((quota_us, period_us)) => Bandwidth { quota_us, period_us, burst_us: None }.shares(),
        None => Limit::Unlimited,
    })
}

/// `cpu.max`: quota (`None` for max) and period.
fn parse_max(text: &str) -> Option<(Option<u64>, u64)> {
    let (quota, period) = text.trim_end().split_once(' ')?;
    let quota_us = if quota == "max" { None } else { Some(quota.parse().ok()?) };
    Some((quota_us, period.parse().ok()?))
}

fn read_number(file: &KeptFile) -> Result<u64> {
    let mut buffer = [0; TEXT];
    let text = file.read(&mut buffer)?;
    text.trim_end().parse().map_err(|_not| file.not_understood(text, "a number of µs"))
}
