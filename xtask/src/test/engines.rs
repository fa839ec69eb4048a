//! Real engines (Docker, Podman, LXC, LXD) with the agent beside them, in namespaces of their own: `agent/tests/engines/`.

use anyhow::{Context, Result};

use super::Outcome;
use super::binaries::{self, Binary};
use crate::{repo, vm};

/// What puts a command among the engines.
const SCRIPT: &str = "xtask/src/test/engines.sh";

/// Fetches the engines where they are not there yet, and runs the tests that need them.
pub(super) fn run(binaries: &[Binary]) -> Result<Outcome> {
    let Some(packages) = vm::engines().context("fetching the engines")? else {
        return Ok(Outcome::LeftOut("the engines are Debian's packages, and this is another system".to_owned()));
    };
    let binary = binaries.iter().find(|binary| binary.meets_engines()).context("there is no agent/tests/engines")?;
    let program = binaries::tee(binary.name(), &mut binary.command_among(&repo::root().join(SCRIPT), &packages))?;
    Ok(Outcome::Tests(vec![program]))
}
