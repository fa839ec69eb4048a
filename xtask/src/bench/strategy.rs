//! Who moves the CPU limits of containers: nobody, the agent by either profile, or what others do, for comparison. All parameters that
//! can be tuned are here.

mod classic10s;
mod decide;
mod kernel;
mod polling;
mod ticker;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Built;
use super::agent::Agent;
use super::ground::Container;
use classic10s::Classic10s;
pub(super) use kernel::{Cpu, Throttled};
use polling::Polling;
use ticker::Ticker;

/// Boundary of both classic ones, absolute, in shares: the policy document's example for containers of two cores.
pub(super) const CLASSIC_BOUNDARY: f64 = 25.0;
/// Boundary of the responsive profile, in % of the limit in force.
const RESPONSIVE_BOUNDARY: f64 = 6.0;
/// After the agent has started: it lowers an idle container's limit.
const SETTLE: Duration = Duration::from_millis(1500);

/// Between which the limit moves, in shares.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) min: f64,
    pub(super) max: f64,
}

/// Other parameters of the responsive profile, for trying them before the profile is changed.
#[derive(clap::Args, Clone, Default)]
pub(super) struct Tuned {
    /// control: other rules for the responsive profile
    #[arg(long, value_name = "R.json")]
    rules: Option<PathBuf>,
    /// control: another boundary for the responsive profile
    #[arg(long, value_name = "%")]
    boundary: Option<f64>,
    /// control: another cooldown for the responsive profile
    #[arg(long, value_name = "S")]
    cooldown: Option<f64>,
}

impl Tuned {
    /// Whether anything is other than the profile says.
    pub(super) fn is_any(&self) -> bool {
        self.rules.is_some() || self.boundary.is_some() || self.cooldown.is_some()
    }
}

/// One way to set limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Strategy {
    /// There is none.
    NoLimit,
    /// Always the same, in shares, whatever it is derived from.
    Fixed(&'static str, f64),
    /// The classic rules over windows of 10 s that are read through a feed of 5 s, as the earlier framework did, with this boundary,
    /// absolute, in shares.
    Classic10s(f64),
    /// Each second a look at the throttling counters, as node agents of clusters do.
    Polling,
    /// The agent, classic profile, windows of 100 ms.
    Classic,
    /// The agent, responsive profile.
    Responsive,
}

impl Strategy {
    /// For people, and in names of files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoLimit => "no-limit",
            Self::Fixed(name, _) => name,
            Self::Classic10s(_) => "classic-10s",
            Self::Polling => "polling-1s",
            Self::Classic => "classic-100ms",
            Self::Responsive => "responsive",
        }
    }

    /// What `agent.toml` says for it, and the container's bounds there.
    fn settings(self, tuned: &Tuned, Bounds { min, max }: Bounds) -> Result<(String, String)> {
        let mut settings = match self {
            Self::Responsive => "[guardian]\nprofile = \"responsive\"\n".to_owned(),
            _ => "[guardian]\nprofile = \"classic\"\n".to_owned(),
        };
        if let (Self::Responsive, Some(rules)) = (self, &tuned.rules) {
            let rules = rules.canonicalize().with_context(|| format!("--rules {}", rules.display()))?;
            writeln!(settings, "rules = '{}'", rules.display())?;
        }
        if let (Self::Responsive, Some(seconds)) = (self, tuned.cooldown) {
            writeln!(settings, "cooldown = {seconds}")?;
        }
        let (boundary, kind) = self.boundary(tuned);
        Ok((settings, format!("min = {min}\nmax = {max}\nboundary = {boundary}\nboundary_type = \"{kind}\"")))
    }

    /// Boundary and its type, as in a limits document.
    pub(super) fn boundary(self, tuned: &Tuned) -> (f64, &'static str) {
        match self {
            Self::Responsive => (tuned.boundary.unwrap_or(RESPONSIVE_BOUNDARY), "percentage_of_current"),
            _ => (CLASSIC_BOUNDARY, "absolute"),
        }
    }

    /// From now on these containers' limits are moved this way, each by its own usage; no other container of the
    /// [`super::ground::Ground`] may be there. Returns when the limits of containers that idle are where they stay.
    ///
    /// `past`: for those that take long to know anything, what the containers used before, in shares over windows of 100 ms: they begin
    /// as if that had been going on for minutes. Empty: as if the containers had been idle.
    pub(super) fn start(self, built: &Built, containers: &[&Container], bounds: Bounds, past: &[f64]) -> Result<Driving> {
        let containers: Vec<Container> = containers.iter().copied().cloned().collect();
        let mover = match self {
            Self::NoLimit => Mover::Nobody,
            Self::Fixed(_, shares) => {
                containers.iter().try_for_each(|container| kernel::set_limit(container, shares))?;
                Mover::Nobody
            }
            Self::Classic10s(boundary) => Mover::Ticker(Ticker::start(&containers, past, || Classic10s::new(bounds, boundary))?),
            Self::Polling => Mover::Ticker(Ticker::start(&containers, past, || Polling::new(bounds))?),
            Self::Classic | Self::Responsive => {
                let (settings, bounds) = self.settings(&built.control.tuned, bounds)?;
                let agent = Agent::start_with(built, &settings, &bounds, containers.len())?;
                sleep(SETTLE);
                Mover::Agent(agent)
            }
        };
        Ok(Driving { mover, containers })
    }
}

/// A [`Strategy`] at work. Ends, without giving back, when it is dropped.
pub(super) struct Driving {
    mover: Mover,
    containers: Vec<Container>,
}

enum Mover {
    Nobody,
    Ticker(Ticker),
    Agent(Agent),
}

impl Driving {
    /// Ends it and leaves the containers without a limit.
    pub(super) fn stop(self) -> Result<()> {
        match self.mover {
            Mover::Nobody => {}
            Mover::Ticker(ticker) => ticker.stop()?,
            Mover::Agent(agent) => agent.stop()?,
        }
        self.containers.iter().try_for_each(Container::lift_quota)
    }
}
