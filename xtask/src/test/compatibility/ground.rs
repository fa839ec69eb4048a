//! Where tests run.

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::Result;

use super::Seen;
use crate::vm::{self, Hierarchy, Kernel};
use crate::{process, repo};

/// A kernel with a cgroup layout on which tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// The machine itself.
    Machine,
    /// A VM.
    Guest(Kernel, Hierarchy),
    /// A VM whose PID 1 is systemd.
    Systemd,
    /// A VM in which engines run.
    Engines,
}

impl Ground {
    /// Every one that there can be.
    pub(crate) fn every() -> Vec<Self> {
        let layouts = [Hierarchy::V2, Hierarchy::V1, Hierarchy::Hybrid];
        let guests = Kernel::ALL.into_iter().flat_map(|kernel| layouts.map(|cgroup| (kernel, cgroup)));
        let guests = guests.filter(|(kernel, cgroup)| cgroup.is_in(*kernel)).map(|(kernel, cgroup)| Self::Guest(kernel, cgroup));
        std::iter::once(Self::Machine).chain(guests).chain([Self::Systemd, Self::Engines]).collect()
    }

    /// As on the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let names = || Self::every().iter().map(Self::to_string).collect::<Vec<_>>().join(", ");
        let found = Self::every().into_iter().find(|ground| ground.to_string() == text);
        found.ok_or_else(|| format!("expected one of {}", names()))
    }

    /// The kernel that has to be fetched.
    pub(crate) fn kernel(self) -> Option<Kernel> {
        match self {
            Self::Machine => None,
            Self::Guest(kernel, _) => Some(kernel),
            Self::Systemd | Self::Engines => Some(Kernel::V6_12),
        }
    }

    /// What the page says of it, without tests yet.
    pub(super) fn describe(self) -> Result<Seen> {
        let kernel = match self.kernel() {
            Some(kernel) => vm::prepare(kernel)?,
            None => nix::sys::utsname::uname()?.release().to_string_lossy().into_owned(),
        };
        let (cgroup, place) = match self {
            Self::Machine => (layout_here()?, "machine"),
            Self::Guest(_, cgroup) => (cgroup.name(), "VM"),
            Self::Systemd => (Hierarchy::V2.name(), "VM with systemd"),
            Self::Engines => (Hierarchy::V2.name(), "VM with engines"),
        };
        let text =
            |command: &mut Command| Ok::<_, anyhow::Error>(String::from_utf8_lossy(&process::output(command)?).trim().to_owned());
        Ok(Seen {
            kernel,
            cgroup: cgroup.to_owned(),
            place: place.to_owned(),
            day: text(Command::new("date").args(["-u", "+%F"]))?,
            commit: text(Command::new("git").args(["describe", "--always", "--dirty=+"]).current_dir(repo::root()))?,
            tests: Vec::new(),
        })
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("machine"),
            Self::Guest(kernel, cgroup) => write!(f, "{}/{}", kernel.name(), cgroup.name()),
            Self::Systemd => f.write_str("systemd"),
            Self::Engines => f.write_str("engines"),
        }
    }
}

/// This machine's layout, by what is mounted.
fn layout_here() -> Result<&'static str> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let has = |kind: &str| mounts.lines().any(|line| line.split(' ').nth(2) == Some(kind));
    Ok(match (has("cgroup"), has("cgroup2")) {
        (true, true) => "hybrid",
        (true, false) => "v1",
        _ => "v2",
    })
}
