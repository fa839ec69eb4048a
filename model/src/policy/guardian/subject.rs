//! What is known of one structure, and how far the judgement of its open windows is.

use std::sync::Arc;

use super::log::EventLog;
use crate::policy::rules::RuleSet;
use crate::policy::thresholds::{Boundary, Thresholds};
use crate::resource::{PerResource, Resource, ResourceSet};

/// What bounds one resource of a structure, in the resource's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The limit is never set below.
    pub min: f64,
    /// The limit is never set above.
    pub max: f64,
    /// Width of the two bands under the limit.
    pub boundary: Boundary,
    /// Its share of what is short.
    pub weight: f64,
}

/// CPU usage by mode, in shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// In user mode.
    pub user: f64,
    /// In the kernel.
    pub kernel: f64,
}

/// How far the judgement of the open window is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// It was judged, and no raise has opened it again.
    pub(super) judged: bool,
    /// It had an up event, so (with `rejudge`) no down event.
    pub(super) up: bool,
    /// How often a raise has opened it again.
    reopened: u16,
}

/// How often a window is judged again at most: a rule with a tiny amount must not hold the loop for ever.
const MOST_PASSES: u16 = 10_000;

/// One guarded resource of a structure.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// Its bounds. May be changed at any time.
    pub bounds: Bounds,
    /// The limit in force; `None` where it is not known or there is none: nothing is decided then.
    pub current: Option<f64>,
    /// Mean of the last window; `None` where there was no sample: a gap, not a zero.
    pub usage: Option<f64>,
    /// The CPU's usage by mode, where rules read it ([`crate::policy::rules::RuleSet::reads_cpu_split`]).
    pub split: Option<Split>,
    /// In how many periods the CPU was throttled since the window opened or the limit was raised in it, where rules read it
    /// ([`crate::policy::rules::RuleSet::reads_throttling`]): a usage that the limit has capped says nothing of what is wanted.
    pub throttled: Option<f64>,
    pub(super) thresholds: Option<Thresholds>,
    pub(super) log: EventLog,
    pub(super) window: Window,
    /// Its last window brought nothing, and nothing that rules see has changed since.
    pub(super) quiet: bool,
    seen: Option<Numbers>,
    /// The end of the window that was judged last, in s.
    pub(super) judged_at: f64,
    /// The end of the window that changed the limit last, in s.
    pub(super) changed_at: f64,
}

/// What event rules see of a resource: bounds, limit, usage, split, throttled, thresholds.
type Numbers = (Bounds, Option<f64>, Option<f64>, Option<Split>, Option<f64>, Option<Thresholds>);

impl Guarded {
    /// A resource that is guarded from now on. `thresholds`: those of the limits document, if any.
    pub fn new(bounds: Bounds, current: Option<f64>, thresholds: Option<Thresholds>) -> Self {
        Self {
            bounds,
            current,
            usage: None,
            split: None,
            throttled: None,
            thresholds,
            log: EventLog::default(),
            window: Window::default(),
            quiet: false,
            seen: None,
            judged_at: f64::NEG_INFINITY,
            changed_at: f64::NEG_INFINITY,
        }
    }

    /// The limit that is reckoned with: a `current` above `max` counts as `max`.
    pub fn counted(&self) -> Option<f64> {
        self.current.map(|current| current.min(self.bounds.max))
    }

    /// The margin m under the limit.
    pub fn margin(&self) -> Option<f64> {
        self.counted().map(|current| self.bounds.boundary.margin(self.bounds.max, current))
    }

    /// The thresholds as last set; [`Guarded::refresh`] sets them after the limit or the bounds changed.
    pub fn thresholds(&self) -> Option<Thresholds> {
        self.thresholds
    }

    /// Sets the thresholds again if they no longer fit the limit, as is done before each judgement.
    pub fn refresh(&mut self) {
        if let (Some(current), Some(margin)) = (self.counted(), self.margin()) {
            self.thresholds = Some(Thresholds::kept(self.thresholds, current, margin));
        }
    }

    /// `min > max`: while that stands, no requests are made.
    pub fn is_contradictory(&self) -> bool {
        self.bounds.min > self.bounds.max
    }

    /// Counts of the events that are kept: up, down.
    pub fn counts(&self) -> (f64, f64) {
        self.log.counts()
    }

    /// Whether the open window has been judged (early), so that its end will change nothing.
    pub fn is_judged(&self) -> bool {
        self.window.judged
    }
}

/// What is known of one structure: a container, or an application.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its name.
    pub name: Arc<str>,
    /// Its guarded resources; `None` for those that are not.
    pub resources: PerResource<Option<Guarded>>,
    /// The rules of the last judgement, and the resources that it saw.
    judged_by: Option<(Arc<RuleSet>, ResourceSet)>,
}

impl Subject {
    /// A structure without guarded resources.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), resources: PerResource::from_fn(|_| None), judged_by: None }
    }

    /// Whether the windows of these resources are certain to bring nothing: conditions are pure, so what brought nothing brings nothing
    /// again while neither the rules nor any number that they see changes. Most containers are idle most of the time.
    pub(super) fn is_quiet(&mut self, due: ResourceSet, rules: &Arc<RuleSet>) -> bool {
        let mut changed = false;
        let mut present = ResourceSet::NONE;
        for (resource, guarded) in self.resources.iter_mut() {
            let Some(g) = guarded else { continue };
            let numbers = Some((g.bounds, g.current, g.usage, g.split, g.throttled, g.thresholds));
            changed |= g.seen != numbers;
            g.seen = numbers;
            present.insert(resource);
        }
        if !self.judged_by.as_ref().is_some_and(|(by, saw)| Arc::ptr_eq(by, rules) && *saw == present) {
            self.judged_by = Some((rules.clone(), present));
            changed = true;
        }
        if changed {
            self.resources.iter_mut().filter_map(|(_, guarded)| guarded.as_mut()).for_each(|g| g.quiet = false);
            return false;
        }
        due.iter()
            .filter_map(|resource| self.resources[resource].as_ref())
            .all(|g| g.window.judged || (g.quiet && g.log.is_empty()))
    }

    /// Takes over a limit that was set while a window is open, and the thresholds that follow. A window that was judged up and
    /// now has a higher limit is open again, if `rejudge`. Returns whether the limit was raised.
    pub fn set_limit(&mut self, resource: Resource, limit: f64, rejudge: bool) -> bool {
        let Some(guarded) = &mut self.resources[resource] else { return false };
        let raised = guarded.counted().is_some_and(|before| limit > before);
        if guarded.current != Some(limit) {
            guarded.changed_at = guarded.judged_at;
        }
        if raised {
            // What the old limit throttled says nothing of the new one.
            guarded.throttled = guarded.throttled.map(|_| 0.0);
        }
        guarded.current = Some(limit);
        guarded.refresh();
        let window = &mut guarded.window;
        if rejudge && raised && window.up && window.judged && window.reopened < MOST_PASSES {
            window.judged = false;
            window.reopened += 1;
        }
        raised
    }

    /// The windows of these resources are over; new ones begin.
    pub fn next_window(&mut self, due: ResourceSet) {
        for resource in due.iter() {
            if let Some(guarded) = &mut self.resources[resource] {
                guarded.window = Window::default();
            }
        }
    }
}
