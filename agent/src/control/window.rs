//! The end of a CPU window: usages, judgement, requests carried out, the next window opened.

use std::sync::Arc;
use std::time::Duration;

use headroom_model::policy::guardian::Guarded;
use headroom_model::resource::{Resource, ResourceSet};

use super::entry::{Entry, Phase};
use super::latency::Timed;
use super::opening::{Opening, shares};
use super::recorder::Window as Recorded;
use super::state::State;
use crate::clock;
use crate::config::Config;
use crate::sampler::{Passed, UsageSource};

/// A window longer than so many of its lengths is a gap (suspend, a paused VM): not judged, but by what was certain in time.
pub(super) const GAP: u64 = 5;

/// The window that is open.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "units belong into names")]
pub(super) struct Window {
    length_ns: u64,
    opened_ns: u64,
    /// When it should end: on the timer's grid, be it opened late.
    due_ns: u64,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        let (length_ns, opened_ns) = (nanos(length), clock::monotonic_ns());
        Self { length_ns, opened_ns, due_ns: opened_ns + length_ns }
    }

    pub(super) fn set_length(&mut self, length: Duration) {
        self.length_ns = nanos(length);
    }

    /// What a container has used when it opens.
    pub(super) fn opening(&self, used_ns: u64) -> Opening {
        Opening { at_ns: self.opened_ns, used_ns }
    }

    /// One that begins the grid.
    fn begin(&mut self, now_ns: u64) {
        (self.opened_ns, self.due_ns) = (now_ns, now_ns + self.length_ns);
    }

    /// The next one, which is due when the timer expires next, but for a remainder of the grid that is shorter than half a window.
    fn next(&mut self, now_ns: u64) {
        let least = now_ns + self.length_ns / 2;
        let grids = least.saturating_sub(self.due_ns).div_ceil(self.length_ns.max(1)).max(1);
        (self.opened_ns, self.due_ns) = (now_ns, self.due_ns + grids * self.length_ns);
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl State {
    /// Begins with the first window. Returns when it ends, `CLOCK_MONOTONIC` ns.
    pub(super) fn open_windows(&mut self) -> u64 {
        self.window.begin(clock::monotonic_ns());
        self.reopen();
        self.window.due_ns
    }

    /// The window's timer has expired.
    pub(super) fn end_window(&mut self) {
        let now = clock::monotonic_ns();
        let (length, due) = (now.saturating_sub(self.window.opened_ns), self.window.due_ns);
        // After a late end the timer comes back to its grid with a short window: it is left to the next.
        if now < due {
            return;
        }
        let is_gap = length > GAP * self.window.length_ns;
        self.window.next(now);
        self.measure(length, is_gap);
        self.latencies.record(Timed::Sampling, clock::monotonic_ns().saturating_sub(now));
        self.counters.gaps += u64::from(is_gap);
        if self.config.guardian.active {
            self.judge_windows(due, is_gap);
        }
        self.reopen();
        self.check_drift();
        self.audit();
        self.retry_waiting();
        self.carry_out_asked();
        // Nobody's burst waits until everybody has been looked after.
        self.judge_early();
        self.latencies.record(Timed::Step, clock::monotonic_ns().saturating_sub(now));
        self.publish_if_due();
    }

    /// Each container's mean over the window, and what it adds to the bill.
    fn measure(&mut self, length_ns: u64, is_gap: bool) {
        let host_cpu = self.ledger.host_max(Resource::Cpu);
        let (reads_split, reads_throttling) = (self.guardian.rules().reads_cpu_split(), self.guardian.rules().reads_throttling());
        let follows_bursts = self.guardian.rejudge && self.config.guardian.active && !is_gap;
        for entry in self.entries.values_mut() {
            let used = entry.slot.and_then(|slot| self.source.used_ns(slot));
            let ends = used.map(|used_ns| self.window.opening(used_ns));
            let goes_on = if follows_bursts { begins_with_burst(entry, self.source.as_ref(), ends) } else { None };
            entry.goes_on = goes_on.is_some();
            if let (Some(woke), Some(opened)) = (goes_on, entry.opened) {
                // Until it woke it did nothing: that is no window to be judged by, for it ends in a burst.
                self.counters.windows_moved += 1;
                entry.opened = goes_on;
                entry.usage[Resource::Cpu] = Some(0.0);
                entry.account((woke.at_ns - opened.at_ns) as f64 / 1e9, host_cpu);
                continue;
            }
            let length_ns = entry.opened.map_or(length_ns, |opened| self.window.opened_ns.saturating_sub(opened.at_ns));
            let usage = match (entry.opened, ends) {
                // A window that ended late has a lower mean than was certain while it should have ended in time: what it was judged by counts.
                (Some(opened), Some(ends)) if !is_gap => Some(opened.mean(ends).max(entry.certain)),
                // Of a gap that is known which its limit was raised by while it was open.
                _ => Some(entry.certain).filter(|certain| *certain > 0.0),
            };
            entry.opened = ends;
            if let (Some(slot), Some(used_ns)) = (entry.slot, used) {
                self.source.open(slot, used_ns);
            }
            if entry.armed_ns.is_some_and(|armed| used.is_some_and(|used| used >= armed)) {
                entry.armed_ns = None;
                self.counters.early_missed += 1;
            }
            // One that has not run was not throttled: most containers are idle most of the time.
            let has_run =
                is_gap || usage.is_some_and(|now| now > 0.0) || entry.usage[Resource::Cpu].is_some_and(|before| before > 0.0);
            let throttled =
                if reads_throttling && has_run && entry.phase == Phase::Guarded { entry.newly_throttled() } else { None };
            entry.usage[Resource::Cpu] = usage.filter(|_| !is_gap);
            let split = if reads_split { entry.cpu_split(length_ns) } else { None };
            // What a gap brought besides nobody knew in time.
            let (split, throttled) = if is_gap { (None, throttled.map(|_| 0.0)) } else { (split, throttled) };
            if let Some(guarded) = &mut entry.subject.resources[Resource::Cpu] {
                guarded.usage = usage;
                guarded.split = split;
                guarded.throttled = throttled;
            }
            entry.account(length_ns as f64 / 1e9, host_cpu);
        }
    }

    /// Judges the CPU windows that have just ended, until no raise asks for another look. Of a gap those that were judged while it was open:
    /// what is recorded of them leads to the same decisions again.
    fn judge_windows(&mut self, ended_ns: u64, is_gap: bool) {
        let cpu = ResourceSet::only(Resource::Cpu);
        let mut due = std::mem::take(&mut self.due);
        let has_ended = |e: &Entry| {
            e.phase == Phase::Guarded
                && !e.goes_on
                && (!is_gap || e.subject.resources[Resource::Cpu].as_ref().is_some_and(|cpu| cpu.usage.is_some()))
        };
        due.extend(self.entries.iter().filter(|(_, entry)| has_ended(entry)).map(|(id, _)| *id));
        self.record_windows(&due, Resource::Cpu, ended_ns);
        while !due.is_empty() {
            for id in due.drain(..) {
                self.judge(id, cpu, ended_ns as f64 / 1e9);
            }
            self.carry_out(ended_ns);
            if self.guardian.rejudge {
                due.extend(&self.raised);
            }
        }
        self.write_staged(ended_ns);
        self.due = due;
        for entry in self.entries.values_mut().filter(|entry| !entry.goes_on) {
            entry.subject.next_window(cpu);
        }
    }

    /// Keeps what the windows of `ids` are judged by, where usage is recorded.
    pub(super) fn record_windows(&self, ids: &[u64], resource: Resource, ended_ns: u64) {
        if !self.journal.records() {
            return;
        }
        let end = ended_ns as f64 / 1e9;
        for entry in ids.iter().filter_map(|id| self.entries.get(id)) {
            let guarded = entry.subject.resources[resource].as_ref();
            let (usage, throttled) = (guarded.and_then(|g| g.usage), guarded.and_then(|g| g.throttled));
            // What was judged early counts, also where a write that goes on since then keeps its end from being judged.
            let usage = match entry.certain {
                _ if entry.may_judge(resource, end) => usage,
                certain if resource == Resource::Cpu && certain > 0.0 => Some(certain),
                _ => continue,
            };
            self.journal.window(Recorded {
                structure: Arc::clone(&entry.name),
                resource,
                at: end + self.epoch,
                usage,
                throttled,
            });
        }
    }

    /// Judges one container's windows that ended at `end` (s); what it asks for waits in `requests`.
    pub(super) fn judge(&mut self, id: u64, due: ResourceSet, end: f64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let due: ResourceSet = due.iter().filter(|r| entry.may_judge(*r, end)).collect();
        let Some(first) = due.iter().next() else { return };
        self.guardian.event_timeout = self.config.guardian.event_timeout(first).as_secs_f64();
        self.guardian.judge(&mut entry.subject, due, end, &mut self.judgement);
        self.counters.windows += self.judgement.judged.iter().count() as u64;
        self.counters.missing_samples += self.judgement.gaps.iter().count() as u64;
        for problem in self.judgement.problems.drain(..) {
            entry.note(problem.to_string());
        }
        self.requests.extend(self.judgement.requests.drain(..));
    }

    /// Opens the next window: arms the kernel side for each container whose limit may have to go up. Where its threshold has been passed
    /// already, it is judged at once.
    fn reopen(&mut self) {
        let mut passed = std::mem::take(&mut self.passed);
        let now = Self::now();
        for entry in self.entries.values_mut() {
            entry.certain = 0.0;
            passed.extend(arm(entry, self.source.as_mut(), &self.config, self.window, now));
        }
        for one in passed.drain(..) {
            self.judge_passed(one);
        }
        self.passed = passed;
    }

    fn try_arm(&mut self, id: u64) -> Option<Passed> {
        let entry = self.entries.get_mut(&id)?;
        arm(entry, self.source.as_mut(), &self.config, self.window, Self::now())
    }

    /// The kernel side rang: windows whose mean is certain to exceed `upper` are judged now.
    pub(super) fn judge_early(&mut self) {
        let mut passed = std::mem::take(&mut self.passed);
        self.source.drain(&mut |one| passed.push(one));
        for one in passed.drain(..) {
            self.judge_passed(one);
        }
        self.passed = passed;
    }

    fn judge_passed(&mut self, first: Passed) {
        let told_ns = first.at_ns;
        let mut next = Some(first);
        while let Some(passed) = next {
            next = self.judge_once(&passed);
        }
        self.write_staged(told_ns);
    }

    /// Returns the next word about the same container, where the raise is not enough for what it has used by now.
    fn judge_once(&mut self, passed: &Passed) -> Option<Passed> {
        // Part of it was used after the window should have ended: its end, which is late, judges it by its real length.
        if passed.at_ns > self.window.due_ns {
            return None;
        }
        let &id = self.by_slot.get(&passed.slot)?;
        let entry = self.entries.get_mut(&id)?;
        entry.armed_ns = None;
        // A word about a window that has ended meanwhile: its end has judged it.
        let opened = entry.opened?;
        let used_ns = passed.used_ns.checked_sub(opened.used_ns)?;
        if !self.config.guardian.active || !entry.may_judge(Resource::Cpu, Self::now()) {
            return None;
        }
        let due_ns = self.window.due_ns;
        let (end, certain) = (due_ns as f64 / 1e9, shares(used_ns, due_ns.saturating_sub(opened.at_ns)));
        self.guardian.event_timeout = self.config.guardian.event_timeout(Resource::Cpu).as_secs_f64();
        if !self.guardian.judge_early(&mut entry.subject, Resource::Cpu, certain, end, &mut self.judgement) {
            return None;
        }
        entry.certain = certain;
        self.counters.early += 1;
        self.requests.extend(self.judgement.requests.drain(..));
        self.carry_out(passed.at_ns);
        if self.guardian.rejudge && self.raised.contains(&id) { self.try_arm(id) } else { None }
    }
}

/// Where the window of a container should have begun, if its burst is cut by the border that `ends` it; see [`Opening::with_burst`].
fn begins_with_burst(entry: &Entry, source: &dyn UsageSource, ends: Option<Opening>) -> Option<Opening> {
    let (opened, ends) = (entry.opened?, ends?);
    // Most containers are idle most of the time; and what was judged already is judged.
    if ends.used_ns == opened.used_ns || entry.certain > 0.0 || !entry.may_judge(Resource::Cpu, ends.at_ns as f64 / 1e9) {
        return None;
    }
    let upper = entry.subject.resources[Resource::Cpu].as_ref()?.thresholds()?.upper;
    opened.with_burst(source.woke_ns(entry.slot?), ends, upper)
}

/// Arms one container for the open window, unless it is armed just so. Returns what is to be judged at once, if the threshold has been
/// passed already.
fn arm(entry: &mut Entry, source: &mut dyn UsageSource, config: &Config, window: Window, now: f64) -> Option<Passed> {
    let slot = entry.slot?;
    let upper = entry.subject.resources[Resource::Cpu].as_ref().and_then(Guarded::thresholds).map(|t| t.upper);
    let threshold = match (upper, entry.opened) {
        (Some(upper), Some(opened)) if upper > 0.0 && config.guardian.active && entry.may_judge(Resource::Cpu, now) => {
            Some(opened.used_ns.saturating_add(part(upper, window.due_ns.saturating_sub(opened.at_ns))))
        }
        _ => None,
    };
    // Most containers are idle most of the time: what they have used stands still, and so does this.
    if threshold == entry.armed_ns {
        return None;
    }
    let is_armed = source.arm(slot, threshold);
    entry.armed_ns = threshold.filter(|_| is_armed && source.events().is_some());
    if is_armed {
        return None;
    }
    let (threshold, used) = (threshold?, source.used_ns(slot)?);
    let at_ns = clock::monotonic_ns();
    (used >= threshold).then_some(Passed { slot, at_ns, armed_ns: threshold, used_ns: used })
}

/// `shares` of a window, as CPU time in ns.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shares are above 0, and a window is at most an hour"
)]
fn part(shares: f64, window_ns: u64) -> u64 {
    // One past the exact amount: the comparison with `upper` is strict.
    ((shares / 100.0 * window_ns as f64) as u64).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_due_on_the_grid_however_late_they_open() {
        let mut window = Window::new(Duration::from_nanos(100));
        window.begin(1000);
        let mut due_after = |now| {
            window.next(now);
            (window.opened_ns, window.due_ns)
        };
        assert_eq!(due_after(1100), (1100, 1200));
        assert_eq!(due_after(1207), (1207, 1300));
        // So late that what is left until the timer's next is less than half a window.
        assert_eq!(due_after(1350), (1350, 1400));
        assert_eq!(due_after(1451), (1451, 1600));
        assert_eq!(due_after(2930), (2930, 3000));
    }
}
