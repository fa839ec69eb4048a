//! The privileges that are of use here (capabilities(7)).

use std::path::Path;

use super::{HostError, parse_error, read};

/// A privilege; the number is the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// Writes to cgroups that were handed to another user.
    DacOverride = 1,
    /// Attaches programs where sockets receive and send.
    NetAdmin = 12,
    /// Keeps memory in memory beyond the limit for it.
    IpcLock = 14,
    /// Sees which network a process is in.
    SysPtrace = 19,
    /// Before Linux 5.8 all that eBPF needs; since then more than is needed.
    SysAdmin = 21,
    /// Real-time priority, or at least a better one.
    SysNice = 23,
    /// Raises limits of the process itself.
    SysResource = 24,
    /// Lets programs watch the scheduler.
    Perfmon = 38,
    /// Loads programs and makes their maps.
    Bpf = 39,
}

impl Capability {
    /// The kernel's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DacOverride => "CAP_DAC_OVERRIDE",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::IpcLock => "CAP_IPC_LOCK",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysNice => "CAP_SYS_NICE",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

/// The privileges that a process has in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Every one there is.
    pub const ALL: Self = Self(u64::MAX);

    /// None at all.
    pub const NONE: Self = Self(0);

    /// Those of this process.
    pub fn read() -> Result<Self, HostError> {
        let file = Path::new("/proc/self/status");
        let status = read(file)?;
        Self::parse(&status).ok_or_else(|| parse_error(file, &status, "a line CapEff: with a hexadecimal number"))
    }

    fn parse(status: &str) -> Option<Self> {
        let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(hex.trim(), 16).ok().map(Self)
    }

    /// Whether it is among them.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & Self::bit(capability) != 0
    }

    /// All but one.
    #[must_use]
    pub fn without(self, capability: Capability) -> Self {
        Self(self.0 & !Self::bit(capability))
    }

    fn bit(capability: Capability) -> u64 {
        1 << capability as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_in_force() {
        let status = "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t000000c000800002\nCapBnd:\t0\n";
        let has = Capabilities::parse(status).unwrap();
        for capability in [Capability::Bpf, Capability::Perfmon, Capability::SysNice, Capability::DacOverride] {
            assert!(has.has(capability), "{}", capability.name());
            assert!(!has.without(capability).has(capability));
        }
        assert!(!has.has(Capability::SysAdmin));
        assert_eq!(Capabilities::parse("CapEff:\tzz\n"), None);
    }
}
