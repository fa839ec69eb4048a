//! What a test stands on: an image, daemons, and an agent.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::agent::{Agent, BINARY};

const LONGEST: Duration = Duration::from_mins(1);

/// A directory, and the daemons that run for the test: they end with it.
pub(crate) struct Bed {
    pub(crate) dir: TempDir,
    daemons: Vec<Child>,
}

impl Bed {
    /// Only where nothing of the machine's own can be met.
    pub(crate) fn new() -> Self {
        let is_apart = fs::read_to_string("/proc/1/cmdline").unwrap().contains("engines");
        // A guest has no engines of its own.
        let is_guest = Path::new("/run/headroom-vm").exists();
        assert!(is_apart || is_guest, "only inside xtask/src/test/engines.sh: it hides this machine's own engines");
        Self { dir: TempDir::new().unwrap(), daemons: Vec::new() }
    }

    /// A root with nothing but busybox in it, as a tar file; `more` is put beside it.
    pub(crate) fn image(&self, root: &str, more: &[(&str, &str)]) -> PathBuf {
        let image = self.dir.path().join("image");
        let bin = image.join(root).join("bin");
        fs::create_dir_all(&bin).unwrap();
        for dir in ["dev", "etc", "proc", "sbin", "sys", "tmp"] {
            fs::create_dir_all(image.join(root).join(dir)).unwrap();
        }
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for applet in ["sh", "sleep", "rm"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        std::os::unix::fs::symlink("../bin/busybox", image.join(root).join("sbin/init")).unwrap();
        for (name, text) in more {
            fs::write(image.join(name), text).unwrap();
        }
        let tar = self.dir.path().join("image.tar");
        sh(&format!("cd {} && tar -cf {} *", image.display(), tar.display()));
        tar
    }

    /// Starts a daemon and waits until `answers` does.
    pub(crate) fn daemon(&mut self, program: &str, arguments: &[&str], answers: &str) {
        let log = self.dir.path().join(format!("{program}.log"));
        let output = File::create(&log).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        self.daemons.push(command.spawn().unwrap());
        let until = Instant::now() + LONGEST;
        while !quietly(answers) {
            assert!(Instant::now() < until, "{program} does not answer: {}", fs::read_to_string(&log).unwrap());
            sleep(Duration::from_millis(50));
        }
    }

    /// Starts an agent with these settings, which looks around twice a second, and leaves first limits as they are.
    pub(crate) fn agent(&self, settings: &str) -> Agent {
        self.deciding_agent(&format!("guardian.active = false\n{settings}"))
    }

    /// Starts an agent with these settings, which looks around twice a second.
    pub(crate) fn deciding_agent(&self, settings: &str) -> Agent {
        let dir = self.dir.path().display();
        let own = format!(
            "agent.state_dir = '{dir}/state'\ndiscovery.rescan = '500ms'\napi.listen = 'off'\napi.socket = '{dir}/agent.sock'\n"
        );
        fs::write(self.dir.path().join("agent.toml"), own + settings).unwrap();
        Agent::start(Command::new(BINARY), self.dir.path())
    }

    /// What is on disk of the guarded containers.
    pub(crate) fn records(&self) -> Vec<Value> {
        let files = fs::read_dir(self.dir.path().join("state/guarded")).unwrap().map(|entry| entry.unwrap().path());
        let records = files.filter(|file| file.extension().is_some_and(|suffix| suffix == "json"));
        // One that was just being replaced comes again.
        records.filter_map(|file| serde_json::from_slice(&fs::read(file).ok()?).ok()).collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            // One that is killed leaves what keeps its successor from starting.
            let _told = kill(Pid::from_raw(daemon.id().try_into().unwrap()), Signal::SIGTERM);
            let until = Instant::now() + Duration::from_secs(20);
            while matches!(daemon.try_wait(), Ok(None)) && Instant::now() < until {
                sleep(Duration::from_millis(20));
            }
            // Whatever is left goes with the namespace.
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}

/// Runs commands as a person would; fails with the first that does.
pub(crate) fn sh(commands: &str) {
    let output = Command::new("sh").args(["-euc", commands]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{commands}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether they succeed; what they say is of no interest.
pub(crate) fn quietly(command: &str) -> bool {
    Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output().unwrap().status.success()
}

/// The directories of a cgroup, one in each hierarchy that is mounted.
pub(crate) fn directories(path: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let cgroups = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|mount| mount[2].starts_with("cgroup"));
    cgroups.map(|mount| Path::new(mount[1]).join(path)).filter(|dir| dir.exists()).collect()
}

/// The processes in a cgroup.
pub(crate) fn members(path: &str) -> Vec<i32> {
    let text = directories(path).iter().find_map(|dir| fs::read_to_string(dir.join("cgroup.procs")).ok()).unwrap();
    text.lines().map(|pid| pid.parse().unwrap()).collect()
}

/// The CPU quota that stands in cgroupfs, in shares.
pub(crate) fn quota(path: &str) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<f64>().unwrap();
    let read = |file: &str| directories(path).iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok());
    let (quota, period) = match read("cpu.max") {
        Some(text) => text.split_once(' ').map(|(quota, period)| (quota.to_owned(), period.to_owned())).unwrap(),
        None => (read("cpu.cfs_quota_us").unwrap(), read("cpu.cfs_period_us").unwrap()),
    };
    (!["max", "-1"].contains(&quota.trim())).then(|| number(&quota) / number(&period) * 100.0)
}

/// Whether memory is limited by v1's interface here.
pub(crate) fn memory_is_v1() -> bool {
    let hierarchies = headroom_agent::cgroup::Hierarchies::probe().unwrap();
    hierarchies.memory_version() == Some(headroom_agent::cgroup::Version::V1)
}

/// Every file of limits that a cgroup has, word for word.
pub(crate) fn limits(path: &str) -> BTreeMap<PathBuf, String> {
    let controllers = ["cpu.", "cpuset.", "memory.", "blkio.", "io.", "pids."];
    let told = [
        "stat",
        "usage",
        "events",
        "pressure",
        "current",
        "peak",
        "failcnt",
        "numa",
        "vmpressure",
        "event_control",
        "service",
        "info",
    ];
    let files = directories(path).into_iter().flat_map(|dir| fs::read_dir(dir).unwrap()).map(|entry| entry.unwrap().path());
    let of_limits = files.filter(|file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        controllers.iter().any(|of| name.starts_with(of)) && !told.iter().any(|word| name.contains(word))
    });
    of_limits.filter_map(|file| Some((file.clone(), fs::read_to_string(&file).ok()?))).collect()
}

/// Sets a quota and a period where the kernel keeps them.
pub(crate) fn set_quota(dir: &Path, quota_us: u32) {
    if dir.join("cpu.max").exists() {
        fs::write(dir.join("cpu.max"), format!("{quota_us} 100000")).unwrap();
    } else {
        fs::write(dir.join("cpu.cfs_quota_us"), quota_us.to_string()).unwrap();
    }
}
