//! One resource of a group, as it is now.

use std::sync::Arc;

use headroom_model::documents::structure::{Amounts, Container};
use headroom_model::limit::Limit;
use headroom_model::policy::group::Member;
use headroom_model::resource::Resource;
use headroom_model::wire::GuardState;
use serde_json::Value;

use super::entering::Entering;
use super::group::Group;
use crate::central::Central;
use crate::store::Database;

/// What a container has of a resource.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Holds {
    /// Its limit can be moved. What its host has free.
    Guarded { host: Arc<str>, current: f64, usage: Option<f64> },
    /// A limit that is not ours to move.
    Fixed { current: f64, usage: Option<f64> },
    /// Its agent does not guard it yet. Its limit now, if it has one.
    Entering { host: Arc<str>, limit: Option<f64> },
    /// On a host that cannot be looked at: what is known of it, and what it has at most.
    Unseen { known: f64, at_most: f64 },
    /// Nothing that counts.
    Nothing,
}

/// What a container has of a resource, and its bounds.
pub(super) fn holds(central: &Central, container: &str, resource: Resource) -> (Holds, Amounts) {
    let Some(document) = document(central, container) else { return (Holds::Nothing, Amounts::default()) };
    let amounts = document.resources.known[resource].clone().unwrap_or_default();
    let is_wanted = document.guard && amounts.guard && amounts.max.is_some();
    let Some(live) = central.fleet.live(container) else {
        // Of a host that reports and does not have it, it is gone; else nobody knows what it has.
        let is_gone = central.fleet.host(&document.host).is_some_and(|host| host.quiet_since.is_none());
        let known = amounts.current.unwrap_or(0.0);
        let holds = match amounts.max.filter(|_| is_wanted && !is_gone) {
            Some(max) => Holds::Unseen { known, at_most: max.max(known) },
            None => Holds::Nothing,
        };
        return (holds, amounts);
    };
    let Some(report) = &live.resources[resource] else { return (Holds::Nothing, amounts) };
    let is_guarded = live.guard == GuardState::On && report.guard;
    let limit = match report.current {
        Limit::At(limit) => Some(limit),
        Limit::Unlimited => None,
    };
    let holds = match limit {
        _ if live.quiet_since.is_some() => match limit.or(amounts.max.filter(|_| is_wanted)) {
            Some(limit) => Holds::Unseen { known: limit, at_most: limit },
            None => Holds::Nothing,
        },
        Some(current) if is_guarded => Holds::Guarded { host: live.host, current, usage: report.usage },
        limit if is_wanted && !is_guarded => Holds::Entering { host: live.host, limit },
        Some(current) => Holds::Fixed { current, usage: report.usage },
        None => Holds::Nothing,
    };
    (holds, amounts)
}

fn document(central: &Central, container: &str) -> Option<Container> {
    let body = central.documents.in_force(Database::Structures, container)?;
    serde_json::from_value(Value::Object(body)).ok()
}

/// One resource of a group.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Who can be asked: name, host, numbers.
    pub(super) members: Vec<(Arc<str>, Arc<str>, Member)>,
    /// The hosts of the members, and what each has free.
    hosts: Vec<Arc<str>>,
    pub(super) free: Vec<f64>,
    /// What those have that can be seen, with what they were asked to take more.
    pub(super) current: f64,
    /// What they use; `None` where any one's is not known.
    pub(super) usage: Option<f64>,
    /// What the others are known to have, and what they may have.
    pub(super) known: f64,
    pub(super) unseen: f64,
    /// When the host that reported least of late has: seconds since the epoch.
    pub(super) heard: f64,
}

impl View {
    pub(super) fn of(central: &Central, entering: &Entering, group: &Group, containers: &[Arc<str>], resource: Resource) -> Self {
        let mut view = Self { usage: Some(0.0), heard: f64::INFINITY, ..Self::default() };
        for name in containers {
            let (holds, amounts) = holds(central, name, resource);
            let asked = group.asked_of(name, resource);
            match holds {
                Holds::Guarded { host, current, usage } => {
                    let (at, heard) = view.host(central, &host, resource);
                    let current = group.stands(name, resource, current, heard);
                    view.see(current + asked.unwrap_or(0.0), usage);
                    if asked.is_none() {
                        let (min, max) = (amounts.min.unwrap_or(0.0), amounts.max.unwrap_or(current));
                        view.members.push((Arc::clone(name), host, Member { current, usage, min, max, host: at }));
                    }
                }
                Holds::Fixed { current, usage } => view.see(current, usage),
                Holds::Entering { limit, .. } => {
                    let kept = entering.reserved(name, resource).unwrap_or(0.0).max(limit.unwrap_or(0.0));
                    (view.known, view.unseen) = (view.known + kept, view.unseen + kept);
                }
                Holds::Unseen { known, at_most } => {
                    let stands = group.stands(name, resource, known, f64::NEG_INFINITY) + asked.unwrap_or(0.0);
                    (view.known, view.unseen) = (view.known + stands, view.unseen + stands.max(at_most));
                }
                Holds::Nothing => {}
            }
        }
        view
    }

    fn see(&mut self, current: f64, usage: Option<f64>) {
        self.current += current;
        self.usage = self.usage.zip(usage).map(|(sum, usage)| sum + usage);
    }

    /// Its place among the hosts, and when it reported last.
    fn host(&mut self, central: &Central, name: &Arc<str>, resource: Resource) -> (usize, f64) {
        let host = central.fleet.host(name);
        let heard = host.as_ref().map_or(0.0, |host| host.last_report);
        if let Some(at) = self.hosts.iter().position(|host| host == name) {
            return (at, heard);
        }
        let free = host.as_ref().and_then(|host| host.status.resources.known[resource].as_ref()?.free);
        self.heard = self.heard.min(heard);
        self.hosts.push(Arc::clone(name));
        self.free.push(free.unwrap_or(f64::INFINITY));
        (self.hosts.len() - 1, heard)
    }
}
