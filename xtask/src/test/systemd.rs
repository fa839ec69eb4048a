//! The packaged unit under a real systemd, in a VM: does it start, reload, come back, and leave no container throttled?

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::show::Show;
use super::tally::Program;
use super::{Outcome, guests};
use crate::repo;
use crate::vm::{self, Guest, Hierarchy, Kernel, SYSTEMD};

/// What runs in the guest; it says what it found as cargo's test programs do.
const SCRIPT: &str = "xtask/src/test/systemd.sh";
const AGENT: &str = "target/release/headroom-agent";
const UNIT: &str = "configs/systemd/headroom-agent.service";
const PAGE: &str = "docs/engines.md";

/// Why it cannot be booted here, if it cannot.
pub(super) fn missing() -> Option<String> {
    (!Path::new(SYSTEMD).exists()).then(|| format!("{SYSTEMD} is not on this machine: apt install systemd dbus"))
}

/// Builds the agent as it is shipped, boots systemd and runs the script.
pub(super) fn run(show: Show) -> Result<Outcome> {
    if let Some(why) = missing() {
        return Ok(Outcome::LeftOut(why));
    }
    let built = repo::cargo().args(["build", "--quiet", "--release", "--package", "headroom-agent"]).status()?;
    ensure!(built.success(), "the agent did not build (see above)");
    let guest = Guest {
        kernel: Kernel::V6_12,
        cgroup: Hierarchy::V2,
        cpus: 2,
        memory_mib: 2048,
        disk_mib: None,
        timeout: Duration::from_mins(20),
        systemd: true,
    };
    let root = repo::root();
    let mut words = vec![OsString::from("sh")];
    words.extend([SCRIPT, AGENT, UNIT, PAGE].map(|file| root.join(file).into_os_string()));
    words.push(vm::busybox()?.into_os_string());
    let (text, success) = guests::output(&guest, show, &words)?;
    Ok(Outcome::Tests(vec![Program::of_run(UNIT.to_owned(), &text, success)]))
}
