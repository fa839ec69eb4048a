//! `/proc/self/mountinfo`, as far as cgroups are concerned.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// One cgroup mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where.
    pub(super) point: PathBuf,
    /// Whether the root of the hierarchy is what is mounted there, and not some cgroup below it.
    pub(super) whole: bool,
    /// `None` for cgroup2, otherwise the super block's options, controllers among them.
    pub(super) options: Option<Vec<String>>,
}

/// The cgroup mounts in `text`, in its order (see proc(5)); other lines are skipped.
pub(super) fn cgroup_mounts(text: &str) -> Vec<Mount> {
    text.lines().filter_map(cgroup_mount).collect()
}

fn cgroup_mount(line: &str) -> Option<Mount> {
    let (place, filesystem) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?, place.next()?);
    let mut filesystem = filesystem.split(' ');
    let options = match filesystem.next()? {
        "cgroup" => Some(filesystem.nth(1)?.split(',').map(str::to_owned).collect()),
        "cgroup2" => None,
        _ => return None,
    };
    Some(Mount { point: unescape(point), whole: root == "/", options })
}

/// Spaces and the like are written as `\040`.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|d| u8::from_str_radix(d, 8).ok());
        match octal {
            Some(escaped) if byte == b'\\' => {
                bytes.push(escaped);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_v2_and_what_is_neither() {
        let text = "\
23 1 8:1 / / rw - ext4 /dev/sda1 rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 /docker/ab /mnt/my\\040cgroups rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
not a mount
";
        let options = |list: &[&str]| Some(list.iter().map(|&o| o.to_owned()).collect());
        assert_eq!(
            cgroup_mounts(text),
            [
                Mount { point: "/sys/fs/cgroup/cpu,cpuacct".into(), whole: true, options: options(&["rw", "cpu", "cpuacct"]) },
                Mount { point: "/mnt/my cgroups".into(), whole: false, options: options(&["rw", "memory"]) },
                Mount { point: "/sys/fs/cgroup/unified".into(), whole: true, options: None },
            ]
        );
    }
}
