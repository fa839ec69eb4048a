//! Where cgroup hierarchies are mounted.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where.
    pub(super) root: PathBuf,
    /// Its v1 controllers; none for the v2 hierarchy.
    pub(super) controllers: Vec<String>,
}

/// Those that a container is to be in: v2, and the v1 hierarchies of the controllers that Headroom reads or moves.
pub(super) fn hierarchies() -> Result<Vec<Mount>> {
    let text = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    let found = parse(&text);
    anyhow::ensure!(!found.is_empty(), "no cgroup hierarchy is mounted; mount one (systemd does) and try again");
    Ok(found)
}

fn parse(mounts: &str) -> Vec<Mount> {
    const WANTED: [&str; 5] = ["cpu", "cpuacct", "cpuset", "memory", "blkio"];
    let mut found: Vec<Mount> = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let [_, root, kind, options, ..] = fields[..] else { continue };
        let controllers: Vec<_> = options.split(',').filter(|o| WANTED.contains(o)).map(str::to_owned).collect();
        let wanted = kind == "cgroup2" || (kind == "cgroup" && !controllers.is_empty());
        let controllers = if kind == "cgroup2" { Vec::new() } else { controllers };
        // A hierarchy can be mounted more than once (bind mounts of containers): the first will do.
        if wanted && !found.iter().any(|m| m.controllers == controllers) {
            found.push(Mount { root: root.into(), controllers });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_mounts_are_told_apart() {
        let text = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                    cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
                    cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n\
                    cgroup2 /run/other/unified cgroup2 rw,relatime 0 0\n";
        let found = parse(text);
        assert_eq!(
            found,
            [
                Mount { root: "/sys/fs/cgroup/cpu,cpuacct".into(), controllers: vec!["cpu".into(), "cpuacct".into()] },
                Mount { root: "/sys/fs/cgroup/unified".into(), controllers: vec![] },
            ]
        );
    }
}
