//! What the kernel says of a container's CPU, through files that are kept open.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::bench::ground::Container;

/// The counters and the limit of one container.
pub(in crate::bench) struct Cpu {
    usage: Kept,
    stat: Kept,
    limit: Limit,
}

enum Limit {
    /// `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    V1(Kept, Kept),
    /// `cpu.max`.
    V2(Kept),
}

/// What has been throttled so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::bench) struct Throttled {
    /// Periods in which the quota ran out.
    pub(in crate::bench) periods: u64,
    /// For how long its run queues were held up, in s; of several CPUs at once, the sum.
    pub(in crate::bench) seconds: f64,
}

impl Cpu {
    pub(in crate::bench) fn open(container: &Container) -> Result<Self> {
        let kept = |name| Kept::open(container.file(name).with_context(|| format!("the container has no {name}"))?);
        let v1 = container.file("cpu.cfs_quota_us").is_some();
        Ok(Self {
            usage: kept(if v1 { "cpuacct.usage" } else { "cpu.stat" })?,
            stat: kept("cpu.stat")?,
            limit: if v1 {
                Limit::V1(kept("cpu.cfs_quota_us")?, kept("cpu.cfs_period_us")?)
            } else {
                Limit::V2(kept("cpu.max")?)
            },
        })
    }

    /// CPU time used so far, in s.
    pub(in crate::bench) fn used(&self) -> Result<f64> {
        let text = self.usage.read()?;
        match text.trim().parse::<f64>() {
            Ok(ns) => Ok(ns / 1e9),
            _ => Ok(number(&text, "usage_usec")? / 1e6),
        }
    }

    pub(in crate::bench) fn throttled(&self) -> Result<Throttled> {
        throttled(&self.stat.read()?)
    }

    /// The limit in force, in shares; `None` where there is none.
    pub(in crate::bench) fn limit(&self) -> Result<Option<f64>> {
        match &self.limit {
            Limit::V1(quota, period) => shares(quota.read()?.trim(), period.read()?.trim()),
            Limit::V2(max) => {
                let text = max.read()?;
                let (quota, period) = text.trim().split_once(' ').with_context(|| format!("cpu.max is {text:?}"))?;
                shares(quota, period)
            }
        }
    }
}

/// Sets a container's limit, in shares.
pub(super) fn set_limit(container: &Container, shares: f64) -> Result<()> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number above 0")]
    container.set_quota((shares * 1000.0).round().max(1000.0) as u64)
}

fn shares(quota: &str, period: &str) -> Result<Option<f64>> {
    if quota == "-1" || quota == "max" {
        return Ok(None);
    }
    let us = |text: &str| text.parse::<f64>().with_context(|| format!("{text:?} is no number of us"));
    Ok(Some(us(quota)? * 100.0 / us(period)?))
}

fn throttled(stat: &str) -> Result<Throttled> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the kernel counts from 0 upwards")]
    let periods = number(stat, "nr_throttled")? as u64;
    let seconds =
        number(stat, "throttled_time").map(|ns| ns / 1e9).or_else(|_| number(stat, "throttled_usec").map(|us| us / 1e6))?;
    Ok(Throttled { periods, seconds })
}

/// The value of a line `key value`.
fn number(stat: &str, key: &str) -> Result<f64> {
    let value = stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).with_context(|| format!("cpu.stat has no {key}: {stat:?}"))
}

struct Kept {
    file: File,
    path: PathBuf,
}

impl Kept {
    fn open(path: PathBuf) -> Result<Self> {
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { file, path })
    }

    fn read(&self) -> Result<String> {
        let mut buffer = [0; 512];
        let length = self.file.read_at(&mut buffer, 0).with_context(|| format!("reading {}", self.path.display()))?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() -> Result<()> {
        let v1 = "nr_periods 12\nnr_throttled 3\nthrottled_time 250000000\nnr_bursts 0\nburst_time 0\n";
        let v2 = "usage_usec 7\nuser_usec 5\nsystem_usec 2\nnr_periods 12\nnr_throttled 3\nthrottled_usec 250000\n";
        let expected = Throttled { periods: 3, seconds: 0.25 };
        assert_eq!((throttled(v1)?, throttled(v2)?), (expected, expected));
        assert!(throttled("usage_usec 7\n").is_err());
        assert_eq!((shares("-1", "100000")?, shares("max", "100000")?), (None, None));
        assert_eq!((shares("55000", "100000")?, shares("5000", "10000")?), (Some(55.0), Some(50.0)));
        Ok(())
    }
}
