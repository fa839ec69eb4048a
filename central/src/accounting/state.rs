//! What a host's counters were when they were last counted, and what of their growth is not filed yet.
//!
//! Pure: reports go in, amounts by account and time come out. An agent's process is told by its instance and start. Of a process's reports those that
//! are not newer than the last one count for nothing. Amounts of a container grow from what they were in the process's report before; they begin
//! at 0 with a new process, a new incarnation, or when one of them went down (the agent had lost sight of the container). CPU time that was used is
//! the growth of the kernel's own count, where that is reported and was known before: it goes on while no agent runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use headroom_model::accounting::Areas;
use headroom_model::resource::Resource;
use headroom_model::wire::{ContainerReport, Report};
use sha2::{Digest as _, Sha256};

use super::spread::{FINE, Part, add, less, spread, start};
use crate::refeeder::Owners;

/// How many processes of a host are remembered. Reports of a process that is not any more may still be under way.
const PROCESSES: usize = 3;

/// A process is forgotten this long after one of the same agent that began later took over, in s.
const OVERLAP: f64 = 600.0;

/// A container that reports no longer name is forgotten after so long, in s.
const ABSENT: f64 = 3600.0;

/// Adding up may be off by this part: not a step back.
const ROUNDING: f64 = 1e-9;

/// For whom amounts are counted: a container, and whom it belonged to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) structure: Arc<str>,
    pub(super) owners: Owners,
}

/// What a report says of amounts.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) host: String,
    pub(super) instance: u64,
    /// By the agent's clock: only told from others, and from `reported`.
    pub(super) started_at: f64,
    pub(super) sequence: u64,
    /// When it was so, by our clock: seconds since the epoch.
    pub(super) at: f64,
    /// For how long the process ran then, in s.
    pub(super) ran: f64,
    pub(super) containers: Vec<Count>,
}

/// One container's counters.
#[derive(Clone, Debug)]
pub(super) struct Count {
    pub(super) holder: Holder,
    pub(super) incarnation: u64,
    /// The kernel's count of its CPU time, in share-seconds.
    pub(super) total: Option<f64>,
    pub(super) areas: Box<[(Resource, Areas)]>,
}

impl Counts {
    /// Out of a report. `at`: its time by our clock.
    pub(super) fn of(report: &Report, at: f64, owners: impl Fn(&str) -> Owners) -> Self {
        let finite = |a: &Areas| [a.used, a.allocated, a.reserved].iter().all(|n| n.is_finite() && *n >= 0.0);
        let count = |container: &ContainerReport| Count {
            holder: Holder { structure: container.name.as_str().into(), owners: owners(&container.name) },
            incarnation: hash(&container.incarnation),
            total: container.cpu_total.filter(|total| total.is_finite()),
            areas: container.resources.known.present().map(|(r, report)| (r, report.areas)).filter(|(_, a)| finite(a)).collect(),
        };
        Self {
            host: report.host.clone(),
            instance: hash(&report.instance),
            started_at: report.started_at,
            sequence: report.sequence,
            at,
            ran: (report.at - report.started_at).max(0.0),
            containers: report.containers.iter().map(count).collect(),
        }
    }
}

/// Kept in a file, so the same for ever: the beginning of the SHA-256.
fn hash(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

/// A host.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Host {
    /// The time that is not over: seconds since the epoch.
    pub(super) open_from: i64,
    /// Until when amounts are in `open`.
    pub(super) until: f64,
    /// What belongs to that time, sorted by account. A map would take twice the room, in each host.
    pub(super) open: Vec<((u32, Resource), Areas)>,
    /// In the order in which they were first heard of.
    pub(super) processes: Vec<Process>,
}

/// One process of an agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) instance: u64,
    pub(super) started_at: f64,
    /// The sequence number after that of the last report; 0 before there was one.
    pub(super) next: u64,
    pub(super) at: f64,
    pub(super) containers: Vec<Counted>,
}

/// A container as it was last counted. Sorted by name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted {
    pub(super) holder: Holder,
    pub(super) incarnation: u64,
    /// Its account: the number that the holder has in the file.
    pub(super) account: u32,
    pub(super) at: f64,
    pub(super) total: Option<f64>,
    pub(super) areas: Box<[(Resource, Areas)]>,
}

/// Amounts of a time that is over, to be added to what is filed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Filed {
    pub(super) account: u32,
    pub(super) resource: Resource,
    pub(super) part: Part,
}

impl Host {
    /// Takes a report's counters in. `account` gives the number of a holder. `None`: it was counted before, or is of a process too old to tell.
    /// After an error the host is not as it was.
    pub(super) fn count<E>(
        &mut self,
        counts: Counts,
        account: impl Fn(&Holder) -> Result<u32, E>,
    ) -> Result<Option<Vec<Filed>>, E> {
        let Some(place) = self.process(&counts) else { return Ok(None) };
        let mut process = std::mem::take(&mut self.processes[place]);
        // Where counters began that were not seen before: with the process, though not while another one counted.
        let began = if process.next == 0 { (counts.at - counts.ran).max(self.until) } else { process.at };
        let known = std::mem::take(&mut process.containers).into_iter();
        let mut known: BTreeMap<Arc<str>, Counted> = known.map(|c| (Arc::clone(&c.holder.structure), c)).collect();
        let mut filed = self.close(start(counts.at, FINE));
        for count in counts.containers {
            let before = known.remove(&count.holder.structure);
            let (holder, number) = match &before {
                // Texts that stay the same are kept once.
                Some(before) if before.holder == count.holder => (before.holder.clone(), before.account),
                _ => (count.holder.clone(), account(&count.holder)?),
            };
            let of_same = before.filter(|before| before.incarnation == count.incarnation);
            let total = self.total_before(&holder.structure, count.incarnation, of_same.as_ref());
            let base = of_same.filter(|before| !went_down(&before.areas, &count.areas));
            let from = base.as_ref().map_or(began, |base| base.at).min(counts.at);
            for (resource, areas) in &count.areas {
                let was = base.iter().flat_map(|base| &base.areas).find(|(of, _)| of == resource);
                let mut grown = less(*areas, was.map_or_else(Areas::default, |(_, was)| *was));
                if let (Resource::Cpu, Some((was, since)), Some(is)) = (resource, total, count.total) {
                    let used = Areas { used: (is - was).max(0.0), ..Areas::default() };
                    grown.used = 0.0;
                    self.file(number, *resource, used, (since.min(counts.at), counts.at), &mut filed);
                }
                self.file(number, *resource, grown, (from, counts.at), &mut filed);
            }
            let Count { incarnation, total, areas, .. } = count;
            process.containers.push(Counted { holder, incarnation, account: number, at: counts.at, total, areas });
        }
        process.containers.extend(known.into_values().filter(|gone| counts.at - gone.at < ABSENT));
        (process.next, process.at) = (counts.sequence.saturating_add(1), counts.at);
        self.until = self.until.max(counts.at);
        self.processes[place] = process;
        self.forget(place);
        Ok(Some(filed))
    }

    /// Where the process is among those that are remembered; a new one is added. `None` when this report of it counts for nothing.
    fn process(&mut self, counts: &Counts) -> Option<usize> {
        let of_agent = |process: &Process| process.instance == counts.instance;
        let known = self.processes.iter().position(|p| of_agent(p) && p.started_at.to_bits() == counts.started_at.to_bits());
        match known {
            Some(place) => (counts.sequence >= self.processes[place].next).then_some(place),
            None if self.processes.iter().any(|p| of_agent(p) && p.started_at > counts.started_at) => None,
            None => {
                let Counts { instance, started_at, .. } = *counts;
                self.processes.push(Process { instance, started_at, ..Process::default() });
                Some(self.processes.len() - 1)
            }
        }
    }

    /// Forgets processes that report no more.
    fn forget(&mut self, current: usize) {
        let Process { instance, started_at, at, .. } = self.processes[current];
        let is_over = |p: &Process| p.instance == instance && p.started_at < started_at && p.at + OVERLAP < at;
        self.processes.retain(|process| !is_over(process));
        while self.processes.len() > PROCESSES {
            let oldest = self.processes.iter().enumerate().min_by(|(_, a), (_, b)| a.at.total_cmp(&b.at)).map(|(place, _)| place);
            self.processes.remove(oldest.unwrap_or_default());
        }
    }

    /// Files what is open when its time is over.
    fn close(&mut self, now: i64) -> Vec<Filed> {
        if now <= self.open_from {
            return Vec::new();
        }
        let start = std::mem::replace(&mut self.open_from, now);
        let filed = |((account, resource), areas)| Filed { account, resource, part: Part { start, length: FINE, areas } };
        std::mem::take(&mut self.open).into_iter().map(filed).collect()
    }

    /// Adds what grew over a time to what is open or filed.
    fn file(&mut self, account: u32, resource: Resource, grown: Areas, (from, to): (f64, f64), filed: &mut Vec<Filed>) {
        if grown == Areas::default() {
            return;
        }
        for part in spread(grown, from, to) {
            if part.length == FINE && part.start == self.open_from {
                let key = (account, resource);
                match self.open.binary_search_by_key(&key, |(of, _)| *of) {
                    Ok(at) => add(&mut self.open[at].1, part.areas),
                    Err(at) => self.open.insert(at, (key, part.areas)),
                }
            } else {
                filed.push(Filed { account, resource, part });
            }
        }
    }

    /// The kernel's count as it was last heard of, by whichever process, and when.
    fn total_before(&self, structure: &str, incarnation: u64, own: Option<&Counted>) -> Option<(f64, f64)> {
        let find = |process: &Process| {
            let at = process.containers.binary_search_by(|c| (*c.holder.structure).cmp(structure)).ok()?;
            process.containers.get(at).filter(|c| c.incarnation == incarnation).and_then(|c| Some((c.total?, c.at)))
        };
        let own = own.and_then(|c| Some((c.total?, c.at)));
        self.processes.iter().filter_map(find).chain(own).max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

fn went_down(before: &[(Resource, Areas)], now: &[(Resource, Areas)]) -> bool {
    let is_less = |now: f64, before: f64| now < before * (1.0 - ROUNDING);
    before.iter().any(|(resource, was)| {
        let is = now.iter().find(|(of, _)| of == resource).map(|(_, is)| is);
        is.is_some_and(|is| {
            is_less(is.used, was.used) || is_less(is.allocated, was.allocated) || is_less(is.reserved, was.reserved)
        })
    })
}

#[cfg(test)]
mod tests;
