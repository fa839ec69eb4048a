//! Real engines (Docker, Podman, LXC, LXD) with the agent beside them, in namespaces of their own: `agent/tests/engines/`.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::binaries::{self, Binary, LONGEST};
use super::show::Show;
use super::tally::Program;
use super::{Outcome, guests, systemd};
use crate::repo;
use crate::vm::{self, Guest, Hierarchy, Kernel};

/// What puts a command among the engines.
const SCRIPT: &str = "xtask/src/test/engines.sh";

/// The same where they have their containers' cgroups from systemd.
const SCRIPT_UNDER_SYSTEMD: &str = "xtask/src/test/engines_under_systemd.sh";

/// What this machine's kernel may lack is tried in guests only.
const GUEST_ONLY: [&str; 1] = ["uplinks::lxd_sent"];

/// What is about systemd's own doings.
const SYSTEMD_ONLY: [&str; 2] = ["reloads::", "a_pod_in_systemds_slices"];

/// The engines that ask systemd for their containers' cgroups, where it runs.
const ASKING: [&str; 3] = ["docker", "podman", "one_under"];

/// Fetches the engines where they are not there yet, and runs the tests that need them.
pub(super) fn run(binaries: &[Binary], show: Show) -> Result<Outcome> {
    let chosen = without(&[&GUEST_ONLY[..], &SYSTEMD_ONLY].concat());
    among(binaries, SCRIPT, &chosen, |name, mut command| binaries::tee(name, show, &mut command))
}

/// The same in a guest with cgroup v2, but for what [`run_under_systemd`] runs.
pub(super) fn run_in_guest(binaries: &[Binary], show: Show) -> Result<Outcome> {
    let elsewhere = if systemd::missing().is_none() { &ASKING[..] } else { &[] };
    let chosen = without(&[&SYSTEMD_ONLY, elsewhere].concat());
    among(binaries, SCRIPT, &chosen, |name, command| in_guest(false, name, &command, show))
}

/// Those that ask systemd, in a guest that it booted.
pub(super) fn run_under_systemd(binaries: &[Binary], show: Show) -> Result<Outcome> {
    if let Some(why) = systemd::missing() {
        return Ok(Outcome::LeftOut(why));
    }
    let chosen = [&ASKING[..], &SYSTEMD_ONLY].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    among(binaries, SCRIPT_UNDER_SYSTEMD, &chosen, |name, command| in_guest(true, name, &command, show))
}

/// What libtest is told so that it leaves tests out.
fn without(left_out: &[&str]) -> Vec<String> {
    left_out.iter().flat_map(|test| ["--skip", test]).map(str::to_owned).collect()
}

fn in_guest(systemd: bool, name: String, command: &Command, show: Show) -> Result<Program> {
    let timeout = Duration::from_secs(60 + u64::from(LONGEST));
    // What engines store is in its memory, too.
    let guest =
        Guest { kernel: Kernel::V6_12, cgroup: Hierarchy::V2, cpus: 2, memory_mib: 3072, disk_mib: None, timeout, systemd };
    let (text, success) = guests::output(&guest, show, &["sh", "-c", &guests::line(command)].map(OsString::from))?;
    Ok(Program::of_run(name, &text, success))
}

/// Runs those that libtest chooses of the tests that need engines, by `run`, which has the program's name and how it is started.
fn among(
    binaries: &[Binary],
    script: &str,
    chosen: &[String],
    run: impl FnOnce(String, Command) -> Result<Program>,
) -> Result<Outcome> {
    let Some(packages) = vm::engines().context("fetching the engines")? else {
        return Ok(Outcome::LeftOut("the engines are Debian's packages, and this is another system".to_owned()));
    };
    let binary = binaries.iter().find(|binary| binary.meets_engines()).context("there is no agent/tests/engines")?;
    let command = binary.command_among(&repo::root().join(script), &packages, chosen);
    Ok(Outcome::Tests(vec![run(binary.name(), command)?]))
}
