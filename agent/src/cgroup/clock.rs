//! Counters on kept descriptors: CPU time and throttling.

use std::sync::Arc;

use super::dir::{Access, Dir, KeptFile};
use super::error::Result;
use super::hierarchies::{Controller, Version};
use super::text::value_of;
use super::{Cgroup, CpuTime, Throttling};

/// Longer than `cpu.stat` of any kernel.
const TEXT: usize = 1024;

/// What one tick of `cpuacct.stat` is, in µs: `USER_HZ` is 100 on every architecture that is in use.
const TICK_US: u64 = 10_000;

/// A cgroup's CPU time, on a kept descriptor. v2: `cpu.stat`. v1: `cpuacct.usage` for the sum and `cpuacct.stat` for its parts; where
/// cpuacct is not mounted, `cpu.stat` in the v2 tree of a hybrid host. Nothing is allocated unless a read fails.
#[derive(Debug)]
pub struct CpuClock(Source);

#[derive(Debug)]
enum Source {
    Stat(KeptFile),
    Acct { usage: KeptFile, stat: KeptFile },
}

impl CpuClock {
    pub(super) fn open(cgroup: &Cgroup) -> Result<Self> {
        let source = match cgroup.dir_of_cpu_time()? {
            dir if dir.version() == Version::V2 => Source::Stat(dir.file("cpu.stat", Controller::Cpu, Access::Read)?),
            dir => Source::Acct {
                usage: dir.file("cpuacct.usage", Controller::CpuAcct, Access::Read)?,
                stat: dir.file("cpuacct.stat", Controller::CpuAcct, Access::Read)?,
            },
        };
        Ok(Self(source))
    }

    /// The sum alone, in ns: one `pread`. It is exact; v2 shows whole µs of it.
    pub fn total_ns(&self) -> Result<u64> {
        let mut buffer = [0; TEXT];
        match &self.0 {
            Source::Stat(file) => {
                let text = file.read(&mut buffer)?;
                let total_us = value_of(text, "usage_usec");
                total_us.map(|us| us * 1_000).ok_or_else(|| file.not_understood(text, "a line with usage_usec"))
            }
            Source::Acct { usage, .. } => {
                let text = usage.read(&mut buffer)?;
                text.trim_end().parse().map_err(|_not| usage.not_understood(text, "a number of ns"))
            }
        }
    }

    /// The sum and its parts: one `pread`, two on v1. The parts are what v1 counts in ticks, so their sum may be off there.
    pub fn read(&self) -> Result<CpuTime> {
        let mut buffer = [0; TEXT];
        match &self.0 {
            Source::Stat(file) => {
                let text = file.read(&mut buffer)?;
                parse_stat(text).ok_or_else(|| file.not_understood(text, "usage_usec, user_usec and system_usec"))
            }
            Source::Acct { stat, .. } => {
                let total_us = self.total_ns()? / 1_000;
                let text = stat.read(&mut buffer)?;
                let ticks = |key| value_of(text, key).map(|ticks| ticks * TICK_US);
                match (ticks("user"), ticks("system")) {
                    (Some(user_us), Some(kernel_us)) => Ok(CpuTime { total_us, user_us, kernel_us }),
                    _ => Err(stat.not_understood(text, "user and system")),
                }
            }
        }
    }
}

fn parse_stat(text: &str) -> Option<CpuTime> {
    Some(CpuTime {
        total_us: value_of(text, "usage_usec")?,
        user_us: value_of(text, "user_usec")?,
        kernel_us: value_of(text, "system_usec")?,
    })
}

/// A cgroup's throttling counters (`cpu.stat` of the cpu controller), on a kept descriptor: a read is one `pread`.
#[derive(Debug)]
pub struct ThrottleClock {
    stat: KeptFile,
    version: Version,
}

impl ThrottleClock {
    pub(super) fn open(cgroup: &Cgroup) -> Result<Self> {
        let dir: &Arc<Dir> = cgroup.dir(Controller::Cpu)?;
        // v2 has a cpu.stat without the controller, too: but nothing about throttling in it.
        if dir.version() == Version::V2 {
            dir.file("cpu.max", Controller::Cpu, Access::Read)?;
        }
        Ok(Self { stat: dir.file("cpu.stat", Controller::Cpu, Access::Read)?, version: dir.version() })
    }

    /// The counters now.
    pub fn read(&self) -> Result<Throttling> {
        let mut buffer = [0; TEXT];
        let text = self.stat.read(&mut buffer)?;
        let throttled_us = match self.version {
            Version::V1 => value_of(text, "throttled_time").map(|ns| ns / 1_000),
            Version::V2 => value_of(text, "throttled_usec"),
        };
        match (value_of(text, "nr_periods"), value_of(text, "nr_throttled"), throttled_us) {
            (Some(periods), Some(throttled_periods), Some(throttled_us)) => {
                Ok(Throttling { periods, throttled_periods, throttled_us })
            }
            _ => Err(self.stat.not_understood(text, "nr_periods, nr_throttled and the time throttled")),
        }
    }
}
