//! Whether a thread of ours may have real-time priority.
//!
//! Where the kernel schedules real-time threads by group (`CONFIG_RT_GROUP_SCHED`), v1 refuses them in a group without
//! real-time runtime, and on v2 one outside the root keeps everybody from enabling the cpu controller.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::cgroup::Version;

/// What decides it, beside the privilege.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realtime {
    /// The interface of the hierarchy that has the cpu controller.
    pub version: Version,
    /// Whether the kernel has real-time groups; `None` where it cannot be known.
    pub groups: Option<bool>,
    /// This process's cgroup in that hierarchy, from its root: `/`.
    pub cgroup: String,
    /// v1: the group's real-time runtime, in µs a period.
    pub runtime_us: Option<i64>,
}

impl Realtime {
    /// Of this process, whose cpu controller is mounted at `cpu_root`; `release` is the kernel's.
    pub fn read(cpu_root: &Path, version: Version, release: &str) -> Self {
        let text = |file: &Path| fs::read_to_string(file).unwrap_or_default();
        let cgroup = own_cgroup(&text(Path::new("/proc/self/cgroup")), version).unwrap_or("/").to_owned();
        let runtime = |group: &Path| text(&group.join("cpu.rt_runtime_us")).trim().parse().ok();
        let (groups, runtime_us) = match version {
            Version::V1 => {
                (Some(cpu_root.join("cpu.rt_runtime_us").exists()), runtime(&cpu_root.join(cgroup.trim_start_matches('/'))))
            }
            Version::V2 => {
                let build = text(&Path::new("/boot").join(format!("config-{release}")));
                let types = || fs::File::open("/sys/kernel/btf/vmlinux").ok();
                let cmdline = text(Path::new("/proc/cmdline"));
                (groups_by_build(&build, &cmdline).or_else(|| groups_by_types(types()?)), None)
            }
        };
        Self { version, groups, cgroup, runtime_us }
    }

    /// Whether real-time priority harms nobody and will not be refused for the group's sake; otherwise why not.
    pub fn verdict(&self) -> Result<(), String> {
        match (self.version, self.groups) {
            (_, Some(false)) => Ok(()),
            (Version::V1, _) => match self.runtime_us {
                Some(runtime) if runtime <= 0 => {
                    Err(format!("the cpu cgroup {} has no real-time runtime (cpu.rt_runtime_us is {runtime})", self.cgroup))
                }
                _ => Ok(()),
            },
            (Version::V2, _) if self.cgroup == "/" => Ok(()),
            (Version::V2, Some(true)) => Err("the kernel has CONFIG_RT_GROUP_SCHED: outside the root cgroup a real-time \
                                              thread would keep everybody from enabling the cpu controller"
                .to_owned()),
            (Version::V2, None) => Err("it cannot be known whether the kernel has CONFIG_RT_GROUP_SCHED, with which a \
                                        real-time thread outside the root cgroup would keep everybody from enabling the cpu \
                                        controller"
                .to_owned()),
        }
    }
}

/// The process's group, from `/proc/self/cgroup`: lines like `4:cpu,cpuacct:/a` and `0::/a`.
fn own_cgroup(text: &str, version: Version) -> Option<&str> {
    text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let ours = match version {
            Version::V1 => controllers.split(',').any(|controller| controller == "cpu"),
            Version::V2 => controllers.is_empty(),
        };
        ours.then_some(path)
    })
}

/// From the kernel's configuration as distributions leave it in `/boot` ("" where there is none), and its command line.
fn groups_by_build(build: &str, cmdline: &str) -> Option<bool> {
    match cmdline.split_whitespace().find_map(|word| word.strip_prefix("rt_group_sched=")) {
        Some("0" | "n" | "off") => return Some(false),
        Some("1" | "y" | "on") => return Some(true),
        _ => {}
    }
    let built_in = build.lines().any(|line| line == "CONFIG_RT_GROUP_SCHED=y");
    let off = build.lines().any(|line| line == "CONFIG_RT_GROUP_SCHED_DEFAULT_DISABLED=y");
    (!build.is_empty()).then_some(built_in && !off)
}

/// From the names in the kernel's BTF: the function behind `cpu.rt_runtime_us` is built in with real-time groups only. Where
/// not even the one behind `cpu.max` is named, functions are not in it, and nothing is known. That groups are off by default
/// does not show here, so real time may be given up where it would do no harm.
fn groups_by_types(btf: impl Read) -> Option<bool> {
    let (mut groups, mut functions) = (false, false);
    // Name by name, since the whole is megabytes.
    for name in BufReader::new(btf).split(0) {
        let name = name.ok()?;
        groups |= name == b"cpu_rt_runtime_read";
        functions |= name == b"cpu_max_write";
    }
    functions.then_some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(version: Version, groups: Option<bool>, cgroup: &str, runtime_us: Option<i64>) -> Realtime {
        Realtime { version, groups, cgroup: cgroup.into(), runtime_us }
    }

    #[test]
    fn where_it_may_be_and_where_not() {
        let table = [
            (facts(Version::V1, Some(true), "/", Some(950_000)), true),
            (facts(Version::V1, Some(true), "/system.slice", Some(0)), false),
            (facts(Version::V1, Some(false), "/system.slice", None), true),
            (facts(Version::V2, Some(false), "/system.slice", None), true),
            (facts(Version::V2, Some(true), "/system.slice", None), false),
            (facts(Version::V2, None, "/system.slice", None), false),
            (facts(Version::V2, Some(true), "/", None), true),
        ];
        for (facts, may) in table {
            assert_eq!(facts.verdict().is_ok(), may, "{facts:?}");
        }
    }

    #[test]
    fn the_group_is_the_cpu_controllers() {
        let text = "5:cpuset:/c\n4:cpu,cpuacct:/a/b\n1:name=systemd:/s\n0::/u:1\n";
        assert_eq!(own_cgroup(text, Version::V1), Some("/a/b"));
        assert_eq!(own_cgroup(text, Version::V2), Some("/u:1"));
        assert_eq!(own_cgroup("1:name=systemd:/s\n", Version::V2), None);
    }

    #[test]
    fn the_build_and_the_command_line_tell_of_real_time_groups() {
        assert_eq!(groups_by_build("", ""), None);
        assert_eq!(groups_by_build("# CONFIG_RT_GROUP_SCHED is not set\n", ""), Some(false));
        assert_eq!(groups_by_build("CONFIG_RT_GROUP_SCHED=y\n", "quiet"), Some(true));
        assert_eq!(groups_by_build("CONFIG_RT_GROUP_SCHED=y\nCONFIG_RT_GROUP_SCHED_DEFAULT_DISABLED=y\n", ""), Some(false));
        assert_eq!(groups_by_build("CONFIG_RT_GROUP_SCHED=y\n", "quiet rt_group_sched=0"), Some(false));
    }
    #[test]
    fn the_types_tell_where_the_build_is_not_known() {
        assert_eq!(groups_by_types(&b"\0task_struct\0"[..]), None);
        assert_eq!(groups_by_types(&b"\0cpu_max_write\0"[..]), Some(false));
        assert_eq!(groups_by_types(&b"\0cpu_max_write\0cpu_rt_runtime_read\0"[..]), Some(true));
    }
}
