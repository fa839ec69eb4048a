//! The Guardian of groups: with `STRUCTURE_GUARDED` `application` each application is judged as one, by its totals and the same policy that agents
//! judge containers by. What comes of it is split over its containers on whatever hosts these are, and carried out by the agents'
//! Scalers.
//!
//! Never more in sum than the application's `max`: what a host may still hold that nobody can look at counts as held, and so does
//! what was asked for and not answered.

mod entering;
mod group;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headroom_model::documents::structure::Container;
use headroom_model::policy::guardian::{Guardian, Judgement};
use headroom_model::policy::rules::RuleSet;
use headroom_model::resource::Resource;
use headroom_model::settings::{self, Service};
use headroom_model::wire::RequestDone;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant as At, timeout_at};

use crate::central::Central;
use entering::Entering;
use group::Group;

/// A central that begins to judge a group has to know what the one before it may have asked for: agents do at once what they are asked, and report it.
const SETTLE: Duration = Duration::from_secs(6);

/// How often it is looked whether groups are to be judged.
const IDLE: Duration = Duration::from_millis(500);

/// What is known of the groups.
#[derive(Debug, Default)]
pub struct Judge(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<Arc<str>, Group>,
    entering: Entering,
}

/// What judges, and what it says.
struct Tools {
    guardian: Guardian,
    judgement: Judgement,
    guardable: Vec<Resource>,
    /// Where answers to requests go.
    told: mpsc::UnboundedSender<RequestDone>,
}

/// The lease of the central that judges groups.
const LEASE: &str = "guardian";

impl Judge {
    /// Bounds a container that joins a group by its part of what the group may hold, until its agent guards it.
    pub(crate) fn bound(&self, central: &Central, container: &mut Container) {
        let State { groups, entering } = &mut *self.0.lock();
        entering.bound(central, groups, container);
    }
}

/// For ever.
pub async fn run(central: Central) {
    let (told, mut answers) = mpsc::unbounded_channel();
    let mut rules = Vec::new();
    let guardian = Guardian::new(Arc::new(RuleSet::compile(&[])), 0.0, false);
    let mut tools = Tools { guardian, judgement: Judgement::default(), guardable: Vec::new(), told };
    let began = Instant::now();
    let mut next = At::now();
    loop {
        while let Ok(Some(done)) = timeout_at(next, answers.recv()).await {
            answered(&central, &tools, &done);
        }
        let config = central.setting(Service::Guardian);
        let settings = read(&config);
        let judges = |settings: &settings::Guardian| settings.guards == settings::Guards::Applications;
        let Some(settings) = settings.filter(|of| judges(of) && central.leases.held(LEASE).is_some()) else {
            forget(&central);
            next = At::now() + IDLE;
            continue;
        };
        next = At::now() + Duration::from_secs_f64(settings.window.clamp(0.01, 3600.0));
        if !settings.active {
            continue;
        }
        if rules != central.common.rules() {
            rules = central.common.rules();
            tools.guardian.set_rules(Arc::new(RuleSet::compile(&rules)));
        }
        (tools.guardian.event_timeout, tools.guardian.cooldown) = (settings.event_timeout, settings.cooldown);
        tools.guardable.clone_from(&settings.guardable);
        judge(&central, &mut tools, began.elapsed().as_secs_f64());
    }
}

/// The Guardian's settings, as far as they make sense.
fn read(config: impl Fn(&str) -> serde_json::Value) -> Option<settings::Guardian> {
    let config = Service::Guardian
        .defaults()
        .into_iter()
        .map(|(key, _)| {
            let value = config(&key);
            (key, value)
        })
        .collect();
    settings::Guardian::read(&config).ok()
}

/// One window of every group.
fn judge(central: &Central, tools: &mut Tools, now: f64) {
    let State { groups, entering } = &mut *central.guardian.0.lock();
    let applications = central.groups.applications();
    groups.retain(|name, group| {
        let stays = applications.iter().any(|(application, _)| application == name);
        if !stays {
            group.forget(central);
        }
        stays
    });
    for (name, containers) in applications {
        let group = groups.entry(Arc::clone(&name)).or_insert_with(|| Group::new(&name));
        group.follow_up(central, tools, entering, &containers);
        if group.since.elapsed() >= SETTLE {
            group.judge(central, tools, entering, &containers, now);
        }
    }
    entering.let_go(central);
}

fn answered(central: &Central, tools: &Tools, done: &RequestDone) {
    let State { groups, entering } = &mut *central.guardian.0.lock();
    for (name, group) in groups {
        if group.answered(central, done) {
            let containers = central.groups.members(name);
            group.follow_up(central, tools, entering, &containers);
        }
    }
}

/// Groups are not judged: limits stay as they are.
fn forget(central: &Central) {
    let State { groups, entering } = &mut *central.guardian.0.lock();
    for group in std::mem::take(groups).values_mut() {
        group.forget(central);
    }
    entering.clear();
}
