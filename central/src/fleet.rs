//! The fleet as its agents report it: who is there, what each container has and uses now. In memory only: what has to outlive a restart is in
//! the State Database, and agents report again within seconds.

mod claims;
mod host;
mod numbers;
mod relay;
mod requests;
mod sets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use headroom_model::limit::Limit;
use headroom_model::resource::{PerResource, Resource};
use headroom_model::wire::{Asked, GuardState, HostReport, Report, RequestDone, ResourceReport, SetDone, SetLimit};
use parking_lot::RwLock;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use claims::Claims;
pub use claims::Conflict;
use host::Host;
pub(crate) use relay::MANY;
pub use relay::{Relayed, Relays};
use requests::Requests;
use sets::Sets;

use crate::answer::Answer;

/// How long an agent has for limits that are to be set at once.
pub(crate) const SET_WITHIN: Duration = Duration::from_secs(10);

/// Everything that agents reported.
#[derive(Debug)]
pub struct Fleet {
    quiet_after: Duration,
    inner: RwLock<Inner>,
    sets: Sets,
    requests: Requests,
}

#[derive(Debug, Default)]
struct Inner {
    hosts: BTreeMap<Arc<str>, Host>,
    claims: Claims,
    /// Reports that were taken in here so far.
    heard: u64,
}

impl Inner {
    /// Has a host's containers be known by their names, and others by those that are gone there. Returns those that are its from now on.
    fn claim(&mut self, host: &str, gone: &[Arc<str>], now: Instant, quiet_after: Duration) -> Vec<Arc<str>> {
        let Self { hosts, claims, .. } = self;
        let Some((name, host)) = hosts.get_key_value(host) else { return Vec::new() };
        let quiet = |host: &str| hosts.get(host).is_none_or(|host| host.is_quiet(now, quiet_after));
        claims.update(name, gone, host.names(), quiet)
    }
}

/// One host, as it was last heard of.
#[derive(Clone, Debug, PartialEq)]
pub struct HostView {
    /// Its name.
    pub name: Arc<str>,
    /// Since when nothing was heard of it, if that is too long ago: seconds since the epoch.
    pub quiet_since: Option<f64>,
    /// When it last reported: seconds since the epoch.
    pub last_report: f64,
    /// How far the agent's clock is ahead of ours, in s, with the way here.
    pub skew: f64,
    /// The agent's version.
    pub version: Arc<str>,
    /// Which agent it is.
    pub instance: Arc<str>,
    /// The central that it reports to, if that is not this one.
    pub via: Option<Arc<str>>,
    /// What it says of itself.
    pub status: Arc<HostReport>,
    /// Its containers, sorted by name.
    pub containers: Vec<Arc<str>>,
}

/// One container, as its host last reported it.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// The host that carries it.
    pub host: Arc<str>,
    /// What runs it.
    pub engine: Arc<str>,
    /// Tells it from others of its name, before and after.
    pub incarnation: Arc<str>,
    /// The application that its label names.
    pub application: Option<Arc<str>>,
    /// What happens to it.
    pub guard: GuardState,
    /// Why something that was asked for is not done.
    pub notes: Vec<String>,
    /// How often and for how long in s it was throttled.
    pub throttled: Option<(u64, f64)>,
    /// What it has and uses.
    pub resources: PerResource<Option<ResourceReport>>,
    /// Since when nothing was heard of its host, if that is too long ago.
    pub quiet_since: Option<f64>,
}

/// What a report brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// It came before: nothing of it counts again.
    Again,
    /// It is new.
    News {
        /// Nothing was heard of its host before.
        is_first: bool,
        /// Its containers that no report before had, or that came from another host.
        appeared: Vec<Arc<str>>,
    },
}

impl Fleet {
    /// A fleet that nobody has reported to.
    pub fn new(quiet_after: Duration) -> Self {
        Self { quiet_after, inner: RwLock::default(), sets: Sets::default(), requests: Requests::default() }
    }

    /// Takes a report in. Two agents that claim one host name: the second is refused while the first is not quiet.
    pub fn receive(&self, report: &Report, sent_at: f64, wall: f64) -> Result<Heard, Answer> {
        let now = Instant::now();
        self.sets.done(&report.sets);
        self.requests.done(&report.host, &report.requests);
        let mut inner = self.inner.write();
        let inner = &mut *inner;
        let host = inner.hosts.entry(report.host.as_str().into()).or_default();
        if host.is_anothers(&report.instance, now, self.quiet_after) {
            return Err(self.claimed(&report.host, &host.instance));
        }
        if host.has_heard(report) {
            return Ok(Heard::Again);
        }
        let is_first = !host.was_heard();
        let skew = sent_at - wall;
        let gone = host.hear(report, skew, now, wall);
        inner.heard += 1;
        (host.via, host.relay) = (None, inner.heard);
        if is_first {
            host.touch();
        }
        let appeared = gone.map(|gone| inner.claim(&report.host, &gone, now, self.quiet_after)).unwrap_or_default();
        Ok(Heard::News { is_first, appeared })
    }

    /// Refuses an agent whose host name another one reports with.
    pub fn may_speak_for(&self, host: &str, instance: &str) -> Result<(), Answer> {
        let inner = self.inner.read();
        match inner.hosts.get(host) {
            Some(known) if known.is_anothers(instance, Instant::now(), self.quiet_after) => {
                Err(self.claimed(host, &known.instance))
            }
            _ => Ok(()),
        }
    }

    /// What an agent is told whose host name another one has.
    pub(crate) fn claimed(&self, host: &str, instance: &str) -> Answer {
        let message = format!(
            "another agent (instance {instance}) reports as host {host:?}; give one of the two another host.name, or wait until the \
             other has been quiet for {:?}",
            self.quiet_after
        );
        Answer::new(StatusCode::CONFLICT, message)
    }

    /// One host.
    pub fn host(&self, name: &str) -> Option<HostView> {
        let inner = self.inner.read();
        let (name, host) = inner.hosts.get_key_value(name).filter(|(_, host)| host.was_heard())?;
        Some(self.view(name, host))
    }

    /// All hosts, by name.
    pub fn hosts(&self) -> Vec<HostView> {
        let inner = self.inner.read();
        inner.hosts.iter().filter(|(_, host)| host.was_heard()).map(|(name, host)| self.view(name, host)).collect()
    }

    /// Hosts that are not quiet: when each was last heard of, in seconds since the epoch, and how many containers it has.
    pub fn heard(&self) -> Vec<(Arc<str>, f64, usize)> {
        let (now, inner) = (Instant::now(), self.inner.read());
        let hosts = inner.hosts.iter().filter(|(_, host)| !host.is_quiet(now, self.quiet_after));
        hosts.map(|(name, host)| (Arc::clone(name), host.heard_at, host.names().count())).collect()
    }

    fn view(&self, name: &Arc<str>, host: &Host) -> HostView {
        HostView {
            name: Arc::clone(name),
            quiet_since: host.quiet_since(Instant::now(), self.quiet_after),
            last_report: host.heard_at,
            skew: host.skew,
            version: Arc::clone(&host.version),
            instance: Arc::clone(&host.instance),
            via: host.via.clone(),
            status: Arc::clone(&host.status),
            containers: host.names().cloned().collect(),
        }
    }

    /// Whether a host's agent has reported within this time.
    pub fn has_reported(&self, host: &str, within: Duration) -> bool {
        let inner = self.inner.read();
        inner.hosts.get(host).is_some_and(|host| host.was_heard() && !host.is_quiet(Instant::now(), within))
    }

    /// Whether a host reports this container.
    pub fn carries(&self, host: &str, container: &str) -> bool {
        self.inner.read().hosts.get(host).is_some_and(|host| host.carries(container))
    }

    /// A container, from the host that its name belongs to.
    pub fn live(&self, container: &str) -> Option<Live> {
        let inner = self.inner.read();
        let owner = inner.claims.owner(container)?;
        let host = inner.hosts.get(owner)?;
        host.live(owner, container, host.quiet_since(Instant::now(), self.quiet_after))
    }

    /// The host that this container's name belongs to.
    pub fn owner(&self, container: &str) -> Option<Arc<str>> {
        self.inner.read().claims.owner(container).cloned()
    }

    /// Forgets whom these names belong to, so that the next report with them has them as new.
    pub fn disown(&self, containers: &[Arc<str>]) {
        let mut inner = self.inner.write();
        for name in containers {
            inner.claims.disown(name);
        }
    }

    /// Names that containers of more than one host have: only the first one's is known by it.
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.inner.read().claims.conflicts()
    }

    /// Tells whoever waits for a host's orders to look at them again.
    pub fn touch(&self, host: &str) {
        if let Some(host) = self.inner.read().hosts.get(host) {
            host.touch();
        }
    }

    /// The same for all hosts.
    pub fn touch_all(&self) {
        self.inner.read().hosts.values().for_each(Host::touch);
    }

    /// Changes when a host's orders may have changed.
    pub fn touched(&self, host: &str) -> watch::Receiver<u64> {
        self.inner.write().hosts.entry(host.into()).or_default().touched()
    }

    /// Has a host's Scaler carry out requests, each with when it was made: seconds since the epoch. What became of each comes by `done`, once; it
    /// is repeated in the host's orders until it is forgotten.
    pub fn request(&self, host: &Arc<str>, requests: Vec<(Asked, f64)>, done: &UnboundedSender<RequestDone>) {
        self.requests.ask(host, requests, done);
        self.touch(host);
    }

    /// Has the agents that report here carry out what another central asks of them: all that it asks now.
    pub fn requests_of(&self, central: &Arc<str>, requests: &[(Arc<str>, Asked)], now: f64) {
        for host in self.requests.asked_by(central, requests, now) {
            self.touch(&host);
        }
    }

    /// The requests that a host is to carry out, without their ages.
    pub fn requests(&self, host: &str) -> Vec<Asked> {
        self.requests.of(host)
    }

    /// These are on their way to their host's agent: gives them their ages.
    pub fn give_requests(&self, requests: &mut Vec<Asked>, now: f64) {
        self.requests.give(requests, now);
    }

    /// Takes a request back that its host's agent was not given yet. False where it was: it may carry it out, and is to say so.
    pub fn take_request_back(&self, id: &str) -> bool {
        self.requests.take_back(id)
    }

    /// Whoever asked knows what became of it: orders have it no longer.
    pub fn forget_request(&self, id: &str) {
        if let Some(host) = self.requests.forget(id) {
            self.touch(&host);
        }
    }

    /// Limits that a host is to set at once.
    pub fn sets(&self, host: &str) -> Vec<SetLimit> {
        self.sets.of(host)
    }

    /// Has limits set at once; answers when the host's agent has done it, or says why not.
    pub async fn set_limits(&self, host: &str, sets: Vec<(String, Resource, Limit)>) -> Result<(), Answer> {
        let (ids, mut answers) = self.sets.ask(host, sets);
        self.touch(host);
        let all = async {
            let mut errors: Vec<String> = Vec::new();
            for _ in &ids {
                let Some(SetDone { error, .. }) = answers.recv().await else { break };
                errors.extend(error);
            }
            errors
        };
        let answered = tokio::time::timeout(SET_WITHIN, all).await;
        self.sets.forget(&ids);
        match answered {
            Ok(errors) if errors.is_empty() => Ok(()),
            Ok(errors) => Err(Answer::new(StatusCode::BAD_REQUEST, errors.join("; "))),
            Err(_) => {
                let message =
                    format!("the agent of host {host:?} has not answered within {SET_WITHIN:?}; the limit may still be set");
                Err(Answer::new(StatusCode::SERVICE_UNAVAILABLE, message))
            }
        }
    }
}
