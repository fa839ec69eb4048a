//! What a kernel never shows, or not this one: nonsense, missing files, older hosts.

use std::fs;
use std::os::unix::fs::symlink;

use headroom_agent::cgroup::{
    Cgroup, CgroupError, CgroupPath, Change, CpuClock, CpuLimit, CpuQuota, Hierarchies, Mode, ThrottleClock,
};
use headroom_model::limit::Limit;

use crate::fake_kernel::Shape;
use crate::files::Files;

fn parse_error<T: std::fmt::Debug>(answer: headroom_agent::cgroup::Result<T>, file: &str, says: &str) {
    let error = answer.unwrap_err();
    assert!(matches!(&error, CgroupError::Parse { text, .. } if text.contains(says)), "{error}");
    assert!(error.to_string().contains(file), "{error}");
}

#[test]
fn each_shape_is_told() {
    for (shape, mode) in [(Shape::V1, Mode::V1), (Shape::V2, Mode::V2), (Shape::Hybrid, Mode::Hybrid)] {
        let files = Files::new(shape);
        assert_eq!(files.hierarchies.mode(), mode);
        assert_eq!(files.hierarchies.unified_root().is_some(), mode != Mode::V1);
        let controllers = files.hierarchies.controllers();
        assert_eq!(controllers.len(), if mode == Mode::V2 { 4 } else { 5 }, "{controllers:?}");
    }
}

#[test]
fn a_place_without_cgroups_is_told() {
    let empty = tempfile::tempdir().unwrap();
    fs::create_dir(empty.path().join("memory")).unwrap();
    for root in [empty.path(), &empty.path().join("nowhere")] {
        let error = Hierarchies::at(root).unwrap_err();
        assert!(error.to_string().contains(&root.display().to_string()), "{error}");
    }
    assert!(matches!(Hierarchies::at(empty.path()), Err(CgroupError::NotMounted { .. })));
}

#[test]
fn nonsense_is_named_with_its_file() {
    for (shape, quota, stat) in [(Shape::V1, "cpu.cfs_quota_us", "cpuacct.usage"), (Shape::V2, "cpu.max", "cpu.stat")] {
        let files = Files::new(shape);
        let cgroup = &files.cgroup;
        fs::write(files.file(quota), "plenty\n").unwrap();
        parse_error(cgroup.cpu_limit(), quota, "plenty");
        parse_error(
            cgroup.cpu_quota().unwrap().write(&CpuLimit { quota: Limit::Unlimited, period_us: 100_000, burst_us: None }),
            quota,
            "plenty",
        );
        assert_eq!(fs::read_to_string(files.file(quota)).unwrap(), "plenty\n", "nothing is written over it");
        fs::write(files.file(stat), b"\xff\xfe\n").unwrap();
        parse_error(cgroup.cpu_time(), stat, "\u{fffd}");
        fs::write(files.file("cpuset.cpus"), "0-\n").unwrap();
        parse_error(cgroup.cpuset(), "cpuset.cpus", "0-");
        fs::write(files.file("memory.stat"), "").unwrap();
        parse_error(cgroup.memory(), "memory.stat", "");
    }
}

#[test]
fn links_are_not_followed() {
    let files = Files::new(Shape::V2);
    let (real, max) = (files.root.path().join("elsewhere"), files.file("cpu.max"));
    fs::rename(&max, &real).unwrap();
    symlink(&real, &max).unwrap();
    assert!(matches!(files.cgroup.cpu_limit(), Err(CgroupError::Read { .. })));
    assert!(matches!(files.cgroup.cpu_quota(), Err(CgroupError::Write { .. })));
    symlink(files.root.path().join("box"), files.root.path().join("alias")).unwrap();
    assert!(files.hierarchies.open(&CgroupPath::new("alias").unwrap()).unwrap_err().is_gone());
}

#[test]
fn a_controller_that_is_not_enabled_is_told() {
    let files = Files::new(Shape::V2);
    for name in ["cpu.max", "cpu.max.burst", "memory.high", "memory.current", "io.stat", "io.max", "cpuset.cpus"] {
        fs::remove_file(files.file(name)).unwrap();
    }
    let cgroup = &files.cgroup;
    let errors = [
        (cgroup.cpu_limit().map(drop), "cpu"),
        (cgroup.cpu_quota().map(drop), "cpu"),
        (cgroup.throttling().map(drop), "cpu"),
        (cgroup.memory().map(drop), "memory"),
        (cgroup.disk().map(drop), "io"),
        (cgroup.cpuset().map(drop), "cpuset"),
        (cgroup.apply(&[Change::Cpuset([0].into_iter().collect())]).map_err(|error| *error.source), "cpuset"),
        (cgroup.apply(&[Change::MemoryHigh(Limit::Unlimited)]).map_err(|error| *error.source), "memory"),
    ];
    for (answer, controller) in errors {
        let error = answer.unwrap_err();
        assert!(error.is_no_controller(), "{error}");
        assert!(error.to_string().contains(&format!("(write +{controller} there)")), "{error}");
    }
    assert_eq!(cgroup.effective_cpus().unwrap().to_string(), "0-1");
    // CPU time is counted all the same, and what limits it is above it.
    assert_eq!(cgroup.cpu_time().unwrap().total_us, 7_000);
    fs::write(files.root.path().join("cpu.max"), "150000 100000\n").unwrap();
    assert_eq!(cgroup.effective_cpu_limit().unwrap(), Limit::At(150.0));
}

#[test]
fn a_kernel_without_burst() {
    for (shape, burst) in [(Shape::V1, "cpu.cfs_burst_us"), (Shape::V2, "cpu.max.burst")] {
        let files = Files::new(shape);
        fs::remove_file(files.file(burst)).unwrap();
        let quota = files.cgroup.cpu_quota().unwrap();
        let wanted = CpuLimit { quota: Limit::At(30.0), period_us: 100_000, burst_us: Some(30_000) };
        let limit = CpuLimit { burst_us: None, ..wanted };
        assert_eq!(quota.write(&wanted).unwrap(), limit);
        assert_eq!(quota.read().unwrap(), limit);
    }
}

#[test]
fn a_hybrid_host_without_cpuacct_counts_in_its_v2_tree() {
    let files = Files::new(Shape::Hybrid);
    fs::remove_dir_all(files.root.path().join("cpuacct")).unwrap();
    let unified = files.root.path().join("unified/box/cpu.stat");
    fs::write(unified, "usage_usec 91\nuser_usec 60\nsystem_usec 31\n").unwrap();
    let hierarchies = Hierarchies::at(files.root.path()).unwrap();
    let cgroup = hierarchies.open(files.cgroup.path()).unwrap();
    assert_eq!(cgroup.cpu_time().unwrap().total_us, 91);
}

#[test]
fn neither_cpuacct_nor_a_v2_tree() {
    let files = Files::new(Shape::Hybrid);
    for tree in ["cpuacct", "unified", "memory"] {
        fs::remove_dir_all(files.root.path().join(tree)).unwrap();
    }
    let hierarchies = Hierarchies::at(files.root.path()).unwrap();
    let cgroup = hierarchies.open(files.cgroup.path()).unwrap();
    for answer in [cgroup.cpu_time().map(drop), cgroup.memory().map(drop)] {
        let error = answer.unwrap_err();
        assert!(error.is_no_controller() && error.to_string().contains("not mounted"), "{error}");
    }
}

/// An engine makes its cgroups one hierarchy after the other.
#[test]
fn a_hierarchy_may_come_later() {
    let files = Files::new(Shape::V1);
    let (place, aside) = (files.root.path().join("memory/box"), files.root.path().join("memory/aside"));
    fs::rename(&place, &aside).unwrap();
    let error = files.cgroup.memory().unwrap_err();
    assert!(error.is_no_controller() && error.to_string().contains("no cgroup of its own in"), "{error}");
    fs::rename(&aside, &place).unwrap();
    assert_eq!(files.cgroup.memory().unwrap().current_mib.to_bits(), 10.0_f64.to_bits());
}

#[test]
fn the_least_quota_above_counts() {
    for shape in [Shape::V1, Shape::V2] {
        let files = Files::new(shape);
        let path = CgroupPath::new("box/inner/leaf").unwrap();
        for directory in files.directories() {
            for level in ["inner", "inner/leaf"] {
                fs::create_dir(directory.join(level)).unwrap();
                for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
                    fs::copy(entry.path(), directory.join(level).join(entry.file_name())).unwrap();
                }
            }
        }
        let set = |path: &str, quota| {
            let cgroup = files.hierarchies.open(&CgroupPath::new(path).unwrap()).unwrap();
            cgroup.cpu_quota().unwrap().write(&CpuLimit { quota, period_us: 100_000, burst_us: None }).unwrap();
        };
        let leaf = files.hierarchies.open(&path).unwrap();
        assert_eq!(leaf.effective_cpu_limit().unwrap(), Limit::At(200.0), "two CPUs");
        set("box", Limit::At(120.0));
        set("box/inner", Limit::At(70.0));
        set("box/inner/leaf", Limit::At(90.0));
        assert_eq!(leaf.effective_cpu_limit().unwrap(), Limit::At(70.0));
        set("box", Limit::At(60.0));
        assert_eq!(leaf.effective_cpu_limit().unwrap(), Limit::At(60.0));
        set("box", Limit::Unlimited);
        set("box/inner", Limit::Unlimited);
        assert_eq!(leaf.effective_cpu_limit().unwrap(), Limit::At(90.0));
    }
}

#[test]
fn trees_of_files_are_not_made_or_removed_as_cgroups() {
    let files = Files::new(Shape::V1);
    let path = CgroupPath::new("headroom-test-none").unwrap();
    assert!(matches!(files.hierarchies.create(&path), Err(CgroupError::Directory { .. })));
    assert!(matches!(files.hierarchies.remove(&CgroupPath::root()), Err(CgroupError::Directory { .. })));
}

#[test]
fn counters_are_read_in_each_shape() {
    for shape in [Shape::V1, Shape::V2, Shape::Hybrid] {
        let cgroup = &Files::new(shape).cgroup;
        let throttling = cgroup.throttling().unwrap();
        assert_eq!((throttling.periods, throttling.throttled_us), (10, 2_500));
        assert_eq!(cgroup.cpu_time().unwrap().total_us, 7_000);
        let memory = cgroup.memory().unwrap();
        assert_eq!((memory.usage_mib, memory.current_mib, memory.swap_mib), (8.0, 10.0, Some(1.0)));
        assert_eq!(memory.oom_kills, Some(3));
        let disk = cgroup.disk().unwrap()[0];
        assert_eq!((disk.read_bytes, disk.write_bytes), (4096, 8192));
    }
}

/// The control thread writes the quota while others read and set the rest.
#[test]
fn handles_go_from_thread_to_thread() {
    fn shared<T: Send + Sync>() {}
    shared::<Hierarchies>();
    shared::<Cgroup>();
    shared::<CpuQuota>();
    shared::<CpuClock>();
    shared::<ThrottleClock>();
}
