//! Which `[[container]]` a container gets.

use globset::{Glob, GlobMatcher};

use super::{Config, ContainerRule, Scaler};
use crate::containers::{Container, Engine};
use crate::status::GuardMode;

/// The selecting part of a config, its globs compiled.
#[derive(Clone, Debug)]
pub struct Selector {
    vetoes: Vec<GlobMatcher>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    name: Option<GlobMatcher>,
    engine: Option<Engine>,
    path: Option<GlobMatcher>,
    guard: GuardMode,
    origin: String,
}

/// What the config wants for one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Whether to guard it.
    pub guard: GuardMode,
    /// Its place in [`Config::containers`]; `None` where no table selects it.
    pub rule: Option<usize>,
    /// Why, for people.
    pub reason: String,
}

impl Config {
    /// Compiles what [`Selector::select`] needs.
    pub fn selector(&self) -> Selector {
        Selector {
            vetoes: self.host.never_guard.iter().map(Glob::compile_matcher).collect(),
            rules: self.containers.iter().map(Rule::of).collect(),
        }
    }
}

impl Selector {
    /// The first table that selects `container` is the one; the host's veto holds whatever that says.
    pub fn select(&self, container: &Container) -> Selection {
        let found = self.rules.iter().enumerate().find(|(_, rule)| rule.selects(container));
        let rule = found.map(|(place, _)| place);
        if let Some(veto) = self.vetoes.iter().find(|veto| veto.is_match(&container.name)) {
            return Selection { guard: GuardMode::Off, rule, reason: format!("host.never_guard has {:?}", veto.glob().glob()) };
        }
        match found {
            Some((_, found)) => Selection { guard: found.guard, rule, reason: format!("[[container]] in {}", found.origin) },
            None => Selection { guard: GuardMode::Off, rule, reason: "no [[container]] selects it".to_owned() },
        }
    }
}

impl Rule {
    fn of(rule: &ContainerRule) -> Self {
        Self {
            name: rule.name.as_ref().map(Glob::compile_matcher),
            engine: rule.engine,
            path: rule.path.as_ref().map(Glob::compile_matcher),
            guard: rule.guard,
            origin: rule.origin.clone(),
        }
    }

    /// Everything that is given has to match.
    fn selects(&self, container: &Container) -> bool {
        self.name.as_ref().is_none_or(|name| name.is_match(&container.name))
            && self.engine.is_none_or(|engine| engine == container.engine)
            && self.path.as_ref().is_none_or(|path| path.is_match(container.path.as_str()))
    }
}

impl Scaler {
    /// The least CPU limit that the kernel takes with this period, in shares: a quota of 1 ms.
    pub fn least_cpu(&self) -> f64 {
        100.0 * 0.001 / self.period.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::CgroupPath;

    fn container(name: &str, engine: Engine, path: &str) -> Container {
        let path = CgroupPath::new(path).unwrap();
        Container { name: name.to_owned(), engine, engine_id: None, path, cgroup_id: 1 }
    }

    #[test]
    fn the_first_that_matches_in_all_it_says_and_the_hosts_veto() {
        let text = r#"
[host]
never_guard = ["db-*"]
[[container]]
name = "web-*"
engine = "lxc"
guard = true
cpu = { min = 10, max = 100 }
[[container]]
path = "docker/*"
guard = "advise"
cpu = { min = 10, max = 100 }
[[container]]
name = "*"
"#;
        let selector = Config::parse(text, "a.toml").unwrap().selector();
        let select = |name, engine, path| selector.select(&container(name, engine, path));
        let selection = |guard, rule, reason: &str| Selection { guard, rule, reason: reason.to_owned() };
        let web = select("web-1", Engine::Lxc, "lxc.payload.web-1");
        assert_eq!(web, selection(GuardMode::On, Some(0), "[[container]] in a.toml:4"));
        let docker = select("web-1", Engine::Docker, "docker/0123");
        assert_eq!(docker, selection(GuardMode::Advise, Some(1), "[[container]] in a.toml:9"));
        assert_eq!(select("x", Engine::Lxc, "x"), selection(GuardMode::Off, Some(2), "[[container]] in a.toml:13"));
        let database = select("db-1", Engine::Docker, "docker/4567");
        assert_eq!(database, selection(GuardMode::Off, Some(1), "host.never_guard has \"db-*\""));
        let nothing = Config::parse("", "a.toml").unwrap().selector().select(&container("x", Engine::Lxc, "x"));
        assert_eq!(nothing, selection(GuardMode::Off, None, "no [[container]] selects it"));
    }

    #[test]
    fn a_millisecond_of_quota_is_the_least() {
        let least = |period: &str| Config::parse(&format!("scaler.period = \"{period}\""), "a.toml").unwrap().scaler.least_cpu();
        assert!((least("100ms") - 1.0).abs() < 1e-9 && (least("20ms") - 5.0).abs() < 1e-9);
    }
}
