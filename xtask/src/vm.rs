//! `cargo xtask vm`: a command on another kernel. QEMU without KVM, the machine's own files as the guest's root.
//!
//! Nothing is installed: what the machine lacks is unpacked under `target/vm/`. The guest sees the machine's `/` under a tmpfs,
//! so what it writes is gone with it; only its output comes back.

mod apt;
mod assets;
mod choice;
mod cpio;
mod guest;
mod modules;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::repo;

pub(crate) use choice::{Hierarchy, Kernel};
pub(crate) use guest::{Ending, Guest};

/// Where everything is kept, below the repository.
const HOME: &str = "target/vm";
/// The machine's systemd, which need not run there.
pub(crate) const SYSTEMD: &str = "/lib/systemd/systemd";

/// Boots a kernel in QEMU and runs a command there: its output, its exit code.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which kernel
    #[arg(long, value_enum, default_value_t = Kernel::V6_12)]
    kernel: Kernel,
    /// Which cgroup hierarchies the guest mounts
    #[arg(long, value_enum, default_value_t = Hierarchy::V2)]
    cgroup: Hierarchy,
    /// CPUs of the guest
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    cpus: u16,
    /// Memory of the guest, in MiB; what it writes to files is in it too
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(512..=65536))]
    memory: u32,
    /// Gives the guest an empty disk of so many MiB, with the serial number `headroom-test`; it is gone with the guest
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=65536))]
    disk: Option<u32>,
    /// Ends the guest after so many seconds, boot included
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86400))]
    timeout: u64,
    /// Boots the machine's systemd as PID 1 (cgroup v2 only); the command is a service of it
    #[arg(long)]
    systemd: bool,
    /// The command and its arguments, after `--`; runs as root, in the current directory, at the paths of the machine, without input
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The packages of engines that tests start, fetched where they are not there yet; none where this is no Debian.
pub(crate) fn engines() -> Result<Option<std::path::PathBuf>> {
    assets::engines(&repo::root().join(HOME))
}

/// A busybox that asks for no libraries: the machine's own, or the one that guests boot with.
pub(crate) fn busybox() -> Result<std::path::PathBuf> {
    assets::busybox(&repo::root().join(HOME))
}

/// Runs `cargo xtask vm`. Exit codes: the command's own; 124 the time was up; 125 the guest did not work; 130 interrupted.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let guest = Guest {
        kernel: args.kernel,
        cgroup: args.cgroup,
        cpus: args.cpus,
        memory_mib: args.memory,
        disk_mib: args.disk,
        timeout: Duration::from_secs(args.timeout),
        systemd: args.systemd,
    };
    let ending = guest.run(&args.command, &mut std::io::stdout())?;
    if let Some(trouble) = ending.trouble(&guest) {
        eprintln!("vm: {trouble}");
    }
    Ok(ExitCode::from(ending.code()))
}

/// Fetches what booting this kernel takes, as far as it is not there, and gives the kernel's release.
pub(crate) fn prepare(kernel: Kernel) -> Result<String> {
    let (_, files) = assets::prepare(&repo::root().join(HOME), kernel)?;
    Ok(files.modules.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// What goes together, checked before anything is fetched.
fn check(guest: &Guest) -> Result<()> {
    let Guest { kernel, cgroup, systemd, .. } = guest;
    ensure!(cfg!(target_arch = "x86_64"), "guests are x86_64 only, and so must the machine be");
    ensure!(nix::unistd::geteuid().is_root(), "the guest reads the machine's files as they are: run this as root");
    ensure!(
        cgroup.is_in(*kernel),
        "kernel {} has no cgroup {}: Debian builds its v1 controllers into 6.1 only. Take --kernel 6.1, or --cgroup v2",
        kernel.name(),
        cgroup.name()
    );
    ensure!(!systemd || *cgroup == Hierarchy::V2, "--systemd goes with --cgroup v2 only");
    ensure!(
        !systemd || Path::new(SYSTEMD).exists(),
        "{SYSTEMD} is not on this machine, whose systemd the guest boots: apt install systemd dbus"
    );
    Ok(())
}
