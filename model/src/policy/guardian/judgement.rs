//! What a judgement brings.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::policy::request::{Direction, Request, event_name};
use crate::policy::rules::{Policy, Problem};
use crate::resource::{Resource, ResourceSet};

/// An event that a window made.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    /// Of which resource.
    pub resource: Resource,
    /// A bottleneck or a waste.
    pub direction: Direction,
    /// How much it counts.
    pub count: f64,
    /// By which rule.
    pub rule: Arc<str>,
}

impl Raised {
    /// `CpuBottleneck`.
    pub fn name(&self) -> &'static str {
        event_name(self.resource, self.direction)
    }
}

/// The rule that made a request, and the numbers it was judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// The rule.
    pub rule: Arc<str>,
    /// How it finds the amount.
    pub policy: Policy,
    /// Up events counted.
    pub up: f64,
    /// Down events counted.
    pub down: f64,
    /// The window's mean, or what was certain of it when it was judged early.
    pub usage: f64,
    /// Whether `usage` is only what was certain before the window's end.
    pub early: bool,
    /// The limit then.
    pub current: f64,
    /// Threshold then.
    pub upper: f64,
    /// Threshold then.
    pub lower: f64,
    /// The amount before it was trimmed to the bounds.
    pub untrimmed: f64,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, policy, up, down, usage, current, upper, lower, .. } = self;
        let least = if self.early { ">= " } else { "" };
        write!(
            f,
            "{rule} ({policy}): {up} up, {down} down; usage {least}{usage:.2}, limit {current}, upper {upper}, lower {lower}"
        )
    }
}

/// What a judgement brought. Kept by the caller and used again, so that nothing is allocated.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// Resources whose window was judged.
    pub judged: ResourceSet,
    /// Resources that were due and had no usage.
    pub gaps: ResourceSet,
    /// Resources that are not scaled because their `min` is above their `max`.
    pub contradictory: ResourceSet,
    /// The events made.
    pub events: SmallVec<[Raised; 4]>,
    /// The requests made, in the order of the rules.
    pub requests: SmallVec<[Request; 2]>,
    /// Rules that could not be evaluated, and why.
    pub problems: Vec<Problem>,
}

impl Judgement {
    pub(super) fn clear(&mut self) {
        (self.judged, self.gaps, self.contradictory) = Default::default();
        self.events.clear();
        self.requests.clear();
        self.problems.clear();
    }
}
