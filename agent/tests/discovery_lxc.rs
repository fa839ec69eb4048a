//! Discovery of a real LXC container, where LXC is installed. Nothing else depends on this test: where it is not, it says so.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crossbeam_channel::unbounded;
use headroom_agent::cgroup::Hierarchies;
use headroom_agent::containers::identity::Roots;
use headroom_agent::containers::watch::{Settings, spawn};
use headroom_agent::containers::{Discovered, Engine};

/// A container that is ended and removed with the test, however that ends.
struct Lxc {
    dir: tempfile::TempDir,
    name: String,
    /// Cgroups that LXC leaves behind, one in each hierarchy where there was none.
    pivots: Vec<PathBuf>,
}

impl Lxc {
    fn create() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("headroom-test-{}", std::process::id());
        let config = dir.path().join("config");
        fs::write(&config, "lxc.net.0.type = empty\n").unwrap();
        let mounts = fs::read_dir("/sys/fs/cgroup").unwrap().map(|mount| mount.unwrap().path());
        let pivots = mounts.chain(["/sys/fs/cgroup".into()]).map(|mount| mount.join("lxc.pivot"));
        let new = Self { dir, name, pivots: pivots.filter(|pivot| !pivot.exists()).collect() };
        new.run("lxc-create", &["-t", "busybox", "-f", config.to_str().unwrap()]);
        new
    }

    fn command(&self, program: &str, more: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("-P").arg(self.dir.path()).args(["-n", &self.name]).args(more);
        command
    }

    fn run(&self, program: &str, more: &[&str]) {
        let output = self.command(program, more).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Lxc {
    fn drop(&mut self) {
        // Where the test has stopped it already this fails, and nothing is left to be done.
        drop(self.command("lxc-stop", &["-k"]).output());
        for pivot in &self.pivots {
            drop(fs::remove_dir(pivot));
        }
    }
}

fn installed(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(program).exists())
}

#[test]
fn an_lxc_container_is_found_when_it_starts_and_gone_when_it_stops() {
    if !installed("lxc-create") {
        // Not by a macro whose output a passing test swallows.
        writeln!(io::stderr(), "discovery_lxc: no lxc-create in PATH, so no LXC container was tried").unwrap();
        return;
    }
    let root: PathBuf = Hierarchies::probe().unwrap().cpu_root().to_owned();
    let (out, told) = unbounded();
    let settings =
        Settings { engines: vec![Engine::Lxc], patterns: Vec::new(), roots: Roots::default(), rescan: Duration::from_hours(1) };
    let watcher = spawn(Path::new(&root), settings, out, Box::new(|| {})).unwrap();
    let next = || told.recv_timeout(Duration::from_secs(30)).expect("nothing was told");

    let lxc = Lxc::create();
    let mut incarnations = Vec::new();
    for _ in 0..2 {
        lxc.run("lxc-start", &[]);
        let container = loop {
            match next() {
                Discovered::Appeared(new) if new.name == lxc.name => break new,
                _ => {}
            }
        };
        assert_eq!(container.engine, Engine::Lxc);
        assert_eq!(container.path.as_str(), format!("lxc.payload.{}", lxc.name));
        // A process that was attached has a group of its own inside, which is no container.
        lxc.run("lxc-attach", &["--", "/bin/true"]);
        lxc.run("lxc-stop", &["-k"]);
        while !matches!(next(), Discovered::Gone { cgroup_id } if cgroup_id == container.cgroup_id) {}
        incarnations.push(container.cgroup_id);
    }
    assert_ne!(incarnations[0], incarnations[1]);
    watcher.stop();
}
