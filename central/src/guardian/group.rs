//! One group: its windows and events, and what its containers were asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use headroom_model::documents::limits::{Limits, ResourceLimits};
use headroom_model::documents::structure::Amounts;
use headroom_model::limit::Limit;
use headroom_model::number;
use headroom_model::policy::group::{split, within};
use headroom_model::policy::guardian::{Bounds, Guarded, Subject};
use headroom_model::policy::request::{Direction, Field, Request, action};
use headroom_model::policy::thresholds::{Boundary, BoundaryType};
use headroom_model::resource::{PerResource, Resource, ResourceSet};
use headroom_model::wire::{Asked, Decision, RequestDone};
use serde_json::Value;

use super::Tools;
use super::entering::{Entering, application};
use super::view::View;
use crate::central::{Central, wall};
use crate::store::Database;

/// A group that this central judges.
#[derive(Debug)]
pub(super) struct Group {
    name: Arc<str>,
    subject: Subject,
    /// When this central began to.
    pub(super) since: Instant,
    /// When the hosts had reported by which it was judged last: seconds since the epoch.
    heard: PerResource<f64>,
    /// What containers were asked for and have not answered, by the requests' ids.
    asked: BTreeMap<String, Part>,
    rounds: PerResource<Option<Round>>,
    /// Where limits are that reports may not show yet, and since when.
    stand: BTreeMap<(Arc<str>, Resource), (f64, f64)>,
    /// In which direction nothing was granted the last time, which is said once.
    starved: PerResource<Option<Direction>>,
}

/// What one container was asked for.
#[derive(Clone, Debug)]
struct Part {
    container: Arc<str>,
    host: Arc<str>,
    resource: Resource,
    amount: f64,
    /// Its round goes on without it.
    is_late: bool,
}

/// A request for the group on its way.
#[derive(Clone, Debug)]
struct Round {
    amount: f64,
    granted: f64,
    priority: f64,
    why: String,
    /// What the group held before.
    from: f64,
    /// Hosts that have not granted all that they were asked for.
    short: BTreeSet<Arc<str>>,
}

impl Group {
    pub(super) fn new(name: &Arc<str>) -> Self {
        Self {
            name: Arc::clone(name),
            subject: Subject::new(Arc::clone(name)),
            since: Instant::now(),
            heard: PerResource::from_fn(|_| 0.0),
            asked: BTreeMap::new(),
            rounds: PerResource::from_fn(|_| None),
            stand: BTreeMap::new(),
            starved: PerResource::from_fn(|_| None),
        }
    }

    /// What a container may take more by what it was asked for; `None` where it was not asked for anything.
    pub(super) fn asked_of(&self, container: &str, resource: Resource) -> Option<f64> {
        let mut of = self.asked.values().filter(|part| *part.container == *container && part.resource == resource).peekable();
        of.peek()?;
        Some(of.map(|part| part.amount.max(0.0)).sum())
    }

    /// A container's limit, which is reported as `current` by a host that was heard at `heard`. That report may be from before its agent's last answer.
    pub(super) fn stands(&self, container: &Arc<str>, resource: Resource, current: f64, heard: f64) -> f64 {
        let stands = self.stand.get(&(Arc::clone(container), resource));
        stands.filter(|(_, since)| heard <= *since).map_or(current, |(to, _)| current.max(*to))
    }

    fn view(&self, central: &Central, entering: &Entering, containers: &[Arc<str>], resource: Resource) -> View {
        View::of(central, entering, self, containers, resource)
    }

    /// Nobody judges it here any more.
    pub(super) fn forget(&mut self, central: &Central) {
        for id in std::mem::take(&mut self.asked).keys() {
            central.fleet.forget_request(id);
        }
    }

    /// Judges the windows that end now, of those resources of which every host has reported since the last.
    pub(super) fn judge(&mut self, central: &Central, tools: &mut Tools, entering: &Entering, containers: &[Arc<str>], now: f64) {
        let Some(application) = application(central, &self.name) else { return };
        let limits = central.documents.in_force(Database::Limits, &self.name);
        let limits = limits.and_then(|body| serde_json::from_value::<Limits>(Value::Object(body)).ok()).unwrap_or_default();
        let mut due = ResourceSet::NONE;
        let mut views: PerResource<Option<View>> = PerResource::from_fn(|_| None);
        for resource in Resource::ALL {
            let amounts = application.resources.known[resource].as_ref().filter(|of| of.guard && application.guard);
            let Some((amounts, max)) = amounts.and_then(|of| Some((of, of.max?))).filter(|_| tools.guardable.contains(&resource))
            else {
                self.subject.resources[resource] = None;
                continue;
            };
            let view = self.view(central, entering, containers, resource);
            if self.rounds[resource].is_some() || view.members.is_empty() || view.heard <= self.heard[resource] {
                continue;
            }
            self.heard[resource] = view.heard;
            let bounds = bounds(amounts, max, limits.resources.known[resource].as_ref(), &view, central);
            let guarded = self.subject.resources[resource].get_or_insert_with(|| Guarded::new(bounds, Some(view.current), None));
            (guarded.bounds, guarded.usage) = (bounds, view.usage);
            self.subject.set_limit(resource, view.current, false);
            views[resource] = Some(view);
            due.insert(resource);
        }
        tools.guardian.judge(&mut self.subject, due, now, &mut tools.judgement);
        self.subject.next_window(due);
        let mut requests: Vec<Request> = tools.judgement.requests.drain(..).collect();
        for (resource, view) in views.iter() {
            let Some(view) = view else { continue };
            let max = application.resources.known[resource].as_ref().and_then(|of| of.max).unwrap_or(0.0);
            let over = view.current + view.known - max;
            let (amount, priority, why) = if over > 0.0 {
                let (current, known) = (view.current, view.known);
                (-over, 0.0, format!("{current} and {known} that cannot be moved now are more than its max {max}"))
            } else {
                // One at a time; what else is wanted is wanted at the next window, too.
                let Some(at) = requests.iter().position(|request| request.resource == resource) else { continue };
                let Request { amount, priority, why, .. } = requests.swap_remove(at);
                let most = within(amount, view.current, view.unseen, max);
                // What is not known lowers nobody.
                let amount = if amount > 0.0 { most.max(0.0) } else { amount };
                (amount, priority, why.map(|why| why.to_string()).unwrap_or_default())
            };
            if amount == 0.0 {
                continue;
            }
            self.rounds[resource] =
                Some(Round { amount, granted: 0.0, priority, why, from: view.current, short: BTreeSet::new() });
            self.ask(central, tools, resource, view);
        }
    }

    /// Has a round's agents asked for what is not granted yet, but for those that have not granted all of it. Without anybody to ask, the round is
    /// over.
    fn ask(&mut self, central: &Central, tools: &Tools, resource: Resource, view: &View) {
        let Some(round) = &self.rounds[resource] else { return };
        let can = |(_, host, _): &&(Arc<str>, Arc<str>, _)| !round.short.contains(host);
        let able: Vec<_> = view.members.iter().filter(can).cloned().collect();
        let members: Vec<_> = able.iter().map(|(_, _, member)| member.clone()).collect();
        let parts = split(resource, round.amount - round.granted, &members, &view.free);
        let mut by_host: BTreeMap<Arc<str>, Vec<(Asked, f64)>> = BTreeMap::new();
        let now = wall();
        for ((container, host, _), amount) in able.into_iter().zip(parts).filter(|(_, amount)| *amount != 0.0) {
            let id = new_id(&self.name);
            let asked = Asked {
                id: id.clone(),
                structure: container.to_string(),
                resource,
                field: Field::Current,
                amount,
                priority: round.priority,
                pair: None,
                age: 0.0,
            };
            by_host.entry(Arc::clone(&host)).or_default().push((asked, now));
            self.asked.insert(id, Part { container, host, resource, amount, is_late: false });
        }
        if by_host.is_empty() {
            self.end(central, resource);
        }
        for (host, requests) in by_host {
            central.fleet.request(&host, requests, &tools.told);
        }
    }

    /// An agent says what became of what one of its containers was asked for. Whether it is of this group.
    pub(super) fn answered(&mut self, central: &Central, done: &RequestDone) -> bool {
        let Some(part) = self.asked.remove(&done.id) else { return false };
        central.fleet.forget_request(&done.id);
        let granted = match done.limits {
            Some((Limit::At(from), Limit::At(to))) => to - from,
            _ => 0.0,
        };
        if let Some((_, Limit::At(to))) = done.limits {
            self.stand.insert((Arc::clone(&part.container), part.resource), (to, wall()));
        }
        if let Some(round) = self.rounds[part.resource].as_mut().filter(|_| !part.is_late) {
            round.granted += granted;
            if (granted - part.amount).abs() > 0.5 {
                round.short.insert(part.host);
            }
        }
        true
    }

    /// Goes on with rounds that have all the answers that are to be had now: what is not granted is asked of others.
    pub(super) fn follow_up(&mut self, central: &Central, tools: &Tools, entering: &Entering, containers: &[Arc<str>]) {
        self.give_up_on_the_quiet(central, containers);
        for resource in Resource::ALL {
            let Some(round) = &self.rounds[resource] else { continue };
            if self.asked.values().any(|part| part.resource == resource && !part.is_late) {
                continue;
            }
            if round.short.is_empty() || (round.amount - round.granted).abs() < 1.0 {
                self.end(central, resource);
                continue;
            }
            let view = self.view(central, entering, containers, resource);
            if let Some(round) = self.rounds[resource].as_mut().filter(|round| round.amount > 0.0) {
                let max = application(central, &self.name).and_then(|of| of.resources.known[resource].as_ref()?.max);
                let left = within(round.amount - round.granted, view.current, view.unseen, max.unwrap_or(0.0)).max(0.0);
                round.amount = round.granted + left;
            }
            self.ask(central, tools, resource, &view);
        }
    }

    /// Agents that are not heard of any more: what they may have been given is held until they say otherwise, and the rest goes on.
    fn give_up_on_the_quiet(&mut self, central: &Central, containers: &[Arc<str>]) {
        let mut over: Vec<String> = Vec::new();
        for (id, part) in &mut self.asked {
            let live = central.fleet.live(&part.container);
            let is_there = live.as_ref().is_some_and(|live| live.host == part.host) && containers.contains(&part.container);
            if is_there && live.is_some_and(|live| live.quiet_since.is_none()) {
                continue;
            }
            // It cannot be carried out where the container is no more; and what nobody was given is not held.
            if !is_there || central.fleet.take_request_back(id) {
                over.push(id.clone());
            }
            if !std::mem::replace(&mut part.is_late, true)
                && let Some(round) = &mut self.rounds[part.resource]
            {
                round.short.insert(Arc::clone(&part.host));
            }
        }
        for id in over {
            self.asked.remove(&id);
            central.fleet.forget_request(&id);
        }
    }

    /// Tells what came of a request for the group.
    fn end(&mut self, central: &Central, resource: Resource) {
        let Some(round) = self.rounds[resource].take() else { return };
        let Round { amount, granted, why, from, .. } = round;
        if amount == 0.0 {
            return;
        }
        let direction = Direction::of(amount);
        let is_said = granted == 0.0 && self.starved[resource] == Some(direction);
        self.starved[resource] = (granted == 0.0).then_some(direction);
        if is_said {
            return;
        }
        let (outcome, detail) = if (amount - granted).abs() < 1.0 {
            ("applied", None)
        } else {
            let what =
                format!("{amount} {} wanted, {granted} granted: the rest fits into none of its containers", resource.unit());
            (if granted == 0.0 { "starved" } else { "partial" }, Some(what))
        };
        let decision = Decision {
            at: wall(),
            structure: self.name.to_string(),
            resource,
            action: action(resource, direction).to_owned(),
            why,
            from: Limit::At(from),
            to: Limit::At(number::rounded(from + granted, 2)),
            outcome: outcome.to_owned(),
            detail,
        };
        central.audit.judged(&decision);
    }
}

/// The bounds of what can be seen: what cannot takes its part of the group's.
fn bounds(amounts: &Amounts, max: f64, limits: Option<&ResourceLimits>, view: &View, central: &Central) -> Bounds {
    let boundary = limits.and_then(ResourceLimits::boundary).unwrap_or_else(|| {
        let (value, kind) = central.config.profile.boundary();
        Boundary { value, kind }
    });
    // A percentage is of the group's max, not of what is left of it.
    let boundary = match boundary.kind {
        BoundaryType::PercentageOfMax => Boundary::absolute(boundary.margin(max, view.current)),
        _ => boundary,
    };
    Bounds {
        min: (amounts.min.unwrap_or(0.0) - view.unseen).max(0.0),
        max: (max - view.unseen).max(view.current),
        boundary,
        weight: amounts.weight.unwrap_or(1.0),
    }
}

/// No other request has it, of whichever central.
fn new_id(group: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{group}#{:.0}.{}", wall() * 1e6, NEXT.fetch_add(1, Ordering::Relaxed))
}
