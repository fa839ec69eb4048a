//! Discovery where the kernel grants too few watches, or none: in a user namespace, whose limits are its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crossbeam_channel::unbounded;
use headroom_agent::containers::identity::Roots;
use headroom_agent::containers::watch::{Settings, spawn};
use headroom_agent::containers::{Discovered, Engine};

/// Tells the child process, which is this very test in a world with less, where to look.
const CHILD: &str = "HEADROOM_TEST_WATCHES_ROOT";

/// Runs `test` again with `limit` (a file of `/proc/sys/user`) at `value`, on directories of its own.
fn in_a_world_with(limit: &str, value: u32, test: &str) {
    let root = tempfile::tempdir().unwrap();
    let lower = format!(r#"echo {value} > /proc/sys/user/{limit} && exec "$0" --exact {test} --nocapture"#);
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", &lower])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, root.path())
        .output()
        .expect("unshare (util-linux)");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Everything is found, with at most `watches` watches, and polled for where there is none.
fn found_all_the_same(root: &Path, watches: usize) {
    let inside = |number: u32| root.join(format!("lxc.payload.c{number}"));
    for number in 0..6 {
        fs::create_dir(inside(number)).unwrap();
    }
    let settings =
        Settings { engines: vec![Engine::Lxc], patterns: Vec::new(), roots: Roots::default(), rescan: Duration::from_hours(1) };
    let (out, told) = unbounded();
    let watcher = spawn(root, settings, out, Box::new(|| {})).unwrap();
    assert_eq!(told.try_iter().count(), 6);
    let stats = watcher.stats();
    assert_eq!((stats.watches, stats.polled), (watches, 7 - watches), "{stats:?}");

    let next = || match told.recv_timeout(Duration::from_secs(20)).expect("nothing was told") {
        Discovered::Appeared(new) | Discovered::Changed(new) => new.name.clone(),
        Discovered::Gone { .. } => "gone".to_owned(),
    };
    fs::create_dir(inside(6)).unwrap();
    assert_eq!(next(), "c6");
    fs::create_dir(inside(5).join("lxc.payload.inner")).unwrap();
    assert_eq!(next(), "c5:inner");

    // Watches that become free are taken.
    for number in 0..5 {
        fs::remove_dir(inside(number)).unwrap();
        assert_eq!(next(), "gone");
    }
    let wanted = watches.min(4);
    while watcher.stats().watches != wanted {
        sleep(Duration::from_millis(5));
    }
    assert_eq!(watcher.stats().scans, 1);
}

#[test]
fn too_few_watches() {
    match std::env::var(CHILD) {
        Ok(root) => found_all_the_same(root.as_ref(), 3),
        Err(_) => in_a_world_with("max_inotify_watches", 3, "too_few_watches"),
    }
}

#[test]
fn no_notifications_at_all() {
    match std::env::var(CHILD) {
        Ok(root) => found_all_the_same(root.as_ref(), 0),
        Err(_) => in_a_world_with("max_inotify_instances", 0, "no_notifications_at_all"),
    }
}
