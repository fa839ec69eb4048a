//! The agent of the quickstart: its configuration, its process, its REST interface.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::daemon::Daemon;

/// A running agent; ended when this is dropped.
pub(super) struct Agent {
    /// The program.
    pub(super) binary: PathBuf,
    /// Its `agent.toml`, which stays to be read.
    pub(super) config: PathBuf,
    /// Its process.
    pub(super) daemon: Daemon,
}

/// A container as `/status` shows it, as far as is needed here.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Container {
    #[serde(rename = "container")]
    identity: Identity,
    resources: Resources,
    /// Absent where the kernel counts none.
    pub(super) throttling: Option<Throttling>,
}

#[derive(Clone, Debug, Deserialize)]
struct Identity {
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Resources {
    cpu: Option<Cpu>,
}

/// CPU, in shares.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cpu {
    /// Whether it is guarded.
    pub(super) guard: bool,
    /// Mean of the last window.
    pub(super) usage: Option<f64>,
    /// The limit in force.
    pub(super) limit: Value,
    /// Threshold.
    pub(super) upper: Option<f64>,
    /// Threshold.
    pub(super) lower: Option<f64>,
    /// Share-seconds.
    pub(super) areas: Areas,
}

/// Share-seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Areas {
    /// Consumed.
    pub(super) used: f64,
    /// Under the limit.
    pub(super) allocated: f64,
    /// Under `max`.
    pub(super) reserved: f64,
}

/// The kernel's counters.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Throttling {
    /// Periods that ran with a quota.
    pub(super) periods: u64,
    /// Those that were throttled.
    pub(super) throttled_periods: u64,
}

/// One decision.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Decision {
    /// Seconds since the epoch.
    pub(super) at: f64,
    /// Whose.
    pub(super) structure: String,
    /// What.
    pub(super) action: String,
    /// By which rule and numbers.
    pub(super) why: String,
    /// The limit before.
    pub(super) from: Value,
    /// The limit after.
    pub(super) to: Value,
    /// What came of it.
    pub(super) outcome: String,
}

impl Container {
    /// What people call it.
    pub(super) fn name(&self) -> &str {
        &self.identity.name
    }

    /// Its CPU side.
    pub(super) fn cpu(&self) -> Option<&Cpu> {
        self.resources.cpu.as_ref()
    }
}

/// `{"at": 100}` as 100, `"unlimited"` as none.
pub(super) fn amount(limit: &Value) -> Option<f64> {
    limit.get("at").and_then(Value::as_f64)
}

impl Agent {
    /// Writes the configuration and starts the agent on it.
    pub(super) fn start(binary: &Path, dir: &Path, pattern: Option<&str>, central: &str) -> Result<Self> {
        let address = free_address(8000)?;
        let (config, log) = (dir.join("agent.toml"), dir.join("agent.log"));
        // A state directory of an earlier run would speak of cgroups that are gone.
        let state = dir.join("state");
        if state.exists() {
            fs::remove_dir_all(&state).with_context(|| state.display().to_string())?;
        }
        fs::write(&config, toml(dir, &address, pattern, central)).with_context(|| config.display().to_string())?;
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&config);
        let daemon = Daemon::start(&mut command, &log, &address)?;
        Ok(Self { binary: binary.to_owned(), config, daemon })
    }

    /// Every container.
    pub(super) fn status(&self) -> Result<Vec<Container>> {
        #[derive(Deserialize)]
        struct Status {
            containers: Vec<Container>,
        }
        Ok(self.daemon.get::<Status>("/status")?.containers)
    }

    /// The decisions, oldest first.
    pub(super) fn decisions(&self) -> Result<Vec<Decision>> {
        let mut decisions: Vec<Decision> = self.daemon.get("/decisions?limit=1000")?;
        decisions.reverse();
        Ok(decisions)
    }

    /// Ends it in order: it puts back what it found.
    pub(super) fn end(self) -> Result<()> {
        self.daemon.end().context("the agent")
    }
}

/// The documented port, or another one where that is taken.
pub(super) fn free_address(port: u16) -> Result<String> {
    let taken = |port| TcpListener::bind(("127.0.0.1", port));
    let listener = taken(port).or_else(|_| taken(0)).context("no free port on loopback")?;
    Ok(listener.local_addr()?.to_string())
}

fn toml(dir: &Path, address: &str, pattern: Option<&str>, central: &str) -> String {
    let quoted = |path: PathBuf| Value::String(path.display().to_string()).to_string();
    let pattern = pattern.map_or_else(String::new, |pattern| {
        format!("\n# The quickstart's containers are plain cgroups; LXC's and Docker's are known without.\n[[discovery.pattern]]\npath = '{pattern}'\n")
    });
    format!(
        "# Written by the quickstart. configs/agent.toml explains every key.\n\
         [host.max]\n\
         # Enough for both containers to reach their max, also on two cores.\n\
         cpu = 400\n\
         \n\
         [agent]\n\
         state_dir = {state}\n\
         restore_on_exit = true\n\
         \n\
         [api]\n\
         listen = \"{address}\"\n\
         socket = {socket}\n\
         # So that curl may write without a token: for a walk-through only.\n\
         open_writes = true\n\
         \n\
         [central]\n\
         # Which containers are guarded, how far and by which rules is said there, through its Orchestrator API. Without a central\n\
         # service [[container]] says it here: the agent needs nobody.\n\
         url = \"{central}\"\n\
         report_interval = \"1s\"\n\
         {pattern}",
        state = quoted(dir.join("state")),
        socket = quoted(dir.join("agent.sock")),
    )
}
