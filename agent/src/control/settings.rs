//! What the control loop goes by: a host's own settings, or central's orders laid over them.

use std::sync::Arc;

use headroom_model::policy::rules::RuleSet;

use crate::config::{Config, ContainerRule};
use crate::containers::Container;
use crate::containers::select::{Selection, Selector};
use crate::status::GuardMode;

/// The settings and the rules that they name, read together: they are changed together.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `agent.toml`.
    pub config: Config,
    /// Its rules, or its profile's.
    pub rules: Arc<RuleSet>,
    /// Its `[[container]]` tables, prepared by whoever reads them: that takes longer than the control loop may be kept.
    pub selector: Arc<Selector>,
    /// Where somebody else's orders are laid over a host's own settings: what these only advise is not written.
    pub own: Option<Arc<Own>>,
}

impl Settings {
    /// Prepares what is held against containers.
    pub fn new(config: Config, rules: RuleSet) -> Self {
        let selector = Selector::new(config.containers.iter().map(Arc::as_ref), &config.host.never_guard);
        Self { config, rules: Arc::new(rules), selector: Arc::new(selector), own: None }
    }

    /// The same over a host's own settings, whose advice holds.
    #[must_use]
    pub fn over(mut self, own: &Self) -> Self {
        let advises = own.config.containers.iter().any(|rule| rule.guard == GuardMode::Advise);
        self.own = advises.then(|| {
            let (containers, selector) = (own.config.containers.clone(), Arc::clone(&own.selector));
            Arc::new(Own { containers, selector })
        });
        self
    }
}

/// A host's own `[[container]]` tables.
#[derive(Clone, Debug)]
pub struct Own {
    containers: Vec<Arc<ContainerRule>>,
    selector: Arc<Selector>,
}

impl Own {
    /// A rule as far as the host lets it go: one that guards a container which the host only advises is advice, too.
    pub(super) fn bound(&self, rule: &Arc<ContainerRule>, container: &Container) -> Arc<ContainerRule> {
        let own = match self.selector.select(container) {
            Selection::Rule(at) if rule.guard == GuardMode::On => self.containers.get(at),
            _ => None,
        };
        match own.filter(|own| own.guard == GuardMode::Advise) {
            Some(own) => {
                let origin = format!("{}, only advised by {}", rule.origin, own.origin);
                Arc::new(ContainerRule { origin, guard: GuardMode::Advise, ..ContainerRule::clone(rule) })
            }
            None => Arc::clone(rule),
        }
    }
}

#[cfg(test)]
mod tests {
    use headroom_model::profile::Profile;

    use super::*;
    use crate::cgroup::CgroupPath;
    use crate::containers::{Engine, Labels};

    fn settings(text: &str) -> Settings {
        Settings::new(Config::parse(text, "agent.toml").unwrap(), RuleSet::compile(&Profile::Classic.rules()))
    }

    fn container(name: &str) -> Container {
        let path = CgroupPath::new(&format!("lxc.payload.{name}")).unwrap();
        let (application, labels, trouble) = (None, Labels::default(), None);
        Container {
            name: name.to_owned(),
            called: name.to_owned(),
            engine: Engine::Lxc,
            engine_id: None,
            path,
            cgroup_id: 1,
            application,
            labels,
            trouble,
        }
    }

    #[test]
    fn what_a_host_advises_is_not_written_whoever_asks() {
        let own = settings(
            "[[container]]\nname = \"web-db\"\nguard = true\ncpu = { min = 1, max = 50 }\n\
             [[container]]\npath = \"lxc.payload.web*\"\nguard = \"advise\"\ncpu = { min = 10, max = 100 }",
        );
        let orders = settings("[[container]]\nname = \"*\"\nguard = true\ncpu = { min = 50, max = 200 }").over(&own);
        let rule = &orders.config.containers[0];
        let own = orders.own.as_deref().unwrap();
        let advised = own.bound(rule, &container("web0"));
        assert_eq!((advised.guard, &advised.resources), (GuardMode::Advise, &rule.resources));
        assert_eq!(advised.origin, "[[container]] in agent.toml:1, only advised by [[container]] in agent.toml:5");
        // Its own first rule guards one, and no rule of its own selects the other.
        for name in ["web-db", "cont0"] {
            assert_eq!(own.bound(rule, &container(name)).guard, GuardMode::On, "{name}");
        }
        let off = Arc::new(ContainerRule { guard: GuardMode::Off, ..ContainerRule::clone(rule) });
        assert_eq!(own.bound(&off, &container("web0")).guard, GuardMode::Off);
    }

    #[test]
    fn a_host_that_advises_nothing_bounds_nothing() {
        let own = settings("[[container]]\nname = \"*\"\nguard = true\ncpu = { min = 10, max = 100 }");
        assert!(settings("").over(&own).own.is_none());
    }
}
