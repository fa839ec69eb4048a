//! Trees of plain files in the shape of cgroupfs: what a test writes there is what is read.

use std::fs;
use std::path::{Path, PathBuf};

use headroom_agent::cgroup::{Cgroup, CgroupPath, Hierarchies};
use tempfile::TempDir;

use crate::fake_kernel::Shape;

/// A tree of plain files in the shape of cgroupfs, with one container `box` in it.
pub(crate) struct Files {
    pub(crate) root: TempDir,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) cgroup: Cgroup,
}

const CPU: &[(&str, &str)] = &[
    ("cpu.cfs_quota_us", "-1\n"),
    ("cpu.cfs_period_us", "100000\n"),
    ("cpu.cfs_burst_us", "0\n"),
    ("cpu.stat", "nr_periods 10\nnr_throttled 4\nthrottled_time 2500000\nnr_bursts 0\nburst_time 0\n"),
];
const CPUACCT: &[(&str, &str)] = &[("cpuacct.usage", "7000900\n"), ("cpuacct.stat", "user 2\nsystem 1\n")];
const CPUSET: &[(&str, &str)] = &[("cpuset.cpus", "\n"), ("cpuset.effective_cpus", "\n")];
const MEMORY: &[(&str, &str)] = &[
    ("memory.limit_in_bytes", "9223372036854771712\n"),
    ("memory.usage_in_bytes", "10485760\n"),
    ("memory.memsw.limit_in_bytes", "9223372036854771712\n"),
    ("memory.memsw.usage_in_bytes", "11534336\n"),
    ("memory.stat", "inactive_file 1\ntotal_inactive_file 2097152\n"),
    ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
];
const BLKIO: &[(&str, &str)] = &[
    ("blkio.throttle.io_service_bytes_recursive", "254:0 Read 4096\n254:0 Write 8192\n254:0 Total 12288\nTotal 12288\n"),
    ("blkio.throttle.read_bps_device", ""),
    ("blkio.throttle.write_bps_device", ""),
];
const UNIFIED: &[(&str, &str)] = &[
    ("cpu.stat", "usage_usec 7000\nuser_usec 5000\nsystem_usec 2000\nnr_periods 10\nnr_throttled 4\nthrottled_usec 2500\n"),
    ("cpu.max", "max 100000\n"),
    ("cpu.max.burst", "0\n"),
    ("cpuset.cpus", "\n"),
    ("cpuset.cpus.effective", "0-1\n"),
    ("memory.current", "10485760\n"),
    ("memory.stat", "anon 5\ninactive_file 2097152\n"),
    ("memory.high", "max\n"),
    ("memory.max", "max\n"),
    ("memory.swap.current", "1048576\n"),
    ("memory.swap.max", "max\n"),
    ("memory.events", "low 0\noom 4\noom_kill 3\n"),
    ("io.stat", "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"),
    ("io.max", ""),
];

impl Files {
    pub(crate) fn new(shape: Shape) -> Self {
        let root = tempfile::tempdir().unwrap();
        let tree = |name: &str, files: &[(&str, &str)]| {
            let tree = root.path().join(name);
            lay(&tree.join("box"), files);
            // A cgroup above has the same files; the root of a v1 cpuset has all CPUs.
            lay(&tree, files);
            tree
        };
        if shape == Shape::V2 {
            let tree = tree("", UNIFIED);
            fs::remove_file(tree.join("cpu.max")).unwrap();
            fs::write(tree.join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        } else {
            // With the two in one hierarchy, and each in its own.
            if shape == Shape::V1 {
                tree("cpu,cpuacct", &[CPU, CPUACCT].concat());
            } else {
                tree("cpu", CPU);
                tree("cpuacct", CPUACCT);
                let unified = tree("unified", &UNIFIED[..1]);
                fs::write(unified.join("cgroup.controllers"), "\n").unwrap();
            }
            fs::write(tree("cpuset", CPUSET).join("cpuset.effective_cpus"), "0-1\n").unwrap();
            tree("memory", MEMORY);
            tree("blkio", BLKIO);
            // No business of ours.
            tree("freezer", &[]);
        }
        let hierarchies = Hierarchies::at(root.path()).unwrap();
        let cgroup = hierarchies.open(&CgroupPath::new("box").unwrap()).unwrap();
        Self { root, hierarchies, cgroup }
    }

    /// The directories of the container, in all hierarchies.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let candidates = ["", "cpu", "cpuacct", "cpu,cpuacct", "cpuset", "memory", "blkio", "unified", "freezer"];
        candidates.iter().map(|name| self.root.path().join(name).join("box")).filter(|directory| directory.is_dir()).collect()
    }

    /// The file of the container with that name, wherever it is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directories().into_iter().map(|directory| directory.join(name)).find(|file| file.exists()).unwrap()
    }
}

fn lay(directory: &Path, files: &[(&str, &str)]) {
    fs::create_dir_all(directory).unwrap();
    for (name, text) in files.iter().chain(&[("cgroup.procs", "")]) {
        fs::write(directory.join(name), text).unwrap();
    }
}
