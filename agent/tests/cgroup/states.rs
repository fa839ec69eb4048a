//! Cgroups in a state that limits are not often set in: frozen, threaded, without controllers, with less above them, on their way out.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use headroom_agent::cgroup::{CgroupError, Change, Controller, CpuLimit, CpuList, Version};
use headroom_model::limit::Limit;

use crate::ground::{AnyCgroup, Ground, everywhere};
use crate::support::wait_until;

everywhere! {
    a_frozen_cgroup_takes_limits,
    a_threaded_cgroup_has_a_quota_and_no_memory,
    a_controller_that_is_not_enabled_is_told_and_found_once_it_is,
    cpus_and_memory_that_the_cgroup_above_does_not_have,
    a_cgroup_that_is_removed_in_mid_write_is_gone,
}

fn shares(quota: f64) -> CpuLimit {
    CpuLimit { quota: Limit::At(quota), period_us: 100_000, burst_us: Some(0) }
}

/// A cgroup whose processes stand still until this is dropped.
struct Frozen {
    state: PathBuf,
    thawed: &'static str,
    /// v1's cgroup in the hierarchy of the freezer, which is no business of the module's.
    made: Option<PathBuf>,
}

impl Frozen {
    fn new(ground: &Ground, cgroup: &AnyCgroup) -> Self {
        let (frozen, is_frozen, text) = if let Some(root) = cgroup.hierarchies().unified_root() {
            let directory = root.join(cgroup.path().as_str());
            let frozen = Self { state: directory.join("cgroup.freeze"), thawed: "0", made: None };
            (frozen, (directory.join("cgroup.events"), "frozen 1"), "1")
        } else {
            let root = ground.place(Controller::Memory).root;
            let directory = root.with_file_name("freezer").join(cgroup.path().as_str());
            fs::create_dir(&directory).unwrap();
            let state = directory.join("freezer.state");
            let frozen = Self { state: state.clone(), thawed: "THAWED", made: Some(directory.clone()) };
            for pid in cgroup.processes().unwrap() {
                fs::write(directory.join("cgroup.procs"), pid.to_string()).unwrap();
            }
            (frozen, (state, "FROZEN"), "FROZEN")
        };
        fs::write(&frozen.state, text).unwrap();
        wait_until("it is frozen", || fs::read_to_string(&is_frozen.0).unwrap().contains(is_frozen.1));
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        fs::write(&self.state, self.thawed).unwrap();
        if let Some(directory) = &self.made {
            let root = directory.parent().unwrap().join("cgroup.procs");
            for pid in fs::read_to_string(directory.join("cgroup.procs")).unwrap().lines() {
                fs::write(&root, pid).unwrap();
            }
            wait_until("the freezer's cgroup is gone", || fs::remove_dir(directory).is_ok());
        }
    }
}

/// Limits move under processes that cannot: nothing waits for them, and what stood is what they wake up under.
fn a_frozen_cgroup_takes_limits(ground: &Ground) {
    let cgroup = ground.cgroup("frozen");
    let mut burner = cgroup.burn(1, 0.0);
    burner.hold(48);
    wait_until("48 MiB are held", || cgroup.memory().unwrap().usage_mib > 48.0);
    let frozen = Frozen::new(ground, &cgroup);
    let all = cgroup.cpuset().unwrap().effective;
    let one: CpuList = all.iter().take(1).collect();
    cgroup
        .apply(&[Change::Cpu { quota: Limit::At(20.0) }, Change::Cpuset(one.clone()), Change::MemoryMax(Limit::At(200.0))])
        .unwrap();
    cgroup.apply(&[Change::MemoryMax(Limit::At(120.0))]).unwrap();
    let error = cgroup.apply(&[Change::Cpuset(all), Change::MemoryMax(Limit::At(8.0))]).unwrap_err();
    assert!(matches!(*error.source, CgroupError::BelowUsage { .. }) && error.undone(), "{error}");
    if ground.version(Controller::Memory) == Version::V2 {
        cgroup.apply(&[Change::MemoryHigh(Limit::At(100.0))]).unwrap();
        assert_eq!(cgroup.memory().unwrap().high, Limit::At(100.0));
    }
    let stands = || {
        assert_eq!(cgroup.cpu_limit().unwrap(), shares(20.0));
        assert_eq!(cgroup.cpuset().unwrap().configured, one);
        assert_eq!((cgroup.memory().unwrap().max, cgroup.memory().unwrap().oom_kills), (Limit::At(120.0), Some(0)));
        assert!(cgroup.processes().unwrap().contains(&burner.pid()));
    };
    stands();
    let asleep = cgroup.cpu_time().unwrap();
    drop(frozen);
    stands();
    burner.set_duty(1.0);
    let throttled = || cgroup.throttling().unwrap().throttled_periods;
    if ground.is_real() {
        wait_until("it runs, and no more than it may", || throttled() > 2);
        assert!(cgroup.cpu_time().unwrap().total_us > asleep.total_us);
    }
}

/// Some of a container's threads in a cgroup of their own: v2 gives it CPU and CPUs, and neither memory nor disks.
fn a_threaded_cgroup_has_a_quota_and_no_memory(ground: &Ground) {
    let container = ground.cgroup("threaded");
    if ground.version(Controller::Cpu) == Version::V1 {
        // v1 has them everywhere: threads go where they are written to, and every limit is there.
        let part = container.child("part");
        part.apply(&[Change::Cpu { quota: Limit::At(20.0) }, Change::MemoryMax(Limit::At(100.0))]).unwrap();
        return assert_eq!((part.cpu_limit().unwrap(), part.memory().unwrap().max), (shares(20.0), Limit::At(100.0)));
    }
    let root = ground.place(Controller::Cpu).root.join(container.path().as_str());
    fs::write(root.join("cgroup.subtree_control"), "+cpu +cpuset").unwrap();
    fs::create_dir(root.join("part")).unwrap();
    fs::write(root.join("part/cgroup.type"), "threaded").unwrap();
    let mut burner = container.burn(1, 1.0);
    let part = container.hierarchies().open(&container.path().child("part").unwrap()).unwrap();
    for thread in burner.threads() {
        fs::write(root.join("part/cgroup.threads"), thread.to_string()).unwrap();
    }
    part.cpu_quota().unwrap().write(&shares(20.0)).unwrap();
    if ground.is_real() {
        wait_until("its threads are throttled", || part.throttling().unwrap().throttled_periods > 2);
    }
    burner.set_duty(0.0);
    assert_eq!((part.cpu_limit().unwrap(), container.cpu_limit().unwrap().quota), (shares(20.0), Limit::Unlimited));
    let one: CpuList = part.cpuset().unwrap().effective.iter().take(1).collect();
    part.apply(&[Change::Cpuset(one.clone())]).unwrap();
    assert_eq!(part.cpuset().unwrap().effective, one);

    // What it does not have is told, and leaves nothing behind.
    assert!(part.memory().unwrap_err().is_no_controller() && part.disk().unwrap_err().is_no_controller());
    let error = part.apply(&[Change::Cpu { quota: Limit::At(50.0) }, Change::MemoryHigh(Limit::At(100.0))]).unwrap_err();
    assert!(error.source.is_no_controller() && error.undone(), "{error}");
    assert_eq!(part.cpu_limit().unwrap(), shares(20.0));
    // The container around it is whole.
    container.apply(&[Change::Cpu { quota: Limit::At(50.0) }, Change::MemoryMax(Limit::At(200.0))]).unwrap();
    assert_eq!((container.cpu_limit().unwrap(), container.memory().unwrap().max), (shares(50.0), Limit::At(200.0)));
    assert_eq!((container.processes().unwrap(), part.processes().unwrap()), (vec![burner.pid()], Vec::new()));
    assert!(container.net().unwrap().is_some());
}

/// An engine that did not ask for a controller: what is limited is above, and what is missing is told with what helps.
fn a_controller_that_is_not_enabled_is_told_and_found_once_it_is(ground: &Ground) {
    let above = ground.cgroup("bare");
    let path = above.path().child("box").unwrap();
    let open = || above.hierarchies().open(&path).unwrap();
    let directory = |controller| ground.place(controller).root.join(path.as_str());
    above.cpu_quota().unwrap().write(&shares(70.0)).unwrap();
    match ground.version(Controller::Memory) {
        Version::V1 => {
            // Each controller's cgroups are made one by one: this one has a quota, and no memory of its own yet.
            fs::create_dir(directory(Controller::Cpu)).unwrap();
            let error = open().memory().unwrap_err();
            assert!(error.is_no_controller() && error.to_string().contains("no cgroup of its own in"), "{error}");
            fs::create_dir(directory(Controller::Memory)).unwrap();
            open().apply(&[Change::MemoryMax(Limit::At(100.0))]).unwrap();
        }
        Version::V2 => {
            fs::create_dir(directory(Controller::Cpu)).unwrap();
            let bare = open();
            assert!(bare.cpu_time().is_ok(), "CPU time is counted all the same");
            for (error, key) in [
                (bare.cpu_limit().unwrap_err(), "cpu"),
                (bare.memory().unwrap_err(), "memory"),
                (bare.disk().unwrap_err(), "io"),
                (bare.cpuset().unwrap_err(), "cpuset"),
                (*bare.apply(&[Change::Cpu { quota: Limit::At(10.0) }]).unwrap_err().source, "cpu"),
            ] {
                assert!(error.is_no_controller() && error.to_string().contains(&format!("(write +{key} there)")), "{error}");
                // The advice, taken.
                fs::write(above.file(Controller::Cpu, "cgroup.subtree_control"), format!("+{key}")).unwrap();
                if key == "cpuset" {
                    break;
                }
            }
            bare.apply(&[Change::Cpu { quota: Limit::At(10.0) }, Change::MemoryHigh(Limit::At(100.0))]).unwrap();
            assert_eq!((bare.cpu_limit().unwrap(), bare.memory().unwrap().high), (shares(10.0), Limit::At(100.0)));
            fs::write(above.file(Controller::Cpu, "cgroup.subtree_control"), "-cpu").unwrap();
            let error = bare.cpu_limit().unwrap_err();
            assert!(error.is_no_controller(), "taken away again: {error}");
            assert_eq!(bare.effective_cpu_limit().unwrap(), Limit::At(70.0), "what is above it counts");
        }
    }
}

/// Where the cgroup above has less: v1 refuses CPUs that it does not have, v2 takes them and gives those that are there.
fn cpus_and_memory_that_the_cgroup_above_does_not_have(ground: &Ground) {
    let above = ground.cgroup("less");
    let below = above.child("below");
    let all = above.cpuset().unwrap().effective;
    let [one, other] = [0, 1].map(|skip| all.iter().skip(skip).take(1).collect::<CpuList>());
    assert!(!other.is_empty(), "this takes two CPUs");
    // v1 asks for the cgroups below to be smaller first.
    below.apply(&[Change::Cpuset(one.clone())]).unwrap();
    above.apply(&[Change::Cpuset(one.clone()), Change::MemoryMax(Limit::At(200.0))]).unwrap();
    let answer = below.apply(&[Change::Cpu { quota: Limit::At(30.0) }, Change::Cpuset(other.clone())]);
    match ground.version(Controller::Cpuset) {
        Version::V1 => {
            let error = answer.unwrap_err();
            assert!(error.undone() && error.source.is_conflict(), "{error}");
            assert!(error.to_string().contains("the cgroup above it does not have these CPUs"), "{error}");
            assert_eq!((below.cpuset().unwrap().configured, below.cpu_limit().unwrap().quota), (one.clone(), Limit::Unlimited));
            let error = above.apply(&[Change::Cpuset(other)]).unwrap_err();
            assert!(error.undone() && error.source.is_conflict(), "below it these are in use: {error}");
        }
        Version::V2 => {
            answer.unwrap();
            assert_eq!(below.cpuset().unwrap().configured, other);
        }
    }
    assert_eq!(below.cpuset().unwrap().effective, one);
    // Memory: every kernel takes more than there is above, where it then ends.
    below.apply(&[Change::MemoryMax(Limit::At(400.0))]).unwrap();
    assert_eq!((below.memory().unwrap().max, below.limits_above().unwrap().memory), (Limit::At(400.0), Limit::At(200.0)));
}

/// Between any two writes: that is told as what it is, and nothing is left half-way.
fn a_cgroup_that_is_removed_in_mid_write_is_gone(ground: &Ground) {
    for round in 0..20 {
        let cgroup = ground.cgroup(&format!("going-{round}"));
        let opened = cgroup.hierarchies().open(cgroup.path()).unwrap();
        let one: CpuList = opened.cpuset().unwrap().effective.iter().take(1).collect();
        let writer = thread::spawn(move || {
            let changes = |up: f64| {
                [
                    Change::Cpu { quota: Limit::At(20.0 + up) },
                    Change::MemoryMax(Limit::At(100.0 + up)),
                    Change::Cpuset(if up > 0.0 { one.clone() } else { CpuList::default() }),
                ]
            };
            [0.0, 10.0].into_iter().cycle().find_map(|up| opened.apply(&changes(up)).err()).unwrap()
        });
        thread::sleep(Duration::from_micros(500 + 370 * round));
        cgroup.remove();
        let error = writer.join().unwrap();
        // For a moment it is there without its controllers' files.
        assert!(error.source.is_absent() && error.undone(), "round {round}: {error}");
    }
}
