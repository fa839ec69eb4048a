//! Containers that join a group: their agents give them a first limit, which the group has to have.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headroom_model::documents::structure::{Application, Container};
use headroom_model::policy::group;
use headroom_model::resource::Resource;
use serde_json::Value;

use super::group::Group;
use super::view::{Holds, holds};
use crate::central::Central;
use crate::store::Database;

/// An agent that does not guard a container after so long may never do so: what was kept for it is given to others, but for its floor.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is kept for each, by container and resource.
#[derive(Debug, Default)]
pub(super) struct Entering(HashMap<(Arc<str>, Resource), Kept>);

#[derive(Clone, Copy, Debug)]
struct Kept {
    amount: f64,
    floor: f64,
    since: Instant,
}

impl Kept {
    fn now(self) -> f64 {
        if self.since.elapsed() > PATIENCE { self.floor } else { self.amount }
    }
}

impl Entering {
    /// What is kept for a container.
    pub(super) fn reserved(&self, container: &str, resource: Resource) -> Option<f64> {
        self.0.get(&(container.into(), resource)).map(|kept| kept.now())
    }

    /// Bounds what its agent may give it at first.
    pub(super) fn bound(&mut self, central: &Central, groups: &BTreeMap<Arc<str>, Group>, container: &mut Container) {
        let Some(name) = central.groups.of(&container.name).application else { return };
        let Some(application) = application(central, &name).filter(|application| application.guard) else { return };
        for resource in Resource::ALL {
            let most = application.resources.known[resource].as_ref().filter(|of| of.guard).and_then(|of| of.max);
            let (Some(most), Some(amounts)) = (most, &mut container.resources.known[resource]) else { continue };
            let Holds::Entering { limit, .. } = holds(central, &container.name, resource).0 else { continue };
            let (Some(max), min) = (amounts.max, amounts.min.unwrap_or(0.0)) else { continue };
            let key = (Arc::from(container.name.as_str()), resource);
            let kept = self.0.get(&key).copied();
            let kept = kept.unwrap_or_else(|| {
                let (left, others) = self.left(central, groups, &name, &container.name, resource, most);
                let amount = match limit {
                    Some(limit) => group::first(min, max.min(limit), left, 0),
                    None => group::first(min, max, left, others),
                };
                Kept { amount, floor: group::floor(min).min(max), since: Instant::now() }
            });
            self.0.insert(key, kept);
            amounts.max = Some(kept.now());
        }
    }

    /// What a group has not given out without one of its containers, and how many others begin without a limit.
    fn left(
        &self,
        central: &Central,
        groups: &BTreeMap<Arc<str>, Group>,
        application: &str,
        but: &str,
        resource: Resource,
        max: f64,
    ) -> (f64, usize) {
        let (mut left, mut others) = (max, 0);
        for name in central.groups.members(application).iter().filter(|name| ***name != *but) {
            let asked = groups.get(application).and_then(|group| group.asked_of(name, resource)).unwrap_or(0.0);
            left -= match holds(central, name, resource).0 {
                Holds::Guarded { current: held, .. }
                | Holds::Fixed { current: held, .. }
                | Holds::Unseen { at_most: held, .. } => held + asked,
                Holds::Entering { limit, .. } => {
                    let kept = self.reserved(name, resource);
                    others += usize::from(kept.is_none() && limit.is_none());
                    kept.unwrap_or(0.0).max(limit.unwrap_or(0.0))
                }
                Holds::Nothing => 0.0,
            };
        }
        (left, others)
    }

    /// Those that their agents guard by now have their own bounds again.
    pub(super) fn let_go(&mut self, central: &Central) {
        self.0.retain(|(name, resource), kept| {
            let holds = holds(central, name, *resource).0;
            if let Holds::Entering { host, .. } = &holds {
                // Its order is another from the moment on when nothing but its floor is kept.
                if kept.since.elapsed() > PATIENCE && kept.since.elapsed() < PATIENCE * 2 {
                    central.fleet.touch(host);
                }
                return true;
            }
            if let Some(live) = central.fleet.live(name) {
                central.fleet.touch(&live.host);
            }
            matches!(holds, Holds::Unseen { .. })
        });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// An application's document.
pub(super) fn application(central: &Central, name: &str) -> Option<Application> {
    let body = central.documents.in_force(Database::Structures, name)?;
    serde_json::from_value(Value::Object(body)).ok()
}
