//! Discovery on the real hierarchy of the cpu controller, in cgroups of the tests' own making.
//!
//! Every search here rescans once an hour: what it tells, it was notified of.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use headroom_agent::containers::identity::Roots;
use headroom_agent::containers::watch::{Settings, Watcher, spawn};
use headroom_agent::containers::{Discovered, Engine};
use regex::Regex;

/// Far beyond the 100 ms that are promised: how fast it is, is not a test's to judge.
const PATIENCE: Duration = Duration::from_secs(20);

fn cpu_hierarchy() -> PathBuf {
    ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"]
        .into_iter()
        .map(PathBuf::from)
        .find(|root| root.join("cgroup.procs").exists())
        .expect("a mounted hierarchy of the cpu controller")
}

/// A cgroup of ours, which takes everything below with it when the test ends, however it ends.
struct Playground(PathBuf);

impl Playground {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("headroom-test-discovery-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = cpu_hierarchy().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }

    fn make(&self, name: &str) -> u64 {
        fs::create_dir(self.0.join(name)).unwrap();
        fs::metadata(self.0.join(name)).unwrap().ino()
    }

    fn remove(&self, name: &str) {
        fs::remove_dir(self.0.join(name)).unwrap();
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        remove_groups(&self.0);
    }
}

fn remove_groups(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    drop(fs::remove_dir(path));
}

struct Search {
    watcher: Watcher,
    told: Receiver<Discovered>,
    woken: Arc<AtomicUsize>,
}

/// Looks under `root` for the containers of `engines` and for what `pattern` matches.
fn search(root: &Path, engines: &[Engine], pattern: &str) -> Search {
    let (out, told) = unbounded();
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    let patterns = vec![Regex::new(pattern).unwrap()];
    let settings = Settings { engines: engines.to_vec(), patterns, roots: Roots::default(), rescan: Duration::from_hours(1) };
    let wake = Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    Search { watcher: spawn(root, settings, out, wake).unwrap(), told, woken }
}

impl Search {
    /// The next thing told: `+name` or `-`, and the id.
    fn next(&self) -> (String, u64) {
        match self.told.recv_timeout(PATIENCE).expect("nothing was told") {
            Discovered::Appeared(new) | Discovered::Changed(new) => (format!("+{}", new.name), new.cgroup_id),
            Discovered::Gone { cgroup_id } => ("-".to_owned(), cgroup_id),
        }
    }
}

#[test]
fn a_container_is_known_from_its_mkdir_to_its_rmdir() {
    let ground = Playground::new();
    let pattern = format!("^{}/(?<name>.+)$", ground.name());
    let before = ground.make("before");
    let search = search(&cpu_hierarchy(), &[], &pattern);
    assert_eq!(search.told.len(), 1, "what was there is told before the start returns");
    assert_eq!(search.next(), ("+before".to_owned(), before));

    let now = ground.make("now");
    assert_eq!(search.next(), ("+now".to_owned(), now));
    ground.remove("before");
    assert_eq!(search.next(), ("-".to_owned(), before));

    ground.remove("now");
    let anew = ground.make("now");
    assert_ne!(now, anew);
    assert_eq!(search.next(), ("-".to_owned(), now));
    assert_eq!(search.next(), ("+now".to_owned(), anew));
    search.watcher.stop();
    // Once at the start, and for whatever came after, in as many batches as the kernel made of it.
    assert!(search.woken.load(Ordering::Relaxed) >= 2);
    ground.make("after");
    assert!(search.told.try_recv().is_err());
}

#[test]
fn of_two_that_were_there_already_the_older_has_the_name() {
    let ground = Playground::new();
    for place in ["a", "b"] {
        ground.make(place);
    }
    let older = ground.make("b/job");
    let younger = ground.make("a/job");
    let search = search(&ground.0, &[], "^[ab]/(?<name>job)$");
    assert_eq!(search.next(), ("+job@a".to_owned(), younger));
    assert_eq!(search.next(), ("+job".to_owned(), older));
}

#[test]
fn containers_in_containers_come_after_and_go_before() {
    let ground = Playground::new();
    let search = search(&ground.0, &[Engine::Lxc], "^(?<name>none)$");
    let outer = ground.make("lxc.payload.c1");
    let inner = ground.make("lxc.payload.c1/lxc.payload.c2");
    ground.make("lxc.payload.c1/init.scope");
    assert_eq!(search.next(), ("+c1".to_owned(), outer));
    assert_eq!(search.next(), ("+c1:c2".to_owned(), inner));
    remove_groups(&ground.0.join("lxc.payload.c1"));
    assert_eq!(search.next(), ("-".to_owned(), inner));
    assert_eq!(search.next(), ("-".to_owned(), outer));
}

#[test]
fn hundreds_that_come_and_go_at_once_leave_nothing_behind() {
    let ground = Playground::new();
    let search = search(&ground.0, &[], "^job-(?<name>[0-9]+)$");
    let idle = search.watcher.stats();
    std::thread::scope(|scope| {
        for first in [0, 250] {
            let ground = &ground;
            scope.spawn(move || {
                for number in first..first + 250 {
                    let name = format!("job-{number}");
                    ground.make(&name);
                    ground.make(&format!("{name}/step"));
                    ground.remove(&format!("{name}/step"));
                    // Every fifth stays.
                    if number % 5 != 0 {
                        ground.remove(&name);
                    }
                }
            });
        }
    });
    let last = ground.make("job-999");

    let mut there = HashMap::new();
    while !there.contains_key(&last) {
        match search.told.recv_timeout(PATIENCE).expect("the last was not told") {
            Discovered::Appeared(new) | Discovered::Changed(new) => {
                assert_eq!(there.insert(new.cgroup_id, new.name.clone()), None);
            }
            Discovered::Gone { cgroup_id } => assert!(there.remove(&cgroup_id).is_some()),
        }
    }
    let mut names: Vec<_> = there.into_values().collect();
    names.sort_unstable();
    let mut expected: Vec<_> = (0..500).step_by(5).chain([999]).map(|number| number.to_string()).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);

    for number in (0..500).step_by(5).chain([999]) {
        ground.remove(&format!("job-{number}"));
    }
    assert!((0..101).all(|_| search.next().0 == "-"));
    let marker = ground.make("job-1000");
    assert_eq!(search.next().1, marker);
    // Numbers are published after each batch, its news before.
    while search.watcher.stats().watches != idle.watches + 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let stats = search.watcher.stats();
    assert_eq!((stats.containers, stats.cgroups, stats.polled), (1, idle.cgroups + 1, 0), "{stats:?}");
    assert_eq!((stats.scans, stats.overflows), (1, 0), "one scan at the start, then notifications only: {stats:?}");
}

#[test]
fn it_ends_when_nobody_listens() {
    let ground = Playground::new();
    let search = search(&ground.0, &[], "^(?<name>[a-z]+)$");
    assert!(search.watcher.is_running());
    drop(search.told);
    ground.make("unheard");
    while search.watcher.is_running() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_root_that_is_not_there_is_an_error_at_the_start() {
    let settings =
        Settings { engines: vec![Engine::Lxc], patterns: Vec::new(), roots: Roots::default(), rescan: Duration::from_secs(10) };
    let root = Path::new("/sys/fs/cgroup/no-such-controller");
    let error = spawn(root, settings, unbounded().0, Box::new(|| {})).unwrap_err();
    assert!(error.to_string().contains("/sys/fs/cgroup/no-such-controller"), "{error}");
}
