//! What is true on every ground.

use headroom_agent::cgroup::{CgroupError, Change, Controller, CpuLimit, CpuList, Device, Mode, Version};
use headroom_model::limit::Limit;

use crate::allocation::hot_paths_do_not_allocate;
use crate::ground::{Ground, everywhere};

everywhere! {
    a_fresh_cgroup_has_no_limits,
    the_cpu_quota_goes_up_down_and_off,
    the_period_changes_with_the_quota,
    cpu_values_out_of_range_change_nothing,
    the_memory_limit_goes_up_down_and_off,
    cpus_are_set,
    disk_limits_go_up_down_and_off,
    a_transaction_makes_all_changes,
    counters_are_there,
    hot_paths_do_not_allocate,
    a_cgroup_that_was_removed_is_gone,
}

fn shares(quota: f64) -> CpuLimit {
    CpuLimit { quota: Limit::At(quota), period_us: 100_000, burst_us: Some(0) }
}

fn a_fresh_cgroup_has_no_limits(ground: &Ground) {
    let cgroup = ground.cgroup("fresh");
    assert_eq!(cgroup.cpu_limit().unwrap(), CpuLimit { quota: Limit::Unlimited, period_us: 100_000, burst_us: Some(0) });
    let memory = cgroup.memory().unwrap();
    assert_eq!((memory.high, memory.max, memory.swap_max), (Limit::Unlimited, Limit::Unlimited, Limit::Unlimited));
    assert!(cgroup.disk().unwrap().iter().all(|d| d.read_limit == Limit::Unlimited && d.write_limit == Limit::Unlimited));
    let cpus = cgroup.cpuset().unwrap().effective.len();
    assert_eq!(cgroup.effective_cpu_limit().unwrap(), Limit::At(cpus as f64 * 100.0));
    assert!(cgroup.alive() && cgroup.id() > 0);
    assert_eq!(cgroup.unified_id().unwrap().is_some(), cgroup.hierarchies().mode() != Mode::V1);
    assert!(cgroup.hierarchies().cpu_root().join(cgroup.path().as_str()).is_dir());
}

fn the_cpu_quota_goes_up_down_and_off(ground: &Ground) {
    let cgroup = ground.cgroup("quota");
    let quota = cgroup.cpu_quota().unwrap();
    for limit in [
        shares(50.0),
        CpuLimit { burst_us: Some(150_000), ..shares(150.0) },
        CpuLimit { burst_us: Some(20_000), ..shares(20.0) },
        CpuLimit { burst_us: Some(0), ..shares(1.0) },
        CpuLimit { quota: Limit::Unlimited, burst_us: Some(70_000), period_us: 100_000 },
        CpuLimit { burst_us: Some(30_000), ..shares(30.0) },
        CpuLimit { quota: Limit::Unlimited, burst_us: Some(0), period_us: 100_000 },
    ] {
        assert_eq!(quota.write(&limit).unwrap(), limit);
        assert_eq!(quota.read().unwrap(), limit);
        assert_eq!(cgroup.cpu_limit().unwrap(), limit);
        let host = cgroup.cpuset().unwrap().effective.len() as f64 * 100.0;
        assert_eq!(cgroup.effective_cpu_limit().unwrap(), limit.quota.min(Limit::At(host)));
    }
    // The burst stays, unless it would be over the quota; odd shares become whole µs.
    quota.write(&CpuLimit { burst_us: Some(40_000), ..shares(40.0) }).unwrap();
    let left = quota.write(&CpuLimit { burst_us: None, ..shares(60.0) }).unwrap();
    assert_eq!((left.quota, left.burst_us), (Limit::At(60.0), Some(40_000)));
    let pressed = quota.write(&CpuLimit { burst_us: None, ..shares(33.333_33) }).unwrap();
    assert_eq!((pressed.quota, pressed.burst_us), (Limit::At(33.333), Some(33_333)));
}

fn the_period_changes_with_the_quota(ground: &Ground) {
    let cgroup = ground.cgroup("period");
    let quota = cgroup.cpu_quota().unwrap();
    for (period_us, amount) in [(50_000, 100.0), (200_000, 100.0), (10_000, 10.0), (1_000_000, 180.0), (100_000, 25.0)] {
        let limit = CpuLimit { quota: Limit::At(amount), period_us, burst_us: Some(1_000) };
        assert_eq!(quota.write(&limit).unwrap(), limit);
        assert_eq!(quota.read().unwrap(), limit);
    }
    let off = CpuLimit { quota: Limit::Unlimited, period_us: 50_000, burst_us: Some(0) };
    assert_eq!(quota.write(&off).unwrap(), off);
}

fn cpu_values_out_of_range_change_nothing(ground: &Ground) {
    let cgroup = ground.cgroup("range");
    let quota = cgroup.cpu_quota().unwrap();
    let before = quota.write(&CpuLimit { burst_us: Some(10_000), ..shares(50.0) }).unwrap();
    for (limit, says) in [
        (shares(0.99), "CPU quota 0.99 shares is out of range, expected 1 shares or more with a period of 100000 µs"),
        (shares(0.0), "CPU quota 0 shares"),
        (shares(-1.0), "CPU quota -1 shares"),
        (shares(f64::NAN), "CPU quota NaN shares"),
        (shares(f64::INFINITY), "CPU quota inf shares"),
        (CpuLimit { period_us: 999, ..shares(500.0) }, "CPU period 999 µs is out of range, expected 1000 to 1000000 µs"),
        (CpuLimit { period_us: 1_000_001, ..shares(50.0) }, "CPU period 1000001 µs"),
        (
            CpuLimit { burst_us: Some(50_001), ..shares(50.0) },
            "CPU burst 50001 µs is out of range, expected at most the quota, 50000 µs",
        ),
    ] {
        let error = quota.write(&limit).unwrap_err();
        assert!(matches!(error, CgroupError::OutOfRange { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(quota.read().unwrap(), before);
    }
}

fn the_memory_limit_goes_up_down_and_off(ground: &Ground) {
    let cgroup = ground.cgroup("limit");
    for limit in [Limit::At(256.0), Limit::At(512.0), Limit::At(64.5), Limit::Unlimited, Limit::At(128.0), Limit::Unlimited] {
        cgroup.apply(&[Change::MemoryMax(limit)]).unwrap();
        let memory = cgroup.memory().unwrap();
        assert_eq!((memory.max, memory.high), (limit, Limit::Unlimited));
        if ground.version(Controller::Memory) == Version::V2 {
            cgroup.apply(&[Change::MemoryHigh(limit), Change::MemoryMax(Limit::Unlimited)]).unwrap();
            let memory = cgroup.memory().unwrap();
            assert_eq!((memory.high, memory.max), (limit, Limit::Unlimited));
            cgroup.apply(&[Change::MemoryHigh(Limit::Unlimited)]).unwrap();
        }
    }
    for senseless in [0.0, -5.0, f64::NAN] {
        let error = cgroup.apply(&[Change::MemoryMax(Limit::At(senseless))]).unwrap_err();
        assert!(matches!(*error.source, CgroupError::OutOfRange { .. }) && error.undone(), "{error}");
    }
    if ground.version(Controller::Memory) == Version::V1 {
        let error = cgroup.apply(&[Change::MemoryHigh(Limit::At(100.0))]).unwrap_err();
        assert!(error.source.is_no_controller(), "v1 has no memory.high: {error}");
    }
    assert_eq!(cgroup.memory().unwrap().max, Limit::Unlimited);
}

fn cpus_are_set(ground: &Ground) {
    let cgroup = ground.cgroup("set-cpus");
    let all = cgroup.cpuset().unwrap().effective;
    let one: CpuList = all.iter().take(1).collect();
    for cpus in [&one, &all, &one] {
        cgroup.apply(&[Change::Cpuset(cpus.clone())]).unwrap();
        assert_eq!(&cgroup.cpuset().unwrap().configured, cpus);
    }
    assert_eq!(cgroup.cpuset().unwrap().effective, one);
    assert_eq!(cgroup.effective_cpu_limit().unwrap(), Limit::At(100.0));
    // Nothing runs here, so it may be without any of its own.
    cgroup.apply(&[Change::Cpuset(CpuList::default())]).unwrap();
    let cpus = cgroup.cpuset().unwrap();
    assert!(cpus.configured.is_empty() && cpus.effective == all, "{cpus:?}");
}

fn disk_limits_go_up_down_and_off(ground: &Ground) {
    let cgroup = ground.cgroup("disk-limit");
    let Some(device) = ground.disk() else {
        let error =
            cgroup.apply(&[Change::DiskRead { device: Device { major: 8, minor: 0 }, limit: Limit::At(1.0) }]).unwrap_err();
        assert!(error.undone(), "{error}");
        return println!("this machine has no disk: seen was only that a limit is refused");
    };
    let limits = || {
        let disks = cgroup.disk().unwrap();
        let disk = disks.iter().find(|disk| disk.device == device);
        disk.map_or((Limit::Unlimited, Limit::Unlimited), |disk| (disk.read_limit, disk.write_limit))
    };
    for limit in [Limit::At(10.0), Limit::At(20.5), Limit::At(1.0), Limit::Unlimited, Limit::Unlimited] {
        cgroup.apply(&[Change::DiskRead { device, limit }]).unwrap();
        assert_eq!(limits(), (limit, Limit::Unlimited));
    }
    for limit in [Limit::At(30.0), Limit::At(2.0), Limit::Unlimited] {
        cgroup.apply(&[Change::DiskWrite { device, limit }]).unwrap();
        assert_eq!(limits(), (Limit::Unlimited, limit));
    }
    let error = cgroup.apply(&[Change::DiskRead { device, limit: Limit::At(0.0) }]).unwrap_err();
    assert!(matches!(*error.source, CgroupError::OutOfRange { .. }), "{error}");
}

fn a_transaction_makes_all_changes(ground: &Ground) {
    let (cgroup, disk) = (ground.cgroup("transaction"), ground.disk());
    let cpus: CpuList = cgroup.cpuset().unwrap().effective.iter().take(1).collect();
    let disk_limit = |limit| disk.map(|device| Change::DiskWrite { device, limit });
    let stands = |shares: f64, memory, disk_limit| {
        assert_eq!(cgroup.cpu_limit().unwrap(), self::shares(shares));
        assert_eq!(cgroup.cpuset().unwrap().configured, cpus);
        assert_eq!(cgroup.memory().unwrap().max, memory);
        let reading = cgroup.disk().unwrap().into_iter().find(|reading| Some(reading.device) == disk);
        assert_eq!(reading.map(|reading| reading.write_limit), disk.map(|_| disk_limit));
    };
    let mut changes =
        vec![Change::Cpu { quota: Limit::At(75.0) }, Change::Cpuset(cpus.clone()), Change::MemoryMax(Limit::At(200.0))];
    changes.extend(disk_limit(Limit::At(5.0)));
    changes.push(Change::Cpu { quota: Limit::At(80.0) });
    cgroup.apply(&changes).unwrap();
    stands(80.0, Limit::At(200.0), Limit::At(5.0));

    // What comes last cannot be: all before it stands as it did.
    let mut changes =
        vec![Change::Cpu { quota: Limit::At(90.0) }, Change::Cpuset(CpuList::default()), Change::MemoryMax(Limit::At(300.0))];
    changes.extend(disk_limit(Limit::At(7.0)));
    changes.push(Change::Cpu { quota: Limit::At(0.5) });
    let error = cgroup.apply(&changes).unwrap_err();
    assert_eq!((error.index, error.undone()), (changes.len() - 1, true));
    assert!(error.to_string().starts_with("CPU quota 0.5 shares could not be set: "), "{error}");
    assert!(error.to_string().ends_with("nothing was changed"), "{error}");
    stands(80.0, Limit::At(200.0), Limit::At(5.0));
}

fn counters_are_there(ground: &Ground) {
    let cgroup = ground.cgroup("counters");
    let (clock, throttle) = (cgroup.cpu_clock().unwrap(), cgroup.throttle_clock().unwrap());
    assert_eq!(clock.read().unwrap(), cgroup.cpu_time().unwrap());
    assert_eq!(clock.total_ns().unwrap() / 1_000, clock.read().unwrap().total_us);
    assert_eq!(throttle.read().unwrap(), cgroup.throttling().unwrap());
    let memory = cgroup.memory().unwrap();
    assert!(memory.usage_mib <= memory.current_mib && memory.oom_kills.is_some());
    assert_eq!(cgroup.net().unwrap(), None, "no process, no interfaces");
}

fn a_cgroup_that_was_removed_is_gone(ground: &Ground) {
    let cgroup = ground.cgroup("removed");
    cgroup.remove();
    assert!(!cgroup.alive());
    let answers = [
        cgroup.cpu_limit().map(drop),
        cgroup.cpuset().map(drop),
        cgroup.memory().map(drop),
        cgroup.disk().map(drop),
        cgroup.net().map(drop),
        cgroup.cpu_time().map(drop),
        cgroup.throttling().map(drop),
        cgroup.apply(&[Change::Cpu { quota: Limit::At(10.0) }]).map_err(|error| *error.source),
        cgroup.apply(&[Change::MemoryMax(Limit::At(10.0))]).map_err(|error| *error.source),
        cgroup.hierarchies().open(cgroup.path()).map(drop),
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        let error = answer.expect_err("an answer from a cgroup that is gone");
        assert!(error.is_gone(), "answer {n}: {error}");
    }
}
