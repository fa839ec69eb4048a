//! LXC's containers: busybox in a directory of their own, without a network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::super::Interrupted;
use super::super::mounts::Mount;
use super::{own_group, run};
use crate::process::which;

/// Containers that are gone when this is dropped.
pub(crate) struct Lxc {
    /// What LXC calls its path: `-P`.
    dir: PathBuf,
    /// Cgroups that LXC makes for itself and leaves behind; only those that were not there before.
    pivots: Vec<PathBuf>,
}

impl Lxc {
    /// Whether there is an LXC to ask.
    pub(super) fn is_installed() -> bool {
        which("lxc-create").is_some() && which("lxc-start").is_some()
    }

    /// Makes and starts `names` below `dir`.
    pub(super) fn make(names: &[&str], dir: &Path, hierarchies: &[Mount], stop: &dyn Fn() -> bool) -> Result<Self> {
        ensure!(which("busybox").is_some(), "its template busybox takes the package busybox-static");
        for name in names {
            let taken = hierarchies.iter().any(|m| m.root.join(format!("lxc.payload.{name}")).exists());
            ensure!(!taken, "a container called {name} is running already");
        }
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
        }
        fs::create_dir_all(dir)?;
        let lxc = Self { dir: dir.to_owned(), pivots: pivots()?.into_iter().filter(|pivot| !pivot.exists()).collect() };
        for name in names {
            run(lxc.command("lxc-create", name).args(["-t", "busybox"]))?;
            let config = dir.join(name).join("config");
            let text = fs::read_to_string(&config)?;
            let mut text: String = text.lines().filter(|l| !l.starts_with("lxc.net")).flat_map(|l| [l, "\n"]).collect();
            // Precedence over whatever else runs here, so that a busy machine does not take the load away.
            text.push_str("lxc.net.0.type = empty\nlxc.cgroup.cpu.shares = 262144\nlxc.cgroup2.cpu.weight = 10000\n");
            fs::write(&config, text)?;
            run(&mut lxc.command("lxc-start", name))?;
            if stop() {
                bail!(Interrupted);
            }
        }
        Ok(lxc)
    }

    /// A command of LXC's about a container.
    pub(super) fn command(&self, program: &str, name: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.arg("-P").arg(&self.dir).arg("-n").arg(name);
        own_group(&mut command);
        command
    }

    fn remove(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir)?.filter_map(Result::ok).filter(|e| e.path().is_dir()) {
            let name = entry.file_name();
            // One that never started cannot be stopped, which is as good.
            run(self.command("lxc-stop", &name).arg("-k")).ok();
            run(&mut self.command("lxc-destroy", &name))?;
        }
        for pivot in &self.pivots {
            // Not there in every hierarchy; and where another container of LXC's uses it by now, it stays.
            fs::remove_dir(pivot).ok();
        }
        fs::remove_dir_all(&self.dir).with_context(|| self.dir.display().to_string())
    }
}

impl Drop for Lxc {
    fn drop(&mut self) {
        if let Err(e) = self.remove() {
            eprintln!("clean-up: {e:#}");
        }
    }
}

/// Where LXC moves its monitor to when a container ends: `lxc.pivot`, at the top of every hierarchy, also of those that are none of ours.
fn pivots() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let roots = fields.filter(|f| f.len() > 2 && f[2].starts_with("cgroup")).map(|f| PathBuf::from(f[1]));
    Ok(roots.map(|root| root.join("lxc.pivot")).collect())
}
