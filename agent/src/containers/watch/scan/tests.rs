//! On a plain directory tree, which is to a scanner what cgroupfs is; the real one is in `tests/discovery.rs`.

use std::fs;
use std::path::Path;

use crossbeam_channel::{Receiver, unbounded};
use tempfile::TempDir;

use super::*;
use crate::containers::Engine;
use crate::containers::identity::Roots;

struct World {
    dir: TempDir,
    /// Docker's own directory.
    docker: TempDir,
    scanner: Scanner,
    told: Receiver<Discovered>,
    /// Names by id of those that were told of as there.
    names: HashMap<u64, String>,
}

impl World {
    fn new(paths: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let docker = tempfile::tempdir().unwrap();
        for path in paths {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        let (out, told) = unbounded();
        let recogniser = Recogniser::new(vec![Engine::Lxc, Engine::Docker], Vec::new());
        let asker = Asker::new(Roots { docker: vec![docker.path().to_owned()], ..Roots::default() });
        let scanner = Scanner::new(Tree::open(dir.path()).unwrap(), recogniser, asker, out);
        Self { dir, docker, scanner, told, names: HashMap::new() }
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join(path)
    }

    /// Docker's file of the container `number` says this name.
    fn docker_says(&self, number: u32, name: &str) {
        let dir = self.docker.path().join(format!("containers/{number:064}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("new"), format!(r#"{{"Name":"/{name}","Config":{{}}}}"#)).unwrap();
        fs::rename(dir.join("new"), dir.join("config.v2.json")).unwrap();
    }

    /// What was told since: `+name`, `-name`, and `~name` of one that has that name from now on.
    fn news(&mut self) -> Vec<String> {
        let mut news = Vec::new();
        for what in self.told.try_iter() {
            news.push(match what {
                Discovered::Appeared(new) => {
                    assert_eq!(self.names.insert(new.cgroup_id, new.name.clone()), None, "told twice: {new:?}");
                    format!("+{}", new.name)
                }
                Discovered::Changed(new) => {
                    self.names.insert(new.cgroup_id, new.name.clone());
                    format!("~{}", new.name)
                }
                Discovered::Gone { cgroup_id } => format!("-{}", self.names.remove(&cgroup_id).unwrap()),
            });
        }
        news
    }

    fn notified(&mut self) -> Vec<String> {
        assert!(!self.scanner.take_notifications(1000), "overflow");
        self.news()
    }

    fn scanned(&mut self) -> Vec<String> {
        self.scanner.scan().unwrap();
        self.news()
    }
}

/// Made anew with another inode: the old one is kept busy until the new one has its own, as a filesystem for general
/// use gives numbers out again, which cgroupfs does not.
fn make_anew(path: &Path) {
    let aside = path.with_file_name("aside");
    fs::rename(path, &aside).unwrap();
    fs::create_dir(path).unwrap();
    fs::remove_dir_all(aside).unwrap();
}

#[test]
fn what_is_there_then_what_comes_and_goes() {
    let mut world = World::new(&["lxc.payload.a/.lxc", "lxc.payload.b/lxc.payload.in", "lxc.monitor.a"]);
    assert_eq!(world.scanned(), ["+a", "+b", "+b:in"]);
    assert_eq!(world.notified(), Vec::<String>::new());
    assert_eq!(world.scanner.stats().watches, 4, "root, a, b, b's guest; not .lxc nor the monitor");

    fs::create_dir_all(world.path("lxc.payload.c/lxc.payload.in")).unwrap();
    fs::remove_dir_all(world.path("lxc.payload.b")).unwrap();
    assert_eq!(world.notified(), ["+c", "+c:in", "-b:in", "-b"]);
    assert_eq!(world.scanned(), Vec::<String>::new());
    let stats = world.scanner.stats();
    assert_eq!((stats.watches, stats.containers, stats.polled), (4, 3, 0));
}

#[test]
fn a_name_that_was_handed_on_between_two_scans_is_the_new_ones() {
    let mut world = World::new(&["docker"]);
    let cgroup = |number: u32| format!("docker/{number:064}");
    world.docker_says(1, "web");
    fs::create_dir(world.path(&cgroup(1))).unwrap();
    assert_eq!(world.scanned(), ["+web"]);

    world.docker_says(1, "web-old");
    world.docker_says(2, "web");
    fs::create_dir(world.path(&cgroup(2))).unwrap();
    assert_eq!(world.notified(), ["~web-old", "+web"]);

    world.docker_says(3, "web");
    fs::create_dir(world.path(&cgroup(3))).unwrap();
    assert_eq!(world.notified(), ["+web@docker"]);
    world.docker_says(2, "shop");
    assert_eq!(world.scanned(), ["~shop", "~web"]);
    fs::remove_dir(world.path(&cgroup(3))).unwrap();
    assert_eq!(world.notified(), ["-web"]);
}

#[test]
fn one_made_anew_has_gone_first_by_notification_and_by_scan() {
    let mut world = World::new(&["lxc.payload.a"]);
    world.scanned();
    make_anew(&world.path("lxc.payload.a"));
    assert_eq!(world.notified(), ["-a", "+a"]);
    make_anew(&world.path("lxc.payload.a"));
    assert_eq!(world.scanned(), ["-a", "+a"]);
    assert_eq!(world.notified(), Vec::<String>::new(), "notifications that come late say nothing new");
    assert_eq!(world.scanner.stats().watches, 2);
}

#[test]
fn a_rename_is_a_going_and_a_coming_and_keeps_the_watch() {
    let mut world = World::new(&["lxc.payload.a"]);
    world.scanned();
    fs::rename(world.path("lxc.payload.a"), world.path("lxc.payload.b")).unwrap();
    assert_eq!(world.notified(), ["-a", "+b"]);
    fs::create_dir(world.path("lxc.payload.b/lxc.payload.in")).unwrap();
    assert_eq!(world.notified(), ["+b:in"]);
}

#[test]
fn without_watches_it_polls_and_takes_them_when_there_are_some() {
    let mut world = World::new(&["lxc.payload.a"]);
    let inotify = world.scanner.inotify.take();
    assert_eq!(world.scanned(), ["+a"]);
    assert_eq!(world.scanner.stats().polled, 2);
    fs::create_dir(world.path("lxc.payload.a/lxc.payload.in")).unwrap();
    fs::create_dir(world.path("lxc.payload.b")).unwrap();
    world.scanner.poll();
    assert_eq!(world.news(), ["+b", "+a:in"]);
    fs::remove_dir_all(world.path("lxc.payload.a")).unwrap();
    world.scanner.poll();
    assert_eq!(world.news(), ["-a:in", "-a"]);

    world.scanner.inotify = inotify;
    world.scanner.poll();
    let stats = world.scanner.stats();
    assert_eq!((stats.watches, stats.polled), (2, 0));
    fs::create_dir(world.path("lxc.payload.c")).unwrap();
    assert_eq!(world.notified(), ["+c"]);
}

#[test]
fn lost_notifications_are_reported_and_made_good_by_a_scan() {
    let mut world = World::new(&[]);
    world.scanned();
    let room: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // Each rename is two notifications.
    let names = [world.path("lxc.payload.here"), world.path("lxc.payload.there")];
    fs::create_dir(&names[0]).unwrap();
    for turn in 0..=room / 2 {
        fs::rename(&names[turn % 2], &names[(turn + 1) % 2]).unwrap();
    }
    assert!(world.scanner.take_notifications(usize::MAX));
    assert_eq!(world.scanner.stats().overflows, 1);
    fs::create_dir(world.path("lxc.payload.late")).unwrap();
    world.scanned();
    assert_eq!(world.names.len(), 2, "{:?}", world.names);
}

#[test]
fn a_name_that_comes_after_the_container_is_asked_for_soon() {
    let mut world = World::new(&["docker"]);
    world.scanned();
    assert!(!world.scanner.awaits_names());
    fs::create_dir(world.path(&format!("docker/{:064}", 1))).unwrap();
    assert_eq!(world.notified(), ["+000000000000"]);
    assert!(world.scanner.awaits_names());
    world.scanner.ask_for_names();
    assert!(world.scanner.awaits_names());
    world.docker_says(1, "web");
    world.scanner.ask_for_names();
    assert_eq!(world.news(), ["~web"]);
    assert!(!world.scanner.awaits_names());
}
