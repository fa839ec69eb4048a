//! Memory: what is in use, and its limits.

use headroom_model::limit::Limit;

use super::Cgroup;
use super::dir::Dir;
use super::error::{CgroupError, Result, optional};
use super::hierarchies::{Controller, Version};
use super::text::{MIB, limit_mib, value_of, whole};

/// A cgroup's memory now, everything below it included; amounts in MiB.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct MemoryReading {
    /// The working set: what is charged, without the page cache that was not touched lately (`current - inactive_file`).
    pub usage_mib: f64,
    /// All that is charged.
    pub current_mib: f64,
    /// v2's `memory.high`, past which the kernel reclaims and slows down, but does not kill. v1 has none.
    pub high: Limit,
    /// `memory.max`, v1 `memory.limit_in_bytes`.
    pub max: Limit,
    /// Swap in use; `None` where swap is not accounted.
    pub swap_mib: Option<f64>,
    /// The swap limit; v1, which limits the sum of both: what that leaves over `max`.
    pub swap_max: Limit,
    /// How many processes the OOM killer has ended, cumulative; `None` where the kernel does not count them.
    pub oom_kills: Option<u64>,
}

pub(super) const HIGH: &str = "memory.high";
pub(super) const MAX_V1: &str = "memory.limit_in_bytes";
pub(super) const MAX_V2: &str = "memory.max";
pub(super) const MEMSW: &str = "memory.memsw.limit_in_bytes";

const BYTES: &str = "bytes, or max";

fn number(dir: &Dir, name: &str) -> Result<f64> {
    dir.parse(name, Controller::Memory, "a number of bytes", |text| text.trim().parse::<u64>().ok().map(|bytes| bytes as f64))
}

fn limit(dir: &Dir, name: &str) -> Result<Limit> {
    dir.parse(name, Controller::Memory, BYTES, limit_mib)
}

/// `memory.current` and the working set, in bytes.
fn in_use(dir: &Dir) -> Result<(f64, f64)> {
    let (current, inactive) = match dir.version() {
        Version::V1 => ("memory.usage_in_bytes", "total_inactive_file"),
        Version::V2 => ("memory.current", "inactive_file"),
    };
    let inactive = dir.parse("memory.stat", Controller::Memory, "a line with inactive_file", |text| value_of(text, inactive))?;
    let current = number(dir, current)?;
    Ok((current, (current - inactive as f64).max(0.0)))
}

pub(super) fn read(cgroup: &Cgroup) -> Result<MemoryReading> {
    let dir = cgroup.dir(Controller::Memory)?;
    let (current, working_set) = in_use(dir)?;
    let mut reading = MemoryReading {
        usage_mib: working_set / MIB,
        current_mib: current / MIB,
        high: Limit::Unlimited,
        max: Limit::Unlimited,
        swap_mib: None,
        swap_max: Limit::Unlimited,
        oom_kills: None,
    };
    let oom_kills = |name| optional(dir.read(name, Controller::Memory)).map(|text| value_of(&text?, "oom_kill"));
    match dir.version() {
        Version::V1 => {
            reading.max = limit(dir, MAX_V1)?;
            reading.oom_kills = oom_kills("memory.oom_control")?;
            if let Some(both) = optional(number(dir, "memory.memsw.usage_in_bytes"))? {
                reading.swap_mib = Some((both - current).max(0.0) / MIB);
                reading.swap_max = match (limit(dir, MEMSW)?, reading.max) {
                    (Limit::At(both), Limit::At(memory)) => Limit::At((both - memory).max(0.0)),
                    (both, _) => both,
                };
            }
        }
        Version::V2 => {
            reading.high = limit(dir, HIGH)?;
            reading.max = limit(dir, MAX_V2)?;
            reading.oom_kills = oom_kills("memory.events")?;
            if let Some(swap) = optional(number(dir, "memory.swap.current"))? {
                reading.swap_mib = Some(swap / MIB);
                reading.swap_max = limit(dir, "memory.swap.max")?;
            }
        }
    }
    Ok(reading)
}

/// The least of the hard limits above a cgroup, in MiB.
pub(super) fn least_above(cgroup: &Cgroup) -> Result<Limit> {
    let mut least = Limit::Unlimited;
    let mut above = cgroup.dir(Controller::Memory)?.parent()?;
    while let Some(dir) = above {
        let file = if dir.version() == Version::V1 { MAX_V1 } else { MAX_V2 };
        // The root has none on v2.
        least = least.min(optional(limit(&dir, file))?.unwrap_or(Limit::Unlimited));
        above = dir.parent()?;
    }
    Ok(least)
}

/// What to write for `limit`.
pub(super) fn spelled(dir: &Dir, limit: Limit) -> Result<String> {
    let Limit::At(mib) = limit else {
        return Ok(if dir.version() == Version::V1 { "-1" } else { "max" }.to_owned());
    };
    match whole(mib * MIB).filter(|_| mib > 0.0) {
        Some(bytes) => Ok(bytes.to_string()),
        None => Err(CgroupError::OutOfRange {
            path: dir.path().clone(),
            what: "memory limit",
            value: format!("{mib} MiB"),
            expected: "more than 0 MiB, and less than 8 PiB".to_owned(),
        }),
    }
}

/// Whether what is read back is what was written: the kernel rounds down to whole pages, of 64 KiB at most.
pub(super) fn same(wrote: &str, reads: &str) -> bool {
    match (limit_mib(wrote), limit_mib(reads)) {
        (Some(Limit::At(wrote)), Some(Limit::At(reads))) => (0.0..0.0625).contains(&(wrote - reads)),
        (wrote, reads) => wrote.is_some() && wrote == reads,
    }
}

/// v2 takes a `memory.max` below what is in use, and then kills: so it is refused here. (v1 refuses by itself.)
pub(super) fn refuse_to_kill(dir: &Dir, limit: Limit) -> Result<()> {
    match (dir.version(), limit) {
        (Version::V2, Limit::At(mib)) => {
            let (_, working_set) = in_use(dir)?;
            if mib * MIB < working_set { Err(below_usage(dir, MAX_V2, mib, working_set)) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// v1's EBUSY, explained.
pub(super) fn explain_busy(dir: &Dir, limit: Limit, error: CgroupError) -> CgroupError {
    match (&error, limit) {
        (CgroupError::Write { answer, .. }, Limit::At(mib)) if answer.raw_os_error() == Some(nix::libc::EBUSY) => {
            match in_use(dir) {
                Ok((_, working_set)) => below_usage(dir, MAX_V1, mib, working_set),
                Err(_) => error,
            }
        }
        _ => error,
    }
}

fn below_usage(dir: &Dir, name: &str, wanted_mib: f64, usage: f64) -> CgroupError {
    let advice = match dir.version() {
        Version::V1 => "wait until it uses less, or ask for more than that",
        Version::V2 => "wait until it uses less, or use memory.high",
    };
    CgroupError::BelowUsage { file: dir.whole(name), wanted_mib, usage_mib: usage / MIB, advice }
}

/// v1's limit on memory and swap together that goes with a new `max`: what it left for swap stays. `None` where there is nothing to move.
pub(super) fn memsw_for(dir: &Dir, max: Limit) -> Result<Option<String>> {
    let Some(Limit::At(both)) = optional(limit(dir, MEMSW))? else { return Ok(None) };
    let (Limit::At(memory), Limit::At(max)) = (limit(dir, MAX_V1)?, max) else { return spelled(dir, Limit::Unlimited).map(Some) };
    spelled(dir, Limit::At(max + (both - memory).max(0.0))).map(Some)
}

/// Whether the limit that reads `from` is lower than `to`.
pub(super) fn is_raise(from: &str, to: &str) -> bool {
    let bytes = |text| limit_mib(text).map_or(f64::INFINITY, |limit| limit.amount().unwrap_or(f64::INFINITY));
    bytes(to) > bytes(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_rounded_down_and_nothing_else() {
        assert!(same("10000001", "9998336"));
        assert!(same("max", "max") && same("-1", "9223372036854771712"));
        assert!(!same("9998336", "10002432"), "never up");
        assert!(!same("10000001", "9900000") && !same("max", "4096") && !same("4096", "max"));
    }

    #[test]
    fn boundless_is_above_all() {
        assert!(is_raise("4096", "-1") && is_raise("4096", "8192") && !is_raise("max", "4096") && !is_raise("4096", "4096"));
    }
}
