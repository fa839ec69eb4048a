//! What a host is called and how much memory it has.

use std::path::Path;

use super::{HostError, parse_error, read};

/// Does not change while the kernel runs (but the hostname, which is asked once).
#[derive(Clone, Debug, PartialEq)]
pub struct HostFacts {
    /// The machine's name.
    pub hostname: String,
    /// The kernel's id of this boot: cgroup ids mean nothing beyond it.
    pub boot_id: String,
    /// All memory that the kernel manages, in MiB.
    pub memory_mib: f64,
}

impl HostFacts {
    /// Of this host.
    pub fn read() -> Result<Self, HostError> {
        Self::read_at(Path::new("/proc"))
    }

    fn read_at(proc: &Path) -> Result<Self, HostError> {
        let meminfo = proc.join("meminfo");
        let text = read(&meminfo)?;
        let memory_mib = memory_mib(&text).ok_or_else(|| parse_error(&meminfo, &text, "a line like MemTotal: 16384 kB"))?;
        let name_file = proc.join("sys/kernel/hostname");
        Ok(Self { hostname: read(&name_file)?, boot_id: read(&proc.join("sys/kernel/random/boot_id"))?, memory_mib })
    }
}

/// `MemTotal` of `/proc/meminfo`, there in kB (by which it means KiB).
fn memory_mib(meminfo: &str) -> Option<f64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_mib() {
        assert_eq!(memory_mib("MemFree:  7 kB\nMemTotal:       16777216 kB\n"), Some(16384.0));
        assert_eq!(memory_mib("MemFree:  7 kB\n"), None);
        assert_eq!(memory_mib("MemTotal: much\n"), None);
    }

    #[test]
    fn this_host_has_a_name_a_boot_and_memory() {
        let facts = HostFacts::read().unwrap();
        assert!(!facts.hostname.is_empty());
        assert_eq!(facts.boot_id.len(), 36, "{}", facts.boot_id);
        assert!(facts.memory_mib > 64.0);
        assert_eq!(facts, HostFacts::read().unwrap());
    }
}
