//! The Guardian: usages to events, events to requests.
//!
//! A [`Subject`] holds what is known of one structure; the caller sets usages and limits in it as they are read. A [`Guardian`]
//! judges subjects by its rules. Each resource has windows of its own, and each window is judged once:
//!
//! ```text
//! loop {
//!     guardian.judge(&mut subject, due, now, &mut out);     // due: the resources whose windows ended
//!     carry out `out.requests`; for each that was written: subject.set_limit(resource, limit)
//!     if no limit was raised { break }                      // with `rejudge`, a raised limit is judged again
//! }
//! subject.next_window(due);
//! ```
//!
//! Before the end, [`Guardian::judge_early`] judges a window with the usage that is certain by now. It does so only where everything
//! that the end would decide is certain already, and then it *is* the window's judgement: so both ways have the same outcome. For
//! that, `now` must be the window's end in both.

use std::fmt;
use std::sync::Arc;

use datalogic_rs::bumpalo::Bump;
use smallvec::SmallVec;

use super::request::{Direction, Field, Request};
use super::rules::{Policy, Problem, RuleSet, data};
use super::thresholds::{Boundary, Thresholds};
use crate::resource::{PerResource, Resource, ResourceSet};

mod amount;
mod log;

use log::EventLog;

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
struct Window {
    /// It was judged, and no raise has opened it again.
    judged: bool,
    /// It had an up event, so (with `rejudge`) no down event.
    up: bool,
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
    /// The CPU's usage by mode, where rules read it ([`RuleSet::reads_cpu_split`]).
    pub split: Option<Split>,
    thresholds: Option<Thresholds>,
    log: EventLog,
    window: Window,
}

impl Guarded {
    /// A resource that is guarded from now on. `thresholds`: those of the limits document, if any.
    pub fn new(bounds: Bounds, current: Option<f64>, thresholds: Option<Thresholds>) -> Self {
        Self { bounds, current, usage: None, split: None, thresholds, log: EventLog::default(), window: Window::default() }
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
}

impl Subject {
    /// A structure without guarded resources.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), resources: PerResource::from_fn(|_| None) }
    }

    /// Takes over a limit that was set while a window is open, and the thresholds that follow. A window that was judged up and
    /// now has a higher limit is open again, if `rejudge`. Returns whether the limit was raised.
    pub fn set_limit(&mut self, resource: Resource, limit: f64, rejudge: bool) -> bool {
        let Some(guarded) = &mut self.resources[resource] else { return false };
        let raised = guarded.counted().is_some_and(|before| limit > before);
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
        super::request::event_name(self.resource, self.direction)
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
    fn clear(&mut self) {
        (self.judged, self.gaps, self.contradictory) = Default::default();
        self.events.clear();
        self.requests.clear();
        self.problems.clear();
    }
}

/// Judges structures by one set of rules.
#[derive(Debug)]
pub struct Guardian {
    rules: Arc<RuleSet>,
    /// How long an event counts, in s.
    pub event_timeout: f64,
    /// Whether a window that raised the limit is judged again.
    pub rejudge: bool,
    arena: Bump,
}

/// Which usage a judgement goes by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// The window's mean.
    Mean,
    /// The least that the mean can still be.
    Certain,
}

impl Guardian {
    /// A Guardian with these rules and settings.
    pub fn new(rules: Arc<RuleSet>, event_timeout: f64, rejudge: bool) -> Self {
        Self { rules, event_timeout, rejudge, arena: Bump::new() }
    }

    /// Its rules.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Other rules from now on. Events stay.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>) {
        self.rules = rules;
    }

    /// Judges the windows of the `due` resources that end at `now` (s) and have not been judged yet. Rules see the usages of all
    /// guarded resources. `out` is cleared first.
    pub fn judge(&mut self, subject: &mut Subject, due: ResourceSet, now: f64, out: &mut Judgement) {
        out.clear();
        let Self { rules, event_timeout, rejudge, arena } = self;
        arena.reset();
        for (_, guarded) in subject.resources.iter_mut() {
            if let Some(guarded) = guarded {
                guarded.refresh();
            }
        }
        let (usages, seen) = data::usages(subject, arena);
        let name = subject.name.clone();
        for (resource, guarded) in subject.resources.iter_mut() {
            let Some(guarded) = guarded.as_mut().filter(|g| due.contains(resource) && !g.window.judged) else { continue };
            if guarded.usage.is_none() {
                out.gaps.insert(resource);
            }
            let events_before = out.events.len();
            if seen.contains(resource) {
                for rule in &rules.events[resource] {
                    if !rule.requires.is_subset(seen) {
                        continue;
                    }
                    match rules.holds(&rule.logic, usages, arena) {
                        Ok(true) => out.events.push(Raised {
                            resource,
                            direction: rule.direction,
                            count: rule.count,
                            rule: rule.name.clone(),
                        }),
                        Ok(false) => {}
                        Err(why) => out.problems.push(Problem { name: rule.name.to_string(), why }),
                    }
                }
                let up = guarded.window.up || out.events[events_before..].iter().any(|e| e.direction == Direction::Up);
                if *rejudge && up {
                    retain_from(&mut out.events, events_before, |e| e.direction == Direction::Up);
                }
                let case = Case { rules, resource, now, timeout: *event_timeout, structure: &name, arena };
                case.requests(guarded, Basis::Mean, events_before, out);
                (guarded.window.judged, guarded.window.up) = (true, up);
                out.judged.insert(resource);
            }
        }
    }

    /// Judges one resource's open window before its end. `certain`: the least that its mean can still be (what was consumed since
    /// it opened, over its whole length), in the resource's unit. `end`: when it will end, in s.
    ///
    /// Returns whether it was judged: true if all that the end would decide is certain. Otherwise nothing has changed and the
    /// end will decide. `out` is cleared first. The subject's `usage` of the resource stays as it was.
    pub fn judge_early(
        &mut self,
        subject: &mut Subject,
        resource: Resource,
        certain: f64,
        end: f64,
        out: &mut Judgement,
    ) -> bool {
        out.clear();
        let Some(guarded) = subject.resources[resource].as_mut().filter(|g| !g.window.judged && g.current.is_some()) else {
            return false;
        };
        guarded.refresh();
        let usage = guarded.usage.replace(certain);
        let judged = self.judge_certain(subject, resource, end, out);
        if let Some(guarded) = &mut subject.resources[resource] {
            guarded.usage = usage;
        }
        if !judged {
            out.clear();
        }
        judged
    }

    fn judge_certain(&mut self, subject: &mut Subject, resource: Resource, end: f64, out: &mut Judgement) -> bool {
        let Self { rules, event_timeout, rejudge, arena } = self;
        arena.reset();
        let (usages, _) = data::usages(subject, arena);
        let name = subject.name.clone();
        let Some(guarded) = &mut subject.resources[resource] else { return false };
        let mut up = guarded.window.up;
        let (mut unknown_up, mut unknown_down) = (false, false);
        for rule in &rules.events[resource] {
            match (rule.certainty.judge(rules, usages, arena), rule.direction) {
                (Some(true), direction) => {
                    up |= direction == Direction::Up;
                    out.events.push(Raised { resource, direction, count: rule.count, rule: rule.name.clone() });
                }
                (Some(false), _) => {}
                (None, Direction::Up) => unknown_up = true,
                (None, Direction::Down) => unknown_down = true,
            }
        }
        // With `rejudge`, a down event does not count beside an up event, whatever it will be.
        if !up || unknown_up || (unknown_down && !*rejudge) {
            return false;
        }
        if *rejudge {
            retain_from(&mut out.events, 0, |e| e.direction == Direction::Up);
        }
        let case = Case { rules, resource, now: end, timeout: *event_timeout, structure: &name, arena };
        if !case.requests(guarded, Basis::Certain, 0, out) {
            return false;
        }
        (guarded.window.judged, guarded.window.up) = (true, up);
        out.judged.insert(resource);
        true
    }
}

/// One resource of one structure at one judgement.
struct Case<'a> {
    rules: &'a RuleSet,
    resource: Resource,
    now: f64,
    timeout: f64,
    structure: &'a Arc<str>,
    arena: &'a Bump,
}

impl Case<'_> {
    /// Logs the new events, drops the old ones, and makes requests of what is left. With [`Basis::Certain`] it returns false,
    /// having logged nothing, if an amount depends on the mean.
    fn requests(&self, guarded: &mut Guarded, basis: Basis, new: usize, out: &mut Judgement) -> bool {
        guarded.log.expire(self.now - self.timeout);
        let new = &out.events[new..];
        let sum = |direction| new.iter().filter(|e| e.direction == direction).map(|e| e.count).sum::<f64>();
        let (up, down) = guarded.log.counts();
        let (up, down) = (up + sum(Direction::Up), down + sum(Direction::Down));
        let mut consumed = 0;
        let problems = out.problems.len();
        if guarded.is_contradictory() {
            out.contradictory.insert(self.resource);
        } else if up + down > 0.0 && !self.rules.requests[self.resource].is_empty() {
            let counts = data::counts(up, down, self.arena);
            for rule in &self.rules.requests[self.resource] {
                match self.rules.holds(&rule.logic, counts, self.arena) {
                    Ok(false) => {}
                    Ok(true) if basis == Basis::Certain && rule.policy.needs_usage() => {
                        out.requests.clear();
                        out.problems.truncate(problems);
                        return false;
                    }
                    Ok(true) => {
                        consumed += rule.remove;
                        out.requests.extend(self.request(guarded, rule, (up, down), basis));
                    }
                    Err(why) => out.problems.push(Problem { name: rule.name.to_string(), why }),
                }
            }
        }
        for event in new {
            guarded.log.push(event.direction, self.now, event.count);
        }
        guarded.log.consume(if up > down { Direction::Up } else { Direction::Down }, consumed);
        true
    }

    fn request(
        &self,
        guarded: &Guarded,
        rule: &super::rules::RequestRule,
        (up, down): (f64, f64),
        basis: Basis,
    ) -> Option<Request> {
        let (usage, current, thresholds, margin) = (guarded.usage?, guarded.counted()?, guarded.thresholds?, guarded.margin()?);
        let untrimmed = amount::wanted(rule.policy, usage, current, thresholds, margin);
        let amount = amount::trimmed(untrimmed, current, thresholds.lower, guarded.bounds.min, guarded.bounds.max);
        let why = || Why {
            rule: rule.name.clone(),
            policy: rule.policy,
            up,
            down,
            usage,
            early: basis == Basis::Certain,
            current,
            upper: thresholds.upper,
            lower: thresholds.lower,
            untrimmed,
        };
        (amount != 0.0).then(|| Request {
            structure: self.structure.clone(),
            resource: self.resource,
            field: Field::Current,
            amount,
            priority: rule.priority,
            pair: None,
            timestamp: self.now,
            why: Some(why()),
        })
    }
}

/// Keeps of the events from `start` on only those that `keep`.
fn retain_from(events: &mut SmallVec<[Raised; 4]>, start: usize, keep: impl Fn(&Raised) -> bool) {
    let mut i = start;
    while i < events.len() {
        if keep(&events[i]) {
            i += 1;
        } else {
            events.remove(i);
        }
    }
}

#[cfg(test)]
mod tests;
