//! Rules, compiled once and judged every window.
//!
//! Conditions are JSON-Logic, evaluated by `datalogic-rs` over data that is built in an arena and thrown away after each
//! judgement: nothing is allocated in the steady state.

use std::fmt;
use std::sync::Arc;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::{DataValue, Engine, Logic};

use super::request::Direction;
use crate::documents::rule::Rule as Document;
use crate::resource::{PerResource, Resource, ResourceSet};

mod certainty;
mod compile;
pub(crate) mod data;
mod needs;
mod paths;

pub(crate) use certainty::Certainty;
pub use compile::direction;

/// A rule that was left out, and why. The others work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {name}: {why}")]
pub struct Problem {
    /// The rule's name.
    pub name: String,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// How a request rule finds its amount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// This much.
    Amount(f64),
    /// Whatever puts the usage in the middle of the stable band.
    FitToUsage,
    /// This much, scaled by how far the usage is between `upper` and the limit.
    Proportional(f64),
    /// The limit multiplied by this.
    Multiplicative(f64),
}

impl Policy {
    /// Whether the amount depends on the window's usage, which is not known before the window's end.
    pub const fn needs_usage(self) -> bool {
        matches!(self, Self::FitToUsage | Self::Proportional(_))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(amount) => write!(f, "amount {amount}"),
            Self::FitToUsage => f.write_str("fit_to_usage"),
            Self::Proportional(amount) => write!(f, "proportional, amount {amount}"),
            Self::Multiplicative(factor) => write!(f, "multiplicative, factor {factor}"),
        }
    }
}

/// A condition that makes a window an event.
pub(crate) struct EventRule {
    pub(crate) name: Arc<str>,
    pub(crate) direction: Direction,
    /// How much it counts in that direction.
    pub(crate) count: f64,
    pub(crate) logic: Logic,
    /// Resources whose numbers it reads: without a usage of each it is not judged.
    pub(crate) requires: ResourceSet,
    pub(crate) certainty: Certainty,
}

/// A condition on the counts that makes a request.
pub(crate) struct RequestRule {
    pub(crate) name: Arc<str>,
    pub(crate) logic: Logic,
    pub(crate) policy: Policy,
    /// How many events it consumes.
    pub(crate) remove: usize,
    pub(crate) priority: f64,
}

/// How many windows in a row a request rule needs before it can fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The rule's name.
    pub rule: Arc<str>,
    /// Its resource.
    pub resource: Resource,
    /// Windows with an event; `None` if no active rule makes the events that it counts.
    pub windows: Option<u32>,
}

/// Compiled rules. Immutable, shared by all containers.
pub struct RuleSet {
    pub(crate) engine: Engine,
    pub(crate) events: PerResource<Vec<EventRule>>,
    pub(crate) requests: PerResource<Vec<RequestRule>>,
    problems: Vec<Problem>,
    needs: Vec<Need>,
    reads_cpu_split: bool,
    reads_throttling: bool,
}

impl RuleSet {
    /// Compiles the active rules. Never fails as a whole: what is malformed is in [`RuleSet::problems`].
    pub fn compile(documents: &[Document]) -> Self {
        compile::compile(documents)
    }

    /// The rules that were left out, and why.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether any active rule reads the CPU's `user` or `kernel`; if not, nobody needs to sample them.
    pub fn reads_cpu_split(&self) -> bool {
        self.reads_cpu_split
    }

    /// Whether any active rule reads the CPU's `throttled`; if not, nobody needs to sample it.
    pub fn reads_throttling(&self) -> bool {
        self.reads_throttling
    }

    /// What each active request rule needs before it can fire.
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// The request rules that can hardly ever fire with these windows (in s, per resource) and this event timeout (in s): it must
    /// outlast the windows that they count. For a warning.
    pub fn unreachable(&self, window: &PerResource<f64>, event_timeout: f64) -> impl Iterator<Item = &Need> {
        self.needs
            .iter()
            .filter(move |need| need.windows.is_none_or(|n| f64::from(n) * window[need.resource] >= event_timeout && n > 1))
    }

    /// Whether any active rule concerns a resource.
    pub fn concerns(&self, resource: Resource) -> bool {
        !self.events[resource].is_empty() || !self.requests[resource].is_empty()
    }

    /// Whether a condition holds. `Err` says why it could not be evaluated.
    pub(crate) fn holds<'a>(&self, logic: &'a Logic, data: &'a DataValue<'a>, arena: &'a Bump) -> Result<bool, String> {
        match self.engine.evaluate(logic, data, arena) {
            Ok(value) => Ok(self.engine.truthy(value)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |r: Resource| {
            self.events[r]
                .iter()
                .map(|e| e.name.clone())
                .chain(self.requests[r].iter().map(|q| q.name.clone()))
                .collect::<Vec<_>>()
        };
        f.debug_struct("RuleSet")
            .field("rules", &Resource::ALL.map(names))
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
