//! Real engines (Docker, Podman, LXC, LXD) with the agent beside them, in namespaces of their own: `agent/tests/engines/`.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::binaries::{self, Binary, LONGEST};
use super::show::Show;
use super::tally::Program;
use super::{Outcome, guests};
use crate::repo;
use crate::vm::{self, Guest, Hierarchy, Kernel};

/// What puts a command among the engines.
const SCRIPT: &str = "xtask/src/test/engines.sh";

/// What this machine's kernel may lack is tried in guests only.
const GUEST_ONLY: [&str; 1] = ["uplinks::lxd_sent"];

/// Fetches the engines where they are not there yet, and runs the tests that need them.
pub(super) fn run(binaries: &[Binary], show: Show) -> Result<Outcome> {
    among(binaries, &GUEST_ONLY, |name, mut command| binaries::tee(name, show, &mut command))
}

/// The same in a guest with cgroup v2.
pub(super) fn run_in_guest(binaries: &[Binary], show: Show) -> Result<Outcome> {
    let timeout = Duration::from_secs(60 + u64::from(LONGEST));
    // What engines store is in its memory, too.
    let guest = Guest {
        kernel: Kernel::V6_12,
        cgroup: Hierarchy::V2,
        cpus: 2,
        memory_mib: 3072,
        disk_mib: None,
        timeout,
        systemd: false,
    };
    among(binaries, &[], |name, command| {
        let (text, success) = guests::output(&guest, show, &["sh", "-c", &guests::line(&command)].map(OsString::from))?;
        Ok(Program::of_run(name, &text, success))
    })
}

/// Runs the tests that need engines, but some, by `run`, which has the program's name and how it is started.
fn among(binaries: &[Binary], left_out: &[&str], run: impl FnOnce(String, Command) -> Result<Program>) -> Result<Outcome> {
    let Some(packages) = vm::engines().context("fetching the engines")? else {
        return Ok(Outcome::LeftOut("the engines are Debian's packages, and this is another system".to_owned()));
    };
    let binary = binaries.iter().find(|binary| binary.meets_engines()).context("there is no agent/tests/engines")?;
    let command = binary.command_among(&repo::root().join(SCRIPT), &packages, left_out);
    Ok(Outcome::Tests(vec![run(binary.name(), command)?]))
}
