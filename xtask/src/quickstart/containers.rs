//! Two containers to play with: LXC's where it is installed, else cgroups made by hand with real processes in them.

mod lxc;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use self::lxc::Lxc;
use super::Interrupted;
use super::mounts::{self, Mount};

/// The cgroup under which the hand-made containers lie.
const PARENT: &str = "headroom-quickstart";

/// Containers that are gone, with everything in them, when this is dropped.
pub(super) enum Containers {
    /// Plain cgroups, in every hierarchy.
    Plain(Vec<Mount>),
    /// LXC's.
    Lxc(Lxc),
}

impl Containers {
    /// Makes `names`, below `dir` where something needs to lie on disk.
    pub(super) fn make(names: &[&str], dir: &Path, plain: bool, stop: &dyn Fn() -> bool) -> Result<Self> {
        let hierarchies = mounts::hierarchies()?;
        if !plain && Lxc::is_installed() {
            match Lxc::make(names, &dir.join("lxc"), &hierarchies, stop) {
                Ok(lxc) => return Ok(Self::Lxc(lxc)),
                Err(e) if e.is::<Interrupted>() || stop() => bail!(Interrupted),
                Err(e) => println!("LXC is installed but does not work here ({e:#}); going on with plain cgroups"),
            }
        }
        Self::make_plain(names, hierarchies)
    }

    /// What these are, for people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Plain(_) => format!("plain cgroups, {PARENT}/cont0 and {PARENT}/cont1"),
            Self::Lxc(_) => "LXC containers".into(),
        }
    }

    /// The regular expression by which the agent shall know them; none where it does so anyway.
    pub(super) fn pattern(&self) -> Option<String> {
        matches!(self, Self::Plain(_)).then(|| format!("^{PARENT}/(?P<name>cont[01])$"))
    }

    /// Starts a process in a container that stops itself, and when it is continued spins until it is killed.
    pub(super) fn spin(&self, name: &str) -> Result<Child> {
        const LOOP: &str = "kill -STOP $$; while :; do :; done";
        let quiet = |command: &mut Command| -> Result<Child> {
            own_group(command);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .with_context(|| format!("cannot start a load in {name}"))
        };
        match self {
            Self::Lxc(lxc) => quiet(lxc.command("lxc-attach", name).args(["--", "sh", "-c", LOOP, &marker(name)])),
            Self::Plain(hierarchies) => {
                // It waits for a line before it spins, so that none of its CPU time is charged elsewhere.
                let mut command = Command::new("sh");
                own_group(&mut command);
                let mut child = command
                    .args(["-c", &format!("read go || exit; {LOOP}"), &marker(name)])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .with_context(|| format!("cannot start a load in {name}"))?;
                for mount in hierarchies {
                    let procs = mount.root.join(PARENT).join(name).join("cgroup.procs");
                    fs::write(&procs, child.id().to_string()).with_context(|| procs.display().to_string())?;
                }
                drop(child.stdin.take().map(|mut stdin| std::io::Write::write_all(&mut stdin, b"go\n")));
                Ok(child)
            }
        }
    }

    fn make_plain(names: &[&str], hierarchies: Vec<Mount>) -> Result<Self> {
        for mount in &hierarchies {
            let parent = mount.root.join(PARENT);
            ensure!(!parent.exists(), "{} is there already: is another quickstart running? If not, remove it", parent.display());
        }
        let containers = Self::Plain(hierarchies);
        let Self::Plain(hierarchies) = &containers else { bail!("just made") };
        for mount in hierarchies {
            let parent = mount.root.join(PARENT);
            fs::create_dir(&parent).with_context(|| format!("cannot make {} (root is needed)", parent.display()))?;
            prepare(mount, &parent)?;
            prefer(mount, &parent)?;
            for name in names {
                let dir = parent.join(name);
                fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
                inherit_cpuset(mount, &dir)?;
            }
        }
        Ok(containers)
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        // LXC's remove themselves.
        if let Self::Plain(hierarchies) = self
            && let Err(e) = remove_plain(hierarchies)
        {
            eprintln!("clean-up: {e:#}");
        }
    }
}

/// What marks a load's processes in `/proc/<pid>/cmdline`.
pub(super) fn marker(name: &str) -> String {
    format!("headroom-quickstart-{name}")
}

/// The pids of a container's load.
pub(super) fn loads(name: &str) -> Vec<i32> {
    let marker = marker(name);
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = cmdline.split(|b| *b == 0);
            words.next() == Some(b"sh") && words.any(|w| w == marker.as_bytes())
        })
        .collect()
}

/// Kills a container's load, also where it is stopped or frozen by the quota.
pub(super) fn kill_loads(name: &str) {
    for pid in loads(name) {
        // It may have ended by itself: then there is nothing to do.
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
}

/// Ctrl-C in a terminal is for us, who then end what we started in order; and not for every program that we run.
fn own_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| command.get_program().display().to_string())?;
    ensure!(
        output.status.success(),
        "{} failed ({}): {}",
        command.get_program().display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Makes the parent's controllers available to its children.
fn prepare(mount: &Mount, parent: &Path) -> Result<()> {
    if !mount.controllers.is_empty() {
        return inherit_cpuset(mount, parent);
    }
    let available = fs::read_to_string(mount.root.join("cgroup.controllers")).unwrap_or_default();
    for controller in ["cpu", "cpuset", "memory", "io"].into_iter().filter(|c| available.split_whitespace().any(|a| a == *c)) {
        for dir in [&mount.root, parent] {
            let file = dir.join("cgroup.subtree_control");
            fs::write(&file, format!("+{controller}"))
                .with_context(|| format!("cannot enable {controller} in {}", file.display()))?;
        }
    }
    Ok(())
}

/// Gives the containers precedence over whatever else runs here, so that a busy machine does not take their load away.
fn prefer(mount: &Mount, dir: &Path) -> Result<()> {
    let (file, most) = if mount.controllers.is_empty() { ("cpu.weight", "10000") } else { ("cpu.shares", "262144") };
    let file = dir.join(file);
    if file.exists() {
        fs::write(&file, most).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// A v1 cpuset is empty at first, and takes no process until it is filled.
fn inherit_cpuset(mount: &Mount, dir: &Path) -> Result<()> {
    if mount.controllers.iter().any(|c| c == "cpuset") {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let above = dir.parent().unwrap_or(dir).join(file);
            let value = fs::read_to_string(&above).with_context(|| above.display().to_string())?;
            fs::write(dir.join(file), value.trim()).with_context(|| dir.join(file).display().to_string())?;
        }
    }
    Ok(())
}

fn remove_plain(hierarchies: &[Mount]) -> Result<()> {
    for mount in hierarchies {
        let parent = mount.root.join(PARENT);
        let Ok(entries) = fs::read_dir(&parent) else { continue };
        for entry in entries.filter_map(Result::ok).filter(|e| e.path().is_dir()) {
            remove_cgroup(&entry.path())?;
        }
        remove_cgroup(&parent)?;
    }
    Ok(())
}

fn remove_cgroup(dir: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines().filter_map(|l| l.parse().ok()) {
            // Only processes that this quickstart put there can be in a cgroup that it made.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) if Instant::now() > deadline => return Err(e).with_context(|| format!("cannot remove {}", dir.display())),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
