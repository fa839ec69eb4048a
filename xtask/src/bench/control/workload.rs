//! What runs in the containers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::bench::Built;
use crate::bench::ground::{self, Container, Running};
use crate::repo;

/// Highest level of the shapes, in shares: two threads with 75 each.
const PEAK: u32 = 150;
/// Highest rate of the web server's requests, per second; at 2 ms each about one core.
const RATE: u32 = 500;
const SEED: u32 = 1;
/// What is compiled: dependencies that the workspace's lock file names, with all that they need.
const COMPILED: &str = "serde_json";

/// A load, alone in its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// Of `bench_load shape`.
    Shape(&'static str),
    /// `bench_web`: a server in the container, its users outside.
    Web,
    /// `cargo build` of some of the workspace's dependencies, from nothing.
    Compile,
}

/// What a workload says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// Median and 99th percentile of how long its pieces of work took, in ms; of the compile job both are the run time.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// How much of the work that was wanted was done, 0 to 1.
    pub(super) done: f64,
}

impl Workload {
    pub(super) const ALL: [Self; 6] =
        [Self::Shape("square"), Self::Shape("ramp"), Self::Shape("sawtooth"), Self::Shape("spikes"), Self::Web, Self::Compile];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shape(name) => name,
            Self::Web => "web",
            Self::Compile => "compile",
        }
    }

    /// Whether it is run in pairs: its latency or run time has to be told from noise.
    pub(super) fn is_paired(self) -> bool {
        matches!(self, Self::Web | Self::Compile)
    }

    /// Idle but for an instant each second: no limit can both leave it alone and be well used.
    pub(super) fn is_apart(self) -> bool {
        self == Self::Shape("spikes")
    }

    /// How long it runs if nothing else is asked for; the compile job: about.
    pub(super) fn seconds(self) -> u32 {
        match self {
            Self::Shape(_) => 20,
            Self::Web => 60,
            Self::Compile => 8,
        }
    }

    /// Starts it in a container, where it waits.
    pub(super) fn prepare(self, built: &Built, container: &Container, seconds: u32) -> Result<Load> {
        let piped = |command: &mut Command| container.run(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        match self {
            Self::Shape(kind) => {
                let numbers = [PEAK, seconds, SEED].map(|number| number.to_string());
                let running = piped(Command::new(built.example("bench_load")).args(["shape", kind]).args(numbers))?;
                Ok(Load::Shape(running))
            }
            Self::Web => {
                let mut server = piped(Command::new(built.example("bench_web")).arg("serve"))?;
                let stdout: ChildStdout = server.child.stdout.take().context("no pipe from the web server")?;
                let mut port = String::new();
                BufReader::new(stdout).read_line(&mut port)?;
                // The users are many machines: they do not wait for ours.
                let mut users = Command::new("nice");
                users
                    .args(["-n", "-15"])
                    .arg(built.example("bench_web"))
                    .args(["drive", port.trim()])
                    .args([RATE, seconds, SEED].map(|number| number.to_string()));
                Ok(Load::Web { server, users })
            }
            Self::Compile => {
                let target = ground::scratch()?;
                let cargo = repo::cargo();
                let mut shell = Command::new("sh");
                shell.args(["-c", "read -r line && exec \"$0\" \"$@\""]).arg(cargo.get_program()).current_dir(repo::root());
                shell
                    .args(["build", "--offline", "--locked", "--quiet", "--package", COMPILED, "--target-dir"])
                    .arg(target.path());
                let running = container.run(shell.stdin(Stdio::piped()).stdout(Stdio::null()))?;
                Ok(Load::Compile { running, _target: target })
            }
        }
    }
}

/// A workload that waits for its beginning.
pub(super) enum Load {
    Shape(Running),
    Web { server: Running, users: Command },
    Compile { running: Running, _target: TempDir },
}

impl Load {
    /// Lets it run to its end.
    pub(super) fn go(self) -> Result<Said> {
        match self {
            Self::Shape(mut running) => {
                begin(&mut running)?;
                let said: Value = serde_json::from_str(&running.output().context("bench_load shape")?)?;
                let number = |key: &str| number(&said, key);
                Ok(Said { p50_ms: number("p50_ms")?, p99_ms: number("p99_ms")?, done: number("done_s")? / number("wanted_s")? })
            }
            Self::Web { server, mut users } => {
                let users = Running::start(users.stdin(Stdio::null()).stdout(Stdio::piped()))?;
                let said: Value = serde_json::from_str(&users.output().context("bench_web drive")?)?;
                drop(server);
                let number = |key: &str| number(&said, key);
                Ok(Said { p50_ms: number("p50_ms")?, p99_ms: number("p99_ms")?, done: number("answered")? / number("wanted")? })
            }
            Self::Compile { mut running, .. } => {
                let began = Instant::now();
                begin(&mut running)?;
                let status = running.child.wait()?;
                ensure!(status.success(), "cargo build ended with {status}");
                let ms = began.elapsed().as_secs_f64() * 1e3;
                Ok(Said { p50_ms: ms, p99_ms: ms, done: 1.0 })
            }
        }
    }
}

/// The line that a load waits for.
fn begin(running: &mut Running) -> Result<()> {
    let mut stdin = running.child.stdin.take().context("no pipe to the load")?;
    Ok(stdin.write_all(b"\n")?)
}

fn number(said: &Value, key: &str) -> Result<f64> {
    said[key].as_f64().with_context(|| format!("the load did not tell {key}: {said}"))
}
