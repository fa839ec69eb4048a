//! Kubernetes pods, as cgroup paths show them. Pure.
//!
//! | driver | a pod's cgroup |
//! | --- | --- |
//! | cgroupfs | `kubepods/[burstable/\|besteffort/]pod<uid>` |
//! | systemd | `kubepods.slice/[kubepods-burstable.slice/]kubepods-[burstable-]pod<uid>.slice`, the uid with `_` for `-` |
//!
//! A kubelet that runs in a container itself, or with `--cgroup-root`, has something before that (`kubelet-kubepods.slice`). Source: the
//! kubelet's `pkg/kubelet/cm/pod_container_manager_linux.go` and `cgroup_manager_linux.go`.

use crate::cgroup::CpuList;

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// As the API server has it.
    pub uid: String,
    /// Neither burstable nor best effort: the only class to which the kubelet's static CPU policy gives cores.
    pub is_guaranteed: bool,
}

impl Pod {
    /// The pod whose cgroup these parts of a path lead to.
    pub fn of(parts: &[&str]) -> Option<Self> {
        let (last, above) = parts.split_last()?;
        let (uid, class) = match last.strip_suffix(".slice") {
            Some(slice) => {
                let (class, uid) = slice.rsplit_once("-pod")?;
                (uid.replace('_', "-"), class)
            }
            None => (last.strip_prefix("pod")?.to_owned(), *above.last()?),
        };
        let is_uid = !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let is_guaranteed = !["burstable", "besteffort"].iter().any(|lower| class.ends_with(lower));
        (is_uid && above.iter().any(is_kubepods)).then_some(Self { uid, is_guaranteed })
    }

    /// Whether the kubelet's static CPU policy has given CPUs to a container of it, of whose cpuset these are the `configured` CPUs.
    ///
    /// Only with that policy does the kubelet set fewer CPUs than there are. A guaranteed container that asks for parts of a CPU then
    /// has the shared pool, which looks alike: it counts as well, since a limit that is in nobody's way is no loss.
    pub fn has_static_cpus(&self, configured: &CpuList, online: usize) -> bool {
        self.is_guaranteed && !configured.is_empty() && configured.len() < online
    }
}

/// Whether what lies directly below these parts is the kubelet's: pods, their classes, and their containers.
pub(super) fn is_of_kubelet(parts: &[&str]) -> bool {
    let Some((last, above)) = parts.split_last() else { return false };
    is_kubepods(last)
        || (above.iter().any(is_kubepods) && (last.starts_with("pod") || ["burstable", "besteffort"].contains(last)))
}

fn is_kubepods(part: &&str) -> bool {
    part.strip_suffix(".slice").map_or(*part == "kubepods", |slice| slice.split('-').any(|word| word == "kubepods"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0a1b2c3d-0123-4567-89ab-0123456789ab";

    fn pod(path: &str) -> Option<(String, bool)> {
        let parts: Vec<&str> = path.split('/').collect();
        Pod::of(&parts).map(|pod| (pod.uid, pod.is_guaranteed))
    }

    #[test]
    fn both_drivers_name_the_pod_and_its_class() {
        let slice = UID.replace('-', "_");
        for (path, is_guaranteed) in [
            (format!("kubepods/pod{UID}"), true),
            (format!("kubepods/burstable/pod{UID}"), false),
            (format!("kubepods/besteffort/pod{UID}"), false),
            (format!("kubepods.slice/kubepods-pod{slice}.slice"), true),
            (format!("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{slice}.slice"), false),
            (format!("kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{slice}.slice"), true),
        ] {
            assert_eq!(pod(&path), Some((UID.to_owned(), is_guaranteed)), "{path}");
        }
    }

    #[test]
    fn what_is_no_pod_is_none() {
        for path in
            ["", "kubepods", "kubepods/burstable", "pod0123", "other/pod0123", "kubepods/podium", "kubepods/pod", "x-pod01.slice"]
        {
            assert_eq!(pod(path), None, "{path}");
        }
    }

    #[test]
    fn static_cpus_are_fewer_than_there_are_and_a_guaranteed_pods() {
        let cpus = |list: &str| list.parse::<CpuList>().unwrap();
        let pod = |is_guaranteed| Pod { uid: UID.to_owned(), is_guaranteed };
        assert!(pod(true).has_static_cpus(&cpus("2-3"), 8));
        assert!(!pod(true).has_static_cpus(&cpus("0-7"), 8));
        assert!(!pod(true).has_static_cpus(&CpuList::default(), 8));
        assert!(!pod(false).has_static_cpus(&cpus("0-5"), 8));
    }
}
