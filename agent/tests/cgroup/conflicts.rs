//! What is in the way of a limit: another limit above or below, what is in use or runs, another writer, a cgroup that is another one by now.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use headroom_agent::cgroup::{CgroupError, Change, Controller, CpuLimit, CpuList, Device, Version};
use headroom_model::limit::Limit;

use crate::ground::{Ground, everywhere};
use crate::support::wait_until;

everywhere! {
    ids_are_inodes_of_the_directories,
    a_tighter_parent_is_told,
    a_child_with_more_is_told,
    a_quota_whose_burst_is_refused_goes_back,
    a_period_whose_quota_is_refused_goes_back,
    somebody_elses_write_is_noticed_and_left,
    memory_is_rounded_to_pages,
    memory_in_use_is_not_taken_away,
    swap_keeps_its_limit,
    cpus_that_cannot_be_are_refused,
    cpus_are_taken_off_under_running_processes,
    a_cpuset_is_undone_under_running_processes,
    a_disk_that_is_none_is_refused,
    a_new_cgroup_of_the_same_name_is_another_one,
}

fn shares(quota: f64) -> CpuLimit {
    CpuLimit { quota: Limit::At(quota), period_us: 100_000, burst_us: None }
}

fn ids_are_inodes_of_the_directories(ground: &Ground) {
    use std::os::unix::fs::MetadataExt as _;
    let cgroup = ground.cgroup("ids");
    let inode = |directory: PathBuf| fs::metadata(directory).unwrap().ino();
    assert_eq!(cgroup.id(), inode(cgroup.hierarchies().cpu_root().join(cgroup.path().as_str())));
    let unified = cgroup.hierarchies().unified_root().map(|root| inode(root.join(cgroup.path().as_str())));
    assert_eq!(cgroup.unified_id().unwrap(), unified);
}

/// v1 says no to a child over its parent, v2 takes it and it changes nothing: users are told which it is.
fn a_tighter_parent_is_told(ground: &Ground) {
    let parent = ground.cgroup("parent");
    let child = parent.child("child");
    parent.cpu_quota().unwrap().write(&shares(40.0)).unwrap();
    let quota = child.cpu_quota().unwrap();
    quota.write(&shares(30.0)).unwrap();
    assert_eq!(child.effective_cpu_limit().unwrap(), Limit::At(30.0));
    let answer = quota.write(&shares(60.0));
    match ground.version(Controller::Cpu) {
        Version::V1 => {
            let error = answer.unwrap_err();
            assert!(
                matches!(&error, CgroupError::OverParent { wanted: 60.0, limit: 40.0, ancestor, .. } if ancestor == parent.path()),
                "{error}"
            );
            assert_eq!(child.cpu_limit().unwrap().quota, Limit::At(30.0));
        }
        Version::V2 => {
            assert_eq!(answer.unwrap().quota, Limit::At(60.0));
            assert_eq!(child.effective_cpu_limit().unwrap(), Limit::At(40.0));
        }
    }
    // A child without a quota of its own has its parent's.
    quota.write(&CpuLimit { quota: Limit::Unlimited, ..shares(0.0) }).unwrap();
    assert_eq!(child.effective_cpu_limit().unwrap(), Limit::At(40.0));
}

fn a_child_with_more_is_told(ground: &Ground) {
    let parent = ground.cgroup("above");
    let child = parent.child("below");
    child.cpu_quota().unwrap().write(&shares(50.0)).unwrap();
    let quota = parent.cpu_quota().unwrap();
    quota.write(&shares(80.0)).unwrap();
    let answer = quota.write(&shares(20.0));
    match ground.version(Controller::Cpu) {
        Version::V1 => {
            let error = answer.unwrap_err();
            assert!(matches!(error, CgroupError::UnderChild { wanted: 20.0, .. }), "{error}");
            assert_eq!(parent.cpu_limit().unwrap().quota, Limit::At(80.0));
        }
        Version::V2 => {
            assert_eq!(answer.unwrap().quota, Limit::At(20.0));
            assert_eq!(child.effective_cpu_limit().unwrap(), Limit::At(20.0));
        }
    }
}

/// The kernel takes the quota and refuses the burst: together they are too large.
fn a_quota_whose_burst_is_refused_goes_back(ground: &Ground) {
    let cgroup = ground.cgroup("undo");
    let quota = cgroup.cpu_quota().unwrap();
    let before = quota.write(&CpuLimit { burst_us: Some(10_000), ..shares(50.0) }).unwrap();
    let most = (1_u64 << 43) as f64 / 1_000.0;
    let error = quota.write(&CpuLimit { burst_us: Some(1 << 43), ..shares(most) }).unwrap_err();
    assert!(matches!(&error, CgroupError::Write { answer, .. } if answer.raw_os_error() == Some(nix::libc::EINVAL)), "{error}");
    assert!(error.to_string().contains("burst"), "names the file that was refused: {error}");
    assert_eq!(quota.read().unwrap(), before);
    // It was the burst's doing.
    let alone = quota.write(&CpuLimit { burst_us: Some(0), ..shares(most) }).unwrap();
    assert_eq!(alone.quota, Limit::At(most));
}

/// v1 keeps the period in a file of its own: it has moved already when the quota is refused.
fn a_period_whose_quota_is_refused_goes_back(ground: &Ground) {
    let parent = ground.cgroup("periods");
    let child = parent.child("child");
    parent.cpu_quota().unwrap().write(&shares(40.0)).unwrap();
    let quota = child.cpu_quota().unwrap();
    let before = quota.write(&CpuLimit { burst_us: Some(5_000), ..shares(20.0) }).unwrap();
    let wanted = CpuLimit { quota: Limit::At(50.0), period_us: 50_000, burst_us: Some(7_000) };
    let answer = quota.write(&wanted);
    match ground.version(Controller::Cpu) {
        Version::V1 => {
            assert!(matches!(answer.unwrap_err(), CgroupError::OverParent { .. }));
            assert_eq!(quota.read().unwrap(), before);
        }
        Version::V2 => assert_eq!(answer.unwrap(), wanted),
    }
    // Changing the period alone never stands over the parent on the way.
    quota.write(&before).unwrap();
    for period_us in [10_000, 500_000, 100_000] {
        let limit = CpuLimit { quota: Limit::At(40.0), period_us, burst_us: Some(0) };
        assert_eq!(quota.write(&limit).unwrap(), limit);
    }
}

fn somebody_elses_write_is_noticed_and_left(ground: &Ground) {
    let cgroup = ground.cgroup("rival");
    let (ours, theirs) = (cgroup.cpu_quota().unwrap(), cgroup.cpu_quota().unwrap());
    let until = Instant::now() + Duration::from_secs(20);
    let noticed = AtomicBool::new(false);
    let error = thread::scope(|scope| {
        scope.spawn(|| {
            for quota in (50..90).cycle().take_while(|_| !noticed.load(Ordering::Relaxed) && Instant::now() < until) {
                // What it reads back may be ours.
                let _mixed = theirs.write(&shares(f64::from(quota)));
            }
        });
        // Never pausing, so that they meet on one CPU as well: the scheduler takes it away at any point.
        let mut written =
            (20..40).cycle().take_while(|_| Instant::now() < until).map(|quota| ours.write(&shares(f64::from(quota))));
        let error = written.find_map(Result::err);
        noticed.store(true, Ordering::Relaxed);
        error
    });
    let error = error.expect("two writers did not meet in 20 s");
    assert!(matches!(error, CgroupError::Verify { .. }), "{error}");
}

fn memory_is_rounded_to_pages(ground: &Ground) {
    let cgroup = ground.cgroup("pages");
    cgroup.apply(&[Change::MemoryMax(Limit::At(10_000_001.0 / 1_048_576.0))]).unwrap();
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap().unwrap() as f64;
    let bytes = cgroup.memory().unwrap().max.amount().unwrap() * 1_048_576.0;
    assert!((bytes % page).abs() < 0.5 && bytes <= 10_000_001.0 && bytes > 10_000_001.0 - page, "{bytes}");
}

/// No lowering gets anything killed: what is in use is not gone below.
fn memory_in_use_is_not_taken_away(ground: &Ground) {
    let cgroup = ground.cgroup("memory");
    let mut burner = cgroup.burn(0, 0.0);
    burner.hold(64);
    wait_until("64 MiB are held", || cgroup.memory().unwrap().usage_mib > 64.0);
    let before = cgroup.cpu_limit().unwrap();
    let error = cgroup.apply(&[Change::Cpu { quota: Limit::At(50.0) }, Change::MemoryMax(Limit::At(16.0))]).unwrap_err();
    assert!(matches!(*error.source, CgroupError::BelowUsage { wanted_mib: 16.0, usage_mib, .. } if usage_mib > 64.0), "{error}");
    assert!((error.index, error.undone()) == (1, true) && cgroup.cpu_limit().unwrap() == before, "{error}");
    assert_eq!(cgroup.memory().unwrap().max, Limit::Unlimited);
    if ground.version(Controller::Memory) == Version::V2 {
        // Below what is in use, memory.high slows the container down, and no more.
        cgroup.apply(&[Change::MemoryHigh(Limit::At(16.0))]).unwrap();
        assert_eq!(cgroup.memory().unwrap().high, Limit::At(16.0));
        cgroup.apply(&[Change::MemoryHigh(Limit::Unlimited)]).unwrap();
    }
    cgroup.apply(&[Change::MemoryMax(Limit::At(100.0))]).unwrap();
    let memory = cgroup.memory().unwrap();
    assert_eq!((memory.max, memory.oom_kills), (Limit::At(100.0), Some(0)));
    assert!(cgroup.processes().unwrap().contains(&burner.pid()));
}

/// What swap has over the memory limit stays what it is; v1 limits the sum, which must never be less than its part.
fn swap_keeps_its_limit(ground: &Ground) {
    let cgroup = ground.cgroup("swap");
    let (limit, swap) = match ground.version(Controller::Memory) {
        Version::V1 => ("memory.memsw.limit_in_bytes", "100M"),
        Version::V2 => ("memory.swap.max", "36M"),
    };
    cgroup.apply(&[Change::MemoryMax(Limit::At(64.0))]).unwrap();
    let limit = cgroup.file(Controller::Memory, limit);
    if !limit.exists() {
        assert_eq!(cgroup.memory().unwrap().swap_mib, None);
        return println!("this kernel does not account swap: {} is not there", limit.display());
    }
    fs::write(limit, swap).unwrap();
    for max in [200.0, 32.0, 90.0] {
        cgroup.apply(&[Change::MemoryMax(Limit::At(max))]).unwrap();
        let memory = cgroup.memory().unwrap();
        assert_eq!((memory.max, memory.swap_max), (Limit::At(max), Limit::At(36.0)));
    }
    let error = cgroup.apply(&[Change::MemoryMax(Limit::At(400.0)), Change::Cpu { quota: Limit::At(0.1) }]).unwrap_err();
    assert!(error.undone(), "{error}");
    let memory = cgroup.memory().unwrap();
    assert_eq!((memory.max, memory.swap_max), (Limit::At(90.0), Limit::At(36.0)));
    cgroup.apply(&[Change::MemoryMax(Limit::Unlimited)]).unwrap();
    assert_eq!(cgroup.memory().unwrap().max, Limit::Unlimited);
}

fn cpus_that_cannot_be_are_refused(ground: &Ground) {
    let cgroup = ground.cgroup("cpus");
    let all = cgroup.cpuset().unwrap().effective;
    cgroup.apply(&[Change::Cpuset(all.clone())]).unwrap();
    let refuse = |cpu: u32| {
        cgroup.apply(&[Change::Cpu { quota: Limit::At(70.0) }, Change::Cpuset([cpu].into_iter().collect())]).unwrap_err()
    };
    // More than any kernel is built for.
    let error = refuse(60_000);
    assert!(error.undone() && error.to_string().contains("this host does not have these CPUs"), "{error}");
    assert_eq!(cgroup.cpu_limit().unwrap().quota, Limit::Unlimited);
    assert_eq!(cgroup.cpuset().unwrap().configured, all);
}

/// While processes run, no kernel takes an empty list after another one.
fn cpus_are_taken_off_under_running_processes(ground: &Ground) {
    let cgroup = ground.cgroup("unpin");
    let all = cgroup.cpuset().unwrap().effective;
    let one: CpuList = all.iter().take(1).collect();
    let _burner = cgroup.burn(0, 0.0);
    cgroup.apply(&[Change::Cpuset(one.clone())]).unwrap();
    assert_eq!(cgroup.cpuset().unwrap().effective, one);
    // Undone, too: what stood there first may be the empty list.
    let error = cgroup.apply(&[Change::Cpuset(all.clone()), Change::Cpu { quota: Limit::At(0.1) }]).unwrap_err();
    assert!(error.undone(), "{error}");
    assert_eq!(cgroup.cpuset().unwrap().effective, one);
    cgroup.apply(&[Change::Cpuset(CpuList::default())]).unwrap();
    assert_eq!(cgroup.cpuset().unwrap().effective, all);
}

fn a_cpuset_is_undone_under_running_processes(ground: &Ground) {
    let cgroup = ground.cgroup("unpin2");
    let all = cgroup.cpuset().unwrap().effective;
    let one: CpuList = all.iter().take(1).collect();
    let _burner = cgroup.burn(0, 0.0);
    let error = cgroup.apply(&[Change::Cpuset(one), Change::Cpu { quota: Limit::At(0.1) }]).unwrap_err();
    assert!(error.undone(), "{error}");
    assert_eq!(cgroup.cpuset().unwrap().effective, all);
}

fn a_disk_that_is_none_is_refused(ground: &Ground) {
    let cgroup = ground.cgroup("nodisk");
    let device = Device { major: 4095, minor: 77 };
    let error =
        cgroup.apply(&[Change::Cpu { quota: Limit::At(70.0) }, Change::DiskRead { device, limit: Limit::At(1.0) }]).unwrap_err();
    assert!((error.index, error.undone()) == (1, true), "{error}");
    assert!(error.to_string().contains("there is no such disk"), "{error}");
    assert_eq!(cgroup.cpu_limit().unwrap().quota, Limit::Unlimited);
}

/// Kept handles stay with what they were opened on.
fn a_new_cgroup_of_the_same_name_is_another_one(ground: &Ground) {
    let mut cgroup = ground.cgroup("twice");
    let old = cgroup.hierarchies().open(cgroup.path()).unwrap();
    let (quota, clock, throttle) = (old.cpu_quota().unwrap(), old.cpu_clock().unwrap(), old.throttle_clock().unwrap());
    quota.write(&shares(50.0)).unwrap();
    let memory_was_open = old.memory().unwrap().max;
    cgroup.recreate();
    assert!(cgroup.alive() && !old.alive());
    assert_ne!(cgroup.id(), old.id());
    let answers = [
        quota.read().map(drop),
        quota.write(&shares(20.0)).map(drop),
        clock.read().map(drop),
        clock.total_ns().map(drop),
        throttle.read().map(drop),
        old.cpu_limit().map(drop),
        old.memory().map(drop),
        old.cpuset().map(drop),
        old.disk().map(drop),
        old.apply(&[Change::Cpu { quota: Limit::At(20.0) }]).map_err(|error| *error.source),
        old.apply(&[Change::MemoryMax(Limit::At(20.0))]).map_err(|error| *error.source),
        old.apply(&[Change::Cpuset([0].into_iter().collect())]).map_err(|error| *error.source),
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        let error = answer.expect_err("an answer from a cgroup that is gone");
        assert!(error.is_gone(), "answer {n}: {error}");
    }
    assert_eq!(cgroup.cpu_limit().unwrap().quota, Limit::Unlimited);
    assert_eq!(cgroup.memory().unwrap().max, memory_was_open);
}
