//! CPU bandwidth: `kernel/sched/core.c`, `tg_set_cfs_bandwidth`.

use headroom_agent::cgroup::Version;
use nix::errno::Errno;

use super::Answer;
use super::files::number;
use super::tree::Tree;

/// All in µs.
#[derive(Clone, Copy)]
pub(super) struct Cpu {
    quota: Option<u64>,
    period: u64,
    burst: u64,
    weight: u64,
}

impl Default for Cpu {
    fn default() -> Self {
        Self { quota: None, period: 100_000, burst: 0, weight: 100 }
    }
}

/// A quota and a burst are together below this.
const MOST: u64 = 1 << 44;

impl Cpu {
    fn check(self) -> Answer<()> {
        let quota = self.quota.unwrap_or(u64::MAX);
        let is_possible = quota >= 1_000 && (1_000..=1_000_000).contains(&self.period);
        let together = self.quota.is_none_or(|quota| self.burst <= quota && self.burst.saturating_add(quota) < MOST);
        if is_possible && together { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Of one CPU, in units of 2^-20.
    fn ratio(self) -> Option<u64> {
        self.quota.map(|quota| u64::try_from((u128::from(quota) << 20) / u128::from(self.period)).unwrap())
    }
}

impl Tree {
    pub(super) fn read_cpu(&self, id: u64, name: &str, is_limited: bool) -> String {
        let (cpu, version) = (self.group(id).cpu, self.version(id));
        let quota = |off: &str| cpu.quota.map_or(off.to_owned(), |quota| quota.to_string());
        match name {
            "cpu.max" => format!("{} {}", quota("max"), cpu.period),
            "cpu.cfs_quota_us" => quota("-1"),
            "cpu.cfs_period_us" => cpu.period.to_string(),
            "cpu.max.burst" | "cpu.cfs_burst_us" => cpu.burst.to_string(),
            "cpu.weight" => cpu.weight.to_string(),
            "cpuacct.usage" => "0".to_owned(),
            "cpuacct.stat" => "user 0\nsystem 0\n".to_owned(),
            _ => {
                let time = if version == Version::V2 { "usage_usec 0\nuser_usec 0\nsystem_usec 0\n" } else { "" };
                let unit = if version == Version::V2 { "throttled_usec" } else { "throttled_time" };
                let limited = if is_limited { format!("nr_periods 0\nnr_throttled 0\n{unit} 0\n") } else { String::new() };
                format!("{time}{limited}")
            }
        }
    }

    pub(super) fn write_cpu(&mut self, id: u64, name: &str, text: &str) -> Answer<()> {
        let before = self.group(id).cpu;
        let mut cpu = before;
        match name {
            "cpu.weight" => {
                cpu.weight = Some(number(text)?).filter(|weight| (1..=10_000).contains(weight)).ok_or(Errno::ERANGE)?;
            }
            "cpu.max" => {
                let (quota, period) = text.split_once(' ').map_or((text, None), |(quota, period)| (quota, Some(period)));
                cpu.quota = if quota == "max" { None } else { Some(number(quota)?) };
                cpu.period = period.map_or(Ok(before.period), number)?;
            }
            "cpu.cfs_quota_us" => cpu.quota = if text == "-1" { None } else { Some(number(text)?) },
            "cpu.cfs_period_us" => cpu.period = number(text)?,
            _ => cpu.burst = number(text)?,
        }
        cpu.check()?;
        self.at(id).cpu = cpu;
        if self.version(id) == Version::V1 && !self.fits(self.root_of(id), None) {
            self.at(id).cpu = before;
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// v1: nothing below may have more than what is above it. (v2 lets the least count.)
    fn fits(&self, id: u64, above: Option<u64>) -> bool {
        let own = self.group(id).cpu.ratio();
        let fits = own.zip(above).is_none_or(|(own, above)| own <= above);
        fits && self.below(id).all(|below| self.fits(below, own.or(above)))
    }

    fn root_of(&self, id: u64) -> u64 {
        self.group(id).parent.map_or(id, |parent| self.root_of(parent))
    }
}
