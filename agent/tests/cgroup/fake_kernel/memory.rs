//! Memory: `mm/memcontrol.c` and `mm/memcontrol-v1.c`. All that is in use stays so: there is nothing to be had back.

use headroom_agent::cgroup::Version;
use nix::errno::Errno;

use super::Answer;
use super::files::number;
use super::tree::Tree;

/// In bytes; no limit is [`OFF`].
#[derive(Clone, Copy)]
pub(super) struct Memory {
    pub(super) usage: u64,
    high: u64,
    max: u64,
    /// v2: of swap. v1: of both together.
    swap: u64,
    oom_kills: u64,
}

/// The most whole pages: what v1 shows, and v2 calls max.
const OFF: u64 = 9_223_372_036_854_771_712;
const PAGE: u64 = 4096;

impl Default for Memory {
    fn default() -> Self {
        Self { usage: 0, high: OFF, max: OFF, swap: OFF, oom_kills: 0 }
    }
}

impl Memory {
    /// Without the controller there are no limits; what is in use stays so.
    pub(super) fn forget(&mut self) {
        *self = Self { usage: self.usage, ..Self::default() };
    }
}

/// Rounded down to pages; K, M and G are understood.
fn parse(version: Version, text: &str) -> Answer<u64> {
    let off = if version == Version::V1 { "-1" } else { "max" };
    if text == off {
        return Ok(OFF);
    }
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 10),
        Some((at, 'M' | 'm')) => (&text[..at], 20),
        Some((at, 'G' | 'g')) => (&text[..at], 30),
        _ => (text, 0),
    };
    Ok(((number(digits)? << unit) / PAGE * PAGE).min(OFF))
}

impl Tree {
    pub(super) fn read_memory(&self, id: u64, name: &str) -> String {
        let memory = self.group(id).memory;
        let limit = |bytes: u64| {
            if bytes == OFF && self.version(id) == Version::V2 { "max".to_owned() } else { bytes.to_string() }
        };
        match name {
            "memory.high" => limit(memory.high),
            "memory.max" | "memory.limit_in_bytes" => limit(memory.max),
            "memory.swap.max" | "memory.memsw.limit_in_bytes" => limit(memory.swap),
            "memory.swap.current" => "0".to_owned(),
            "memory.stat" => "inactive_file 0\ntotal_inactive_file 0\n".to_owned(),
            "memory.events" => format!("low 0\nhigh 0\noom {0}\noom_kill {0}\n", memory.oom_kills),
            "memory.oom_control" => format!("oom_kill_disable 0\nunder_oom 0\noom_kill {}\n", memory.oom_kills),
            _ => memory.usage.to_string(),
        }
    }

    pub(super) fn write_memory(&mut self, id: u64, name: &str, text: &str) -> Answer<()> {
        let version = self.version(id);
        let memory = &mut self.at(id).memory;
        let limit = parse(version, text)?;
        match name {
            "memory.high" => memory.high = limit,
            "memory.max" => {
                // Not refused: what is over it is killed.
                memory.max = limit;
                if memory.usage > limit {
                    memory.oom_kills += 1;
                }
            }
            "memory.swap.max" => memory.swap = limit,
            "memory.limit_in_bytes" if limit > memory.swap => return Err(Errno::EINVAL),
            "memory.memsw.limit_in_bytes" if limit < memory.max => return Err(Errno::EINVAL),
            _ if memory.usage > limit => return Err(Errno::EBUSY),
            "memory.limit_in_bytes" => memory.max = limit,
            "memory.memsw.limit_in_bytes" => memory.swap = limit,
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }
}
