//! Which files there are, and what is read and written in all of them.

use headroom_agent::cgroup::Controller::{self, Cpu, CpuAcct, Cpuset, Io, Memory};
use headroom_agent::cgroup::Version::{self, V1, V2};
use nix::errno::Errno;

use super::Answer;

/// Whose a file is.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// Each cgroup's.
    Every,
    Controller(Controller),
    /// Of v1's hierarchy for that.
    Freezer,
}

/// The interface, whose, its name, and whether the root of a hierarchy has it, too.
pub(super) const FILES: &[(Version, Of, &str, bool)] = &[
    (V2, Of::Every, "cgroup.controllers", true),
    (V2, Of::Every, "cgroup.subtree_control", true),
    (V2, Of::Every, "cgroup.procs", true),
    (V2, Of::Every, "cgroup.threads", true),
    (V2, Of::Every, "cgroup.type", false),
    (V2, Of::Every, "cgroup.freeze", false),
    (V2, Of::Every, "cgroup.events", false),
    (V2, Of::Every, "cpu.stat", true),
    (V2, Of::Controller(Cpu), "cpu.max", false),
    (V2, Of::Controller(Cpu), "cpu.max.burst", false),
    (V2, Of::Controller(Cpu), "cpu.weight", false),
    (V2, Of::Controller(Cpuset), "cpuset.cpus", false),
    (V2, Of::Controller(Cpuset), "cpuset.cpus.effective", true),
    (V2, Of::Controller(Memory), "memory.current", false),
    (V2, Of::Controller(Memory), "memory.stat", true),
    (V2, Of::Controller(Memory), "memory.events", false),
    (V2, Of::Controller(Memory), "memory.high", false),
    (V2, Of::Controller(Memory), "memory.max", false),
    (V2, Of::Controller(Memory), "memory.swap.current", false),
    (V2, Of::Controller(Memory), "memory.swap.max", false),
    (V2, Of::Controller(Io), "io.stat", true),
    (V2, Of::Controller(Io), "io.max", false),
    (V1, Of::Every, "cgroup.procs", true),
    (V1, Of::Freezer, "freezer.state", false),
    (V1, Of::Controller(Cpu), "cpu.cfs_quota_us", true),
    (V1, Of::Controller(Cpu), "cpu.cfs_period_us", true),
    (V1, Of::Controller(Cpu), "cpu.cfs_burst_us", true),
    (V1, Of::Controller(Cpu), "cpu.stat", true),
    (V1, Of::Controller(CpuAcct), "cpuacct.usage", true),
    (V1, Of::Controller(CpuAcct), "cpuacct.stat", true),
    (V1, Of::Controller(Cpuset), "cpuset.cpus", true),
    (V1, Of::Controller(Cpuset), "cpuset.effective_cpus", true),
    (V1, Of::Controller(Memory), "memory.usage_in_bytes", true),
    (V1, Of::Controller(Memory), "memory.limit_in_bytes", true),
    (V1, Of::Controller(Memory), "memory.memsw.usage_in_bytes", true),
    (V1, Of::Controller(Memory), "memory.memsw.limit_in_bytes", true),
    (V1, Of::Controller(Memory), "memory.stat", true),
    (V1, Of::Controller(Memory), "memory.oom_control", true),
    (V1, Of::Controller(Io), "blkio.throttle.io_service_bytes_recursive", true),
    (V1, Of::Controller(Io), "blkio.throttle.read_bps_device", true),
    (V1, Of::Controller(Io), "blkio.throttle.write_bps_device", true),
];

/// A number, as the kernel parses one.
pub(super) fn number(text: &str) -> Answer<u64> {
    text.parse().map_err(|_not| Errno::EINVAL)
}
