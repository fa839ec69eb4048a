//! `cargo xtask setup`: whether this machine can do the rest, and what that takes fetched beforehand.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::vm::{self, Kernel};
use crate::{couchdb, process, repo};

/// Checks the machine and fetches what tests and VMs need, all below `target/`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fetch every kernel that VMs can boot, not the usual one only
    #[arg(long)]
    all: bool,
}

/// What a look at the machine gave.
enum Finding {
    /// As it should be; what was found.
    Good(String),
    /// Works without; what is missing by that and how to get it.
    Lacks(String),
    /// Nothing works; what to do.
    Bad(String),
}

/// Runs `cargo xtask setup`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let looked = [
        ("system", system()),
        ("user", user()),
        ("rust", rust()?),
        ("fuse", fuse()),
        ("network", network()),
        ("couchdb", of_couchdb()),
        ("lints", lints()),
        ("lxc", lxc()),
    ];
    let mut bad = false;
    for (what, finding) in &looked {
        let (mark, text) = match finding {
            Finding::Good(text) => ("ok", text),
            Finding::Lacks(text) => ("--", text),
            Finding::Bad(text) => ("NO", text),
        };
        eprintln!("{mark:>2}  {what:<8}{text}");
        bad |= matches!(finding, Finding::Bad(_));
    }
    if bad {
        return Ok(ExitCode::FAILURE);
    }
    fetch(if args.all { &Kernel::ALL } else { &[Kernel::V6_12] })?;
    Ok(ExitCode::SUCCESS)
}

/// Fetches what tests and booting these kernels take, as far as it is not there.
pub(crate) fn fetch(kernels: &[Kernel]) -> Result<()> {
    if couchdb::missing().is_empty() {
        couchdb::fetch()?;
        eprintln!("ok  {:<8}what stands for CouchDB in tests is below target/couchdb", "couchdb");
    }
    for &kernel in kernels {
        let release = vm::prepare(kernel).context("setting up VMs")?;
        eprintln!("ok  {:<8}kernel {} ({release}) for VMs, with qemu, is below target/vm", "vm", kernel.name());
    }
    match vm::engines().context("fetching the engines")? {
        Some(root) => eprintln!("ok  {:<8}Docker, Podman, LXC and LXD for the tests are in {}", "engines", root.display()),
        None => eprintln!("--  {:<8}tests with real engines need Debian: `test` leaves them out", "engines"),
    }
    Ok(())
}

fn system() -> Finding {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if os != "linux" || arch != "x86_64" {
        return Finding::Bad(format!("{os} on {arch}: this needs Linux on x86_64"));
    }
    if !Path::new("/sys/fs/cgroup").is_dir() {
        return Finding::Bad("no cgroups at /sys/fs/cgroup: mount them, or leave the container that hides them".to_owned());
    }
    Finding::Good(format!("Linux {} on {arch}, cgroup {}", release.trim(), cgroups()))
}

/// Which hierarchies the machine has, as `cargo xtask vm --cgroup` names them.
pub(crate) fn cgroups() -> &'static str {
    let has = |file: &str| Path::new("/sys/fs/cgroup").join(file).exists();
    match (has("cgroup.controllers"), has("unified/cgroup.controllers")) {
        (true, _) => "v2",
        (false, true) => "hybrid",
        (false, false) => "v1",
    }
}

fn user() -> Finding {
    if nix::unistd::geteuid().is_root() {
        Finding::Good("root".to_owned())
    } else {
        Finding::Bad("not root: cgroups, eBPF and the files that a VM shows its guest need root; run this with sudo".to_owned())
    }
}

fn rust() -> Result<Finding> {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let said = process::output(Command::new("rustc").arg("--version").current_dir(repo::root()))?;
    let said = String::from_utf8_lossy(&said);
    let found = said.split_whitespace().nth(1).unwrap_or_default();
    if numbers(found) < numbers(wanted) {
        return Ok(Finding::Bad(format!("rustc {found}: {wanted} or later is needed (rustup update stable)")));
    }
    Ok(Finding::Good(format!("rustc {found}")))
}

/// `1.95.0-nightly` as 1, 95, 0.
fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-']).map_while(|number| number.parse().ok()).collect()
}

/// What the tests' made-up kernels are mounted with.
fn fuse() -> Finding {
    match std::fs::File::options().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Finding::Good("/dev/fuse".to_owned()),
        Err(error) => {
            Finding::Bad(format!("/dev/fuse: {error}: modprobe fuse, or give the container that this runs in that device"))
        }
    }
}

/// What tests with several hosts, a network namespace each, and with limits of the network are made with.
fn network() -> Finding {
    let missing: Vec<_> = [("ip", "iproute2"), ("tc", "iproute2"), ("nsenter", "util-linux")]
        .into_iter()
        .filter(|(tool, _)| process::output(Command::new(tool).arg("-V")).is_err())
        .map(|(tool, package)| format!("no {tool}: apt install {package}"))
        .collect();
    if missing.is_empty() { Finding::Good("ip, tc and nsenter".to_owned()) } else { Finding::Bad(missing.join("; ")) }
}

/// What tests with CouchDB are made with.
fn of_couchdb() -> Finding {
    match couchdb::missing().join("; ") {
        missing if missing.is_empty() => Finding::Good("node, npm and curl".to_owned()),
        missing => Finding::Lacks(format!("{missing}; `test` leaves out those of central with CouchDB")),
    }
}

fn lints() -> Finding {
    let missing: Vec<_> = ["fmt", "clippy"].into_iter().filter(|tool| !has_cargo(tool)).collect();
    if missing.is_empty() {
        return Finding::Good("cargo fmt and clippy".to_owned());
    }
    Finding::Lacks(format!(
        "no cargo {}: `test` leaves that check out (rustup component add rustfmt clippy)",
        missing.join(", no cargo ")
    ))
}

/// Whether cargo has this subcommand, and it works.
pub(crate) fn has_cargo(tool: &str) -> bool {
    process::output(repo::cargo().args([tool, "--version"])).is_ok()
}

fn lxc() -> Finding {
    if process::which("lxc-create").is_some() {
        Finding::Good("LXC: quickstart makes real containers".to_owned())
    } else {
        Finding::Lacks(
            "no LXC: quickstart makes its containers from plain cgroups (apt install lxc busybox-static for real ones)"
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("1.100.0") > numbers("1.95"));
        assert!(numbers("1.95.0-nightly") >= numbers("1.95"));
        assert!(numbers("1.94.1") < numbers("1.95"));
    }

    #[test]
    fn this_very_toolchain_is_good() -> Result<()> {
        assert!(matches!(rust()?, Finding::Good(_)));
        Ok(())
    }
}
