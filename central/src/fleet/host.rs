//! One host of the fleet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headroom_model::documents::by_resource::ByResource;
use headroom_model::resource::PerResource;
use headroom_model::wire::{ContainerReport, GuardState, HostReport, Report, RequestDone};
use tokio::sync::watch;

use super::Live;
use super::numbers::Numbers;

/// What is known of a host. One that only asked for orders was not heard yet.
#[derive(Debug)]
pub(super) struct Host {
    heard: Option<Instant>,
    pub(super) heard_at: f64,
    pub(super) skew: f64,
    pub(super) instance: Arc<str>,
    /// The process and its last report.
    last: (f64, u64),
    /// When the newest of its states was so, by its clock.
    newest: f64,
    pub(super) version: Arc<str>,
    pub(super) status: Arc<HostReport>,
    /// Sorted by name.
    containers: Box<[(Arc<str>, Container)]>,
    /// What it last said of requests.
    requests: Vec<RequestDone>,
    touched: watch::Sender<u64>,
    /// The central that it reports to, if that is not this one.
    pub(super) via: Option<Arc<str>>,
    /// The number of its last report here.
    pub(super) relay: u64,
}

/// A container with nothing that its host's other containers say too.
#[derive(Debug)]
struct Container {
    engine: Arc<str>,
    incarnation: Arc<str>,
    application: Option<Arc<str>>,
    guard: GuardState,
    notes: Box<[String]>,
    throttled: Option<(u64, f64)>,
    cpu_total: Option<f64>,
    resources: Box<[Numbers]>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            heard: None,
            heard_at: 0.0,
            skew: 0.0,
            instance: "".into(),
            last: (0.0, 0),
            newest: f64::NEG_INFINITY,
            version: "".into(),
            status: Arc::default(),
            containers: Box::default(),
            requests: Vec::new(),
            touched: watch::Sender::new(0),
            via: None,
            relay: 0,
        }
    }
}

impl Host {
    pub(super) fn was_heard(&self) -> bool {
        self.heard.is_some()
    }

    pub(super) fn is_quiet(&self, now: Instant, after: Duration) -> bool {
        self.heard.is_none_or(|heard| now.saturating_duration_since(heard) > after)
    }

    pub(super) fn quiet_since(&self, now: Instant, after: Duration) -> Option<f64> {
        self.is_quiet(now, after).then_some(self.heard_at)
    }

    /// Whether another agent has this host's name.
    pub(super) fn is_anothers(&self, instance: &str, now: Instant, quiet_after: Duration) -> bool {
        !self.is_quiet(now, quiet_after) && *self.instance != *instance
    }

    /// Whether this report was here before. Another process of the same agent begins anew.
    pub(super) fn has_heard(&self, report: &Report) -> bool {
        let (started_at, sequence) = self.last;
        self.was_heard() && *self.instance == *report.instance && (report.started_at, report.sequence) <= (started_at, sequence)
    }

    /// Whether it is the one after the last that was heard.
    pub(super) fn is_next(&self, report: &Report) -> bool {
        let (started_at, sequence) = self.last;
        *self.instance == *report.instance
            && report.started_at.to_bits() == started_at.to_bits()
            && report.sequence == sequence.saturating_add(1)
    }

    /// Takes it in. The containers that it does not have any more; `None` when it tells of a time before what is known already: then only
    /// its counters and decisions are news.
    pub(super) fn hear(&mut self, report: &Report, skew: f64, now: Instant, wall: f64) -> Option<Vec<Arc<str>>> {
        let is_other = *self.instance != *report.instance;
        self.heard = Some(now);
        self.heard_at = wall;
        self.skew = skew;
        self.last = (report.started_at, report.sequence);
        self.requests.clone_from(&report.requests);
        keep(&mut self.instance, &report.instance);
        keep(&mut self.version, &report.version);
        if report.at < self.newest && !is_other {
            return None;
        }
        self.newest = report.at;
        if *self.status != report.status {
            self.status = Arc::new(report.status.clone());
        }
        let before = std::mem::take(&mut self.containers);
        let mut engine = Arc::default();
        let kept = |container: &ContainerReport| {
            let known = find(&before, &container.name);
            let name = known.map_or_else(|| container.name.as_str().into(), |(name, _)| Arc::clone(name));
            keep(&mut engine, &container.engine);
            (name, Container::of(container, &engine, known.map(|(_, known)| known)))
        };
        let mut containers: Vec<(Arc<str>, Container)> = report.containers.iter().map(kept).collect();
        containers.sort_by(|(a, _), (b, _)| a.cmp(b));
        containers.dedup_by(|(a, _), (b, _)| a == b);
        self.containers = containers.into();
        let gone = before.iter().filter(|(name, _)| !self.carries(name));
        Some(gone.map(|(name, _)| Arc::clone(name)).collect())
    }

    /// Its containers, sorted by name.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.containers.iter().map(|(name, _)| name)
    }

    /// Whether it has this container.
    pub(super) fn carries(&self, container: &str) -> bool {
        find(&self.containers, container).is_some()
    }

    /// When it was last heard of.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// What it last reported, as another central is told: without what is told once.
    pub(super) fn report(&self, name: &str) -> Report {
        let containers = self.containers.iter().map(|(name, container)| container.report(name));
        Report {
            host: name.to_owned(),
            instance: self.instance.to_string(),
            started_at: self.last.0,
            sequence: self.last.1,
            at: self.newest,
            version: self.version.to_string(),
            status: (*self.status).clone(),
            containers: containers.collect(),
            decisions: Vec::new(),
            sets: Vec::new(),
            requests: self.requests.clone(),
        }
    }

    pub(super) fn live(&self, own: &Arc<str>, container: &str, quiet_since: Option<f64>) -> Option<Live> {
        let (_, container) = find(&self.containers, container)?;
        let mut resources = PerResource::from_fn(|_| None);
        for numbers in &container.resources {
            resources[numbers.resource] = Some(numbers.report());
        }
        Some(Live {
            host: Arc::clone(own),
            engine: Arc::clone(&container.engine),
            incarnation: Arc::clone(&container.incarnation),
            application: container.application.clone(),
            guard: container.guard,
            notes: container.notes.to_vec(),
            throttled: container.throttled,
            resources,
            quiet_since,
        })
    }

    pub(super) fn touch(&self) {
        self.touched.send_modify(|times| *times += 1);
    }

    pub(super) fn touched(&self) -> watch::Receiver<u64> {
        self.touched.subscribe()
    }
}

impl Container {
    /// Texts that stay the same are kept, not made again, and those that a host's containers share are one: a fleet has many.
    fn of(report: &ContainerReport, engine: &Arc<str>, before: Option<&Self>) -> Self {
        let mut incarnation = before.map_or_else(Arc::default, |before| Arc::clone(&before.incarnation));
        keep(&mut incarnation, &report.incarnation);
        Self {
            engine: Arc::clone(engine),
            incarnation,
            application: report.application.as_deref().map(Into::into),
            guard: report.guard,
            notes: report.notes.clone().into(),
            throttled: report.throttled,
            cpu_total: report.cpu_total,
            resources: report.resources.known.present().map(|(resource, report)| Numbers::of(resource, report)).collect(),
        }
    }
}

impl Container {
    fn report(&self, name: &str) -> ContainerReport {
        let mut resources = ByResource::default();
        for numbers in &self.resources {
            resources.known[numbers.resource] = Some(numbers.report());
        }
        ContainerReport {
            name: name.to_owned(),
            engine: self.engine.to_string(),
            incarnation: self.incarnation.to_string(),
            application: self.application.as_deref().map(str::to_owned),
            guard: self.guard,
            notes: self.notes.to_vec(),
            seed: None,
            cpu_total: self.cpu_total,
            throttled: self.throttled,
            counted: None,
            resources,
        }
    }
}

/// Among those that are sorted by name.
fn find<'a>(containers: &'a [(Arc<str>, Container)], name: &str) -> Option<&'a (Arc<str>, Container)> {
    let at = containers.binary_search_by(|(of, _)| (**of).cmp(name)).ok()?;
    containers.get(at)
}

fn keep(text: &mut Arc<str>, new: &str) {
    if **text != *new {
        *text = new.into();
    }
}
