//! CPU quotas, which the control thread writes itself. With `rejudge` the steps of a raise stand on paper until the window is judged to
//! its end, and are written once: each write takes the kernel tens of µs and hands out a fresh quota.

use headroom_model::limit::Limit;
use headroom_model::policy::request::Direction;
use headroom_model::policy::scaler::plan::Grant;
use headroom_model::resource::Resource;

use super::apply::RETRY;
use super::entry::Entry;
use super::latency::Timed;
use super::state::State;
use crate::cgroup::{CgroupError, CpuLimit};
use crate::clock;

/// What a write of a quota has come to.
#[derive(Debug)]
pub(super) struct Written {
    /// What stands now.
    pub(super) quota: Limit,
    /// Why that is less than was wanted, where it is.
    pub(super) short: Option<String>,
}

impl State {
    /// Carries out a grant of CPU. Returns the container if its limit was raised, be it on paper.
    pub(super) fn grant_cpu(&mut self, id: u64, grant: Grant, to: f64, decided_ns: u64) -> Option<u64> {
        if !self.still_stands(id, grant.from) {
            return None;
        }
        // More quota than its CPUs can give would change nothing.
        let cap = self.entries.get(&id).map_or(Limit::Unlimited, Entry::cpuset_cap);
        if let (Limit::At(cap), Direction::Up) = (cap, grant.request.direction())
            && cap < to
            && grant.from.amount().is_some_and(|from| from >= cap)
        {
            let detail = format!("its cpuset has room for {cap} shares, and it has them");
            self.tell(&grant.request, grant.from, grant.from, "refused", Some(detail));
            return None;
        }
        if self.guardian.rejudge && grant.request.direction() == Direction::Up {
            // The window is judged again, and may raise it further: what is written is where that ends.
            self.ledger.account(&grant, to);
            let raised = self.set_limit(id, Resource::Cpu, Limit::At(to).min(cap));
            self.staged.push((id, grant));
            return raised.then_some(id);
        }
        match self.write_cpu(id, Limit::At(to), self.looked_at(id)) {
            Ok(Written { quota, short }) => {
                self.reacted(&grant, decided_ns);
                self.ledger.account(&grant, quota.amount().unwrap_or(to));
                let raised = self.set_limit(id, Resource::Cpu, quota.min(cap));
                self.tell_granted(&grant, quota, "applied", short);
                raised.then_some(id)
            }
            Err(why) => {
                self.tell(&grant.request, grant.from, grant.from, "failed", Some(why));
                None
            }
        }
    }

    fn reacted(&mut self, grant: &Grant, decided_ns: u64) {
        let took_ns = clock::monotonic_ns().saturating_sub(decided_ns);
        self.latencies.record(Timed::Reaction, took_ns);
        if grant.request.why.as_ref().is_some_and(|why| why.early) {
            self.latencies.record(Timed::Early, took_ns);
        }
    }

    /// Writes the raises that stand on paper only, each container's last one.
    pub(super) fn write_staged(&mut self, decided_ns: u64) {
        let mut staged = std::mem::take(&mut self.staged);
        for at in 0..staged.len() {
            let (id, _) = staged[at];
            // Another step of this container's follows, or it was written with an earlier step: one write stands for all.
            if staged[..at].iter().any(|(before, _)| *before == id) {
                continue;
            }
            let steps = || staged[at..].iter().filter(|(of, _)| *of == id).map(|(_, grant)| grant);
            let (Some(first), Some(last)) = (steps().next(), steps().next_back()) else { continue };
            match self.write_cpu(id, Limit::At(last.to), self.looked_at(id)) {
                Ok(Written { quota, short }) => {
                    self.reacted(first, decided_ns);
                    self.ledger.account(last, quota.amount().unwrap_or(last.to));
                    let cap = self.entries.get(&id).map_or(Limit::Unlimited, Entry::cpuset_cap);
                    self.set_limit(id, Resource::Cpu, quota.min(cap));
                    for grant in steps() {
                        let wanted = Limit::At(grant.to);
                        let to = if short.is_some() { wanted.min(quota) } else { wanted };
                        self.tell_granted(grant, to, "applied", short.clone().filter(|_| to != wanted));
                    }
                    if self.guardian.rules().reads_throttling()
                        && let Some(entry) = self.entries.get_mut(&id)
                    {
                        // What the old limit throttled says nothing of the new one.
                        entry.newly_throttled();
                    }
                }
                Err(why) => {
                    self.set_limit(id, Resource::Cpu, first.from);
                    for grant in steps() {
                        self.tell(&grant.request, first.from, first.from, "failed", Some(why.clone()));
                    }
                }
            }
        }
        staged.clear();
        self.staged = staged;
    }

    /// Writes a CPU quota through the kept descriptors and reads it back. `stands`: what was read there just now, where it was. A raise over
    /// what a cgroup above has, which v1 refuses, goes as far as that. `Err`: why not; then all is as it was.
    pub(super) fn write_cpu(&mut self, id: u64, quota: Limit, stands: Option<CpuLimit>) -> Result<Written, String> {
        let wanted = self.cpu_limit(quota);
        let Some(entry) = self.entries.get_mut(&id) else { return Err("it is gone".into()) };
        // Each write takes the kernel tens of us and hands out a fresh quota: a raise leaves the burst to the next lowering or look.
        let raises = entry.cpu.is_some_and(|stands| {
            quota != stands.quota && quota.min(stands.quota) == stands.quota && stands.period_us == wanted.period_us
        });
        let burst_us = wanted.burst_us;
        let wanted = if raises { CpuLimit { burst_us: None, ..wanted } } else { wanted };
        let Some(files) = &entry.quota else { return Err("its CPU quota could not be opened".into()) };
        let begun = clock::monotonic_ns();
        let written = stands.map_or_else(|| files.write(&wanted), |stands| files.write_over(&stands, &wanted));
        let (written, short) = match written {
            Err(why @ CgroupError::OverParent { limit, .. }) if raises && entry.has_less_than(limit.floor()) => {
                (files.write(&CpuLimit { quota: Limit::At(limit.floor()), ..wanted }), Some(why.to_string()))
            }
            written => (written, None),
        };
        match written {
            Ok(read) => {
                self.latencies.record(Timed::CpuWrite, clock::monotonic_ns().saturating_sub(begun));
                entry.cpu = Some(read);
                entry.burst_is_behind = raises && read.burst_us.is_some_and(|left| Some(left) != burst_us);
                entry.retry[Resource::Cpu].succeeded();
                Ok(Written { quota: read.quota, short })
            }
            Err(e) => {
                entry.retry[Resource::Cpu].failed(Self::now(), RETRY);
                Err(e.to_string())
            }
        }
    }

    /// A CPU limit with the period and the burst that are configured.
    pub(super) fn cpu_limit(&self, quota: Limit) -> CpuLimit {
        let period_us = u64::try_from(self.config.scaler.period.as_micros()).unwrap_or(100_000);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a fraction of a quota in µs, which is far below 2^52"
        )]
        let burst = |shares: f64| (shares.max(0.0) / 100.0 * period_us as f64 * self.config.scaler.burst) as u64;
        CpuLimit { quota, period_us, burst_us: Some(quota.amount().map_or(0, burst)) }
    }
}
