//! Where the running kernel keeps what the kernel side follows: task -> cgroup -> id.

use crate::cgroup::Mode;
use crate::sampler::btf::{Btf, BtfError};

/// The kernel side's read-only globals, by name.
pub(super) type Globals = [(&'static str, u64); 9];

/// Resolves the globals for this kernel. In v2 a task's cgroup is the unified hierarchy's; elsewhere the cpu controller's,
/// because that is the group that is throttled.
pub(super) fn resolve(btf: &Btf, mode: Mode) -> Result<Globals, BtfError> {
    const POINTER: u64 = size_of::<usize>() as u64;
    let by_controller = mode != Mode::V2;
    let own_css = btf.member("cgroup", "self")?;
    let serial = btf.member("cgroup_subsys_state", "serial_nr")?;
    let (leaf, leaf_serial) = if by_controller {
        let cpu = btf.enumerator("cgroup_subsys_id", "cpu_cgrp_id")?;
        (btf.member("css_set", "subsys")? + POINTER * cpu, serial)
    } else {
        (btf.member("css_set", "dfl_cgrp")?, own_css + serial)
    };
    Ok([
        ("TASK_PID", btf.member("task_struct", "pid")?),
        ("TASK_CGROUPS", btf.member("task_struct", "cgroups")?),
        ("BY_CONTROLLER", by_controller.into()),
        ("CSS_SET_LEAF", leaf),
        ("LEAF_SERIAL", leaf_serial),
        ("CSS_CGROUP", btf.member("cgroup_subsys_state", "cgroup")?),
        ("CGROUP_PARENT", own_css + btf.member("cgroup_subsys_state", "parent")?),
        ("CGROUP_KN", btf.member("cgroup", "kn")?),
        ("KN_ID", btf.member("kernfs_node", "id")?),
    ])
}
