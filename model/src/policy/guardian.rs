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

use std::sync::Arc;

use datalogic_rs::bumpalo::Bump;
use smallvec::SmallVec;

use super::request::{Direction, Field, Request};
use super::rules::{Problem, RuleSet, data};
use crate::resource::{Resource, ResourceSet};

mod amount;
mod judgement;
mod log;
mod subject;

pub use judgement::{Judgement, Raised, Why};
pub use subject::{Bounds, Guarded, Split, Subject};

/// Judges structures by one set of rules.
#[derive(Debug)]
pub struct Guardian {
    rules: Arc<RuleSet>,
    /// How long an event counts, in s.
    pub event_timeout: f64,
    /// Whether a window that raised the limit is judged again.
    pub rejudge: bool,
    /// For how long after a change of its limit a resource is not lowered, in s. A rule that would lower it does not fire meanwhile,
    /// and consumes nothing.
    pub cooldown: f64,
    arena: Bump,
}

/// Windows end on a grid, but for what timers are late, in s: a cooldown of three windows is over at the end of the third.
const SAME_TIME: f64 = 0.001;

/// Seconds since the epoch, as recordings have them, are kept to a quarter of a microsecond: an event that is just as old as the timeout
/// counts, whatever its last digit.
const ROUNDING: f64 = 1e-6;

/// Which usage a judgement goes by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// The window's mean.
    Mean,
    /// The least that the mean can still be.
    Certain,
}

impl Guardian {
    /// A Guardian with these rules and settings, and no cooldown.
    pub fn new(rules: Arc<RuleSet>, event_timeout: f64, rejudge: bool) -> Self {
        Self { rules, event_timeout, rejudge, cooldown: 0.0, arena: Bump::new() }
    }

    /// The same with a cooldown, in s.
    #[must_use]
    pub fn with_cooldown(self, cooldown: f64) -> Self {
        Self { cooldown, ..self }
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
        let Self { rules, event_timeout, rejudge, cooldown, arena } = self;
        arena.reset();
        for (_, guarded) in subject.resources.iter_mut() {
            if let Some(guarded) = guarded {
                guarded.refresh();
            }
        }
        if subject.is_quiet(due, rules) {
            for resource in due.iter() {
                if let Some(guarded) = subject.resources[resource].as_mut().filter(|g| !g.window.judged) {
                    guarded.window.judged = true;
                    guarded.judged_at = now;
                    out.judged.insert(resource);
                }
            }
            return;
        }
        let (usages, seen) = data::usages(subject, arena);
        let name = subject.name.clone();
        for (resource, guarded) in subject.resources.iter_mut() {
            let Some(guarded) = guarded.as_mut().filter(|g| due.contains(resource) && !g.window.judged) else { continue };
            if guarded.usage.is_none() {
                out.gaps.insert(resource);
            }
            let (events_before, problems_before) = (out.events.len(), out.problems.len());
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
                guarded.quiet = (out.events.len(), out.problems.len()) == (events_before, problems_before);
                let up = guarded.window.up || out.events[events_before..].iter().any(|e| e.direction == Direction::Up);
                if *rejudge && up {
                    retain_from(&mut out.events, events_before, |e| e.direction == Direction::Up);
                }
                let case = Case { rules, resource, now, timeout: *event_timeout, cooldown: *cooldown, structure: &name, arena };
                case.requests(guarded, Basis::Mean, events_before, out);
                guarded.quiet &= out.problems.len() == problems_before && !guarded.is_contradictory();
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
        let Self { rules, event_timeout, rejudge, cooldown, arena } = self;
        arena.reset();
        let (usages, seen) = data::usages(subject, arena);
        let name = subject.name.clone();
        let Some(guarded) = &mut subject.resources[resource] else { return false };
        let mut up = guarded.window.up;
        let (mut unknown_up, mut unknown_down) = (false, false);
        for rule in rules.events[resource].iter().filter(|rule| rule.requires.is_subset(seen)) {
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
        let case = Case { rules, resource, now: end, timeout: *event_timeout, cooldown: *cooldown, structure: &name, arena };
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
    cooldown: f64,
    structure: &'a Arc<str>,
    arena: &'a Bump,
}

impl Case<'_> {
    /// Logs the new events, drops the old ones, and makes requests of what is left. With [`Basis::Certain`] it returns false,
    /// having logged nothing, if an amount depends on the mean.
    fn requests(&self, guarded: &mut Guarded, basis: Basis, new: usize, out: &mut Judgement) -> bool {
        guarded.log.expire(self.now - self.timeout - ROUNDING);
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
                        let request = self.request(guarded, rule, (up, down), basis);
                        if self.cools(guarded) && request.as_ref().is_some_and(|r| r.direction() == Direction::Down) {
                            continue;
                        }
                        consumed += rule.remove;
                        out.requests.extend(request);
                    }
                    Err(why) => out.problems.push(Problem { name: rule.name.to_string(), why }),
                }
            }
        }
        guarded.judged_at = self.now;
        for event in new {
            guarded.log.push(event.direction, self.now, event.count);
        }
        guarded.log.consume(if up > down { Direction::Up } else { Direction::Down }, consumed);
        true
    }

    /// Whether the limit was changed so short ago that it is not lowered yet.
    fn cools(&self, guarded: &Guarded) -> bool {
        self.now - guarded.changed_at < self.cooldown - SAME_TIME
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
            asked: None,
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
