//! What centrals tell each other of hosts: each tells of those that report to it, as they last did. So every central answers for all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headroom_model::wire::{Asked, Report};
use serde::{Deserialize, Serialize};

use super::Fleet;

/// Hosts that are told of at once: where there are as many, there may be more. Few: what is told at once is in memory several times.
pub(crate) const MANY: usize = 50;

/// What a central tells another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relays {
    /// The number of the last report that is in here: to be shown when asking for later ones.
    pub through: u64,
    /// Whether it can write to the store.
    pub in_touch: bool,
    /// Hosts that reported since.
    pub hosts: Vec<Relayed>,
    /// What it asks of agents that report to the one it tells, by host: all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<(Arc<str>, Asked)>,
}

/// A host, as it last reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relayed {
    /// Without decisions, and without what a host's own settings say.
    pub report: Report,
    /// How far the agent's clock is ahead of the teller's, in s.
    pub skew: f64,
    /// How long ago it was heard, in s: clocks of centrals are not compared.
    pub heard_ago: f64,
    /// How long ago it was so, in s.
    pub so_ago: f64,
}

impl Fleet {
    /// Hosts that reported here after the report of this number, not too many at once, and the number of the last of these reports.
    pub fn relays(&self, after: u64, wall: f64) -> (u64, Vec<Relayed>) {
        let mut news: Vec<(u64, Arc<str>)> = {
            let inner = self.inner.read();
            let news = inner.hosts.iter().filter(|(_, host)| host.via.is_none() && host.relay > after);
            news.map(|(name, host)| (host.relay, Arc::clone(name))).collect()
        };
        news.sort_unstable();
        news.truncate(MANY);
        let through = news.last().map_or(after, |(number, _)| *number);
        // One after the other, so that no report waits for all of them.
        let relayed = |name: &Arc<str>| {
            let inner = self.inner.read();
            let host = inner.hosts.get(name)?;
            let report = host.report(name);
            let so_ago = (wall - (report.at - host.skew)).max(0.0);
            Some(Relayed { skew: host.skew, heard_ago: host.heard()?.elapsed().as_secs_f64(), so_ago, report })
        };
        (through, news.iter().filter_map(|(_, name)| relayed(name)).collect())
    }

    /// What is asked here of agents that report to this central.
    pub fn requests_for(&self, central: &str, now: f64) -> Vec<(Arc<str>, Asked)> {
        self.requests.told(|host| self.via(host).is_some_and(|via| *via == *central), now)
    }

    /// Takes in what another central was reported. False if more is known here.
    pub fn relay(&self, central: &Arc<str>, relayed: &Relayed, wall: f64) -> bool {
        let Relayed { report, skew, heard_ago, .. } = relayed;
        self.requests.done(&report.host, &report.requests);
        let now = Instant::now();
        let heard = Duration::try_from_secs_f64(*heard_ago).ok().and_then(|ago| now.checked_sub(ago)).unwrap_or(now);
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        let name: Arc<str> = report.host.as_str().into();
        let host = inner.hosts.entry(Arc::clone(&name)).or_default();
        let is_other = host.was_heard() && *host.instance != *report.instance;
        if host.has_heard(report) || (is_other && host.heard().is_some_and(|own| own > heard)) {
            return false;
        }
        if !host.was_heard() {
            host.touch();
        }
        let gone = host.hear(report, *skew, heard, wall - heard_ago);
        host.via = Some(Arc::clone(central));
        if let Some(gone) = gone {
            // Their documents are the other central's to make.
            inner.claim(&name, &gone, now, self.quiet_after);
        }
        true
    }

    /// Whether this report follows right after the last one that came here: its agent has not reported elsewhere meanwhile.
    pub fn has_stayed(&self, report: &Report) -> bool {
        let inner = self.inner.read();
        inner.hosts.get(report.host.as_str()).is_some_and(|host| host.via.is_none() && host.is_next(report))
    }

    /// The central that a host reports to, if that is not this one.
    pub fn via(&self, host: &str) -> Option<Arc<str>> {
        self.inner.read().hosts.get(host)?.via.clone()
    }

    /// Whether a host reports here, and is not quiet.
    pub fn is_here(&self, host: &str) -> bool {
        let inner = self.inner.read();
        inner.hosts.get(host).is_some_and(|host| host.via.is_none() && !host.is_quiet(Instant::now(), self.quiet_after))
    }
}
