//! `cargo xtask soak churn`: thousands of containers made and removed beside a few that stay, with the agent guarding all of them. What it
//! holds for a container is to be let go of with it, and what it counts for those that stay is to be right all the while.

use std::collections::VecDeque;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::agent::Agent;
use super::ground::{Container, Ground, Running};
use super::{Built, Row};

/// What it is called on the command line.
pub(super) const NAME: &str = "churn";

/// How many containers.
#[derive(clap::Args, Clone)]
#[group(id = "churn")]
pub(super) struct Options {
    /// churn: how many containers are made and removed
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    containers: u32,
}

/// Containers a second.
const RATE: u32 = 50;
/// How many of them are there at a time.
const ALIVE: usize = 200;
/// How many stay, each with a tenth of a core half of the time.
const STAY: u64 = 5;
const WAVE: (u64, u64, u64) = (10, 500, 500);
/// Slots for little more containers than are there at a time, so that those that are not given back are missed soon; and the count of each
/// container held against the kernel's as often as can be, so that of those that come and go, too.
const SETTINGS: &str = "[sampler]\nsource = \"ebpf\"\nmax_containers = 300\naudit_interval = \"1s\"";
/// What the agent logs of a container that it could not track, or that its maps kept.
const UNCOUNTED: [&str; 2] = ["CPU usage is not counted", "goes on counting an untracked container"];
/// By then everything that grows once has grown: maps, queues, the log of decisions.
const WARM: u32 = 2000;
const BOUNDS: &str = "min = 5\nmax = 100\nboundary = 2\nboundary_type = \"absolute\"";
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    let count = built.churn.containers;
    ensure!(count > WARM, "--containers {count}: expected more than {WARM}, before which memory is not looked at");
    let ground = Ground::new()?;
    let seconds = u64::from(count / RATE) * 3 + 120;
    let _waves = ground.waves(built, STAY, WAVE, seconds)?;
    let agent = Agent::start_with(built, SETTINGS, BOUNDS, usize::try_from(STAY)?)?;
    let mut churn = Churn { ground: &ground, alive: VecDeque::new(), made: 0 };
    churn.until(WARM)?;
    churn.end();
    let before = Seen::settled(&agent)?;
    let began = Instant::now();
    churn.until(count)?;
    let rate = f64::from(count - WARM) / began.elapsed().as_secs_f64();
    churn.end();
    let after = Seen::settled(&agent)?;
    let log = agent.log()?;
    agent.stop()?;
    let grown = |of: fn(&Seen) -> f64| of(&after) - of(&before);
    let dropped = |what: &str| after.status["counters"]["source"][what].as_f64().unwrap_or(f64::NAN);
    let worst = after.status["counters"]["usage_drift_max"].as_f64().unwrap_or(f64::NAN) * 100.0;
    let uncounted = log.lines().filter(|line| UNCOUNTED.iter().any(|text| line.contains(text))).count();
    Ok(vec![
        Row::told("containers made and removed", f64::from(count), "containers"),
        Row::told("the same, a second", rate, "containers"),
        Row::told(format!("resident memory after {WARM} of them"), before.memory_mib, "MiB"),
        Row::at_most(1.0, "resident memory, growth from then to the end", grown(|seen| seen.memory_mib), "MiB"),
        Row::at_most(0.0, "open descriptors, the same", grown(|seen| seen.descriptors), ""),
        Row::at_most(0.0, "inotify watches, the same", grown(|seen| seen.watches), ""),
        Row::at_most(0.0, "originals kept on disk, the same", grown(|seen| seen.originals), ""),
        Row::at_most(1.0, "CPU time of a container by eBPF, off from the kernel's own over a second, the worst", worst, "%"),
        Row::at_most(0.0, "containers without a slot, or not given back by the kernel side", uncounted as f64, ""),
        Row::at_most(0.0, "charges dropped", dropped("charges_dropped"), ""),
        Row::at_most(0.0, "events dropped", dropped("events_dropped"), ""),
        Row::told("lines of warning in the agent's log", log.lines().count() as f64, "lines"),
    ])
}

/// Containers that come and go at their pace.
struct Churn<'a> {
    ground: &'a Ground,
    alive: VecDeque<(Container, Running)>,
    made: u32,
}

impl Churn<'_> {
    fn until(&mut self, count: u32) -> Result<()> {
        let (began, first) = (Instant::now(), self.made);
        while self.made < count {
            // Who is late goes on at once.
            sleep((began + Duration::from_secs(1) * (self.made - first) / RATE).saturating_duration_since(Instant::now()));
            let container = self.ground.container(&format!("churn{}", self.made))?;
            // Something runs in it, and has ended long before it goes.
            let running = container.run(Command::new("true").stdin(Stdio::null()))?;
            self.alive.push_back((container, running));
            self.made += 1;
            if self.alive.len() > ALIVE
                && let Some(oldest) = self.alive.pop_front()
            {
                remove(oldest);
            }
        }
        Ok(())
    }

    /// Removes those that are left: of who is there some files are opened only when its turn comes, of who is not there is to be none.
    fn end(&mut self) {
        self.alive.drain(..).for_each(remove);
    }
}

fn remove((container, running): (Container, Running)) {
    drop(running);
    container.remove();
}

/// What the agent holds, and what it counts, when only those are there that stay.
struct Seen {
    memory_mib: f64,
    descriptors: f64,
    watches: f64,
    originals: f64,
    status: Value,
}

impl Seen {
    /// As soon as the agent knows of nobody else.
    fn settled(agent: &Agent) -> Result<Self> {
        let expected = usize::try_from(STAY)?;
        let until = Instant::now() + PATIENCE;
        loop {
            let status = agent.status()?;
            let known = status["containers"].as_array().map_or(0, Vec::len);
            if known == expected {
                break;
            }
            ensure!(Instant::now() < until, "the agent knows {known} containers, and there are {expected}");
            sleep(Duration::from_millis(50));
        }
        // What it does about the last of them.
        sleep(Duration::from_secs(3));
        let (proc, watches) = (agent.proc(), |text: String| text.lines().filter(|line| line.starts_with("inotify")).count());
        let descriptors = fs::read_dir(proc.join("fd"))?.count();
        let infos = fs::read_dir(proc.join("fdinfo"))?.filter_map(|info| fs::read_to_string(info.ok()?.path()).ok());
        let watches: usize = infos.map(watches).sum();
        Ok(Self {
            memory_mib: agent.memory_mib("VmRSS")?,
            descriptors: descriptors as f64,
            watches: watches as f64,
            originals: agent.originals()? as f64,
            status: agent.status()?,
        })
    }
}
