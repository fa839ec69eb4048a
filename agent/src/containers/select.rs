//! Which `[[container]]` rule of the configuration a container gets. Pure.

use std::collections::HashMap;

use globset::{Glob, GlobMatcher};

use super::{Container, Engine, Labels};
use crate::config::{ContainerRule, LabelRule, NameRule};

/// The rules and the host's vetoes, ready to be held against containers.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// The first rule that asks for a name and nothing else, by the name: central's orders have one for each container.
    named: HashMap<String, usize>,
    /// The others, in their order.
    matchers: Vec<Matcher>,
    never_guard: Vec<GlobMatcher>,
}

#[derive(Clone, Debug)]
struct Matcher {
    /// Its place among all rules.
    at: usize,
    name: Option<NameMatcher>,
    engine: Option<Engine>,
    path: Option<GlobMatcher>,
    label: Option<LabelMatcher>,
}

#[derive(Clone, Debug)]
struct LabelMatcher {
    key: String,
    value: Option<GlobMatcher>,
}

#[derive(Clone, Debug)]
enum NameMatcher {
    Is(String),
    Like(GlobMatcher),
}

/// What the configuration says of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Nothing: it is reported and never touched.
    None,
    /// `host.never_guard` names it: it is reported and never touched, whatever else says so.
    Vetoed {
        /// The glob that does.
        by: String,
    },
    /// The rule at this index of `[[container]]`: the first that selects it.
    Rule(usize),
}

impl Selector {
    /// Prepares `rules`, in their order, and `never_guard`.
    pub fn new<'a>(rules: impl IntoIterator<Item = &'a ContainerRule>, never_guard: &[Glob]) -> Self {
        let mut selector = Self { never_guard: never_guard.iter().map(Glob::compile_matcher).collect(), ..Self::default() };
        for (at, rule) in rules.into_iter().enumerate() {
            match rule {
                ContainerRule { name: Some(NameRule::Is(name)), engine: None, path: None, label: None, .. } => {
                    selector.named.entry(name.clone()).or_insert(at);
                }
                ContainerRule { name: None, engine: None, path: None, label: None, .. } => {}
                ContainerRule { name, engine, path, label, .. } => {
                    let name = name.as_ref().map(NameMatcher::new);
                    let path = path.as_ref().map(Glob::compile_matcher);
                    let label = label.as_ref().map(LabelMatcher::new);
                    selector.matchers.push(Matcher { at, name, engine: *engine, path, label });
                }
            }
        }
        selector
    }

    /// What `container` gets.
    ///
    /// A rule selects by all that it names of name, engine, path (without leading slash) and label; one that names nothing
    /// selects nothing: whoever means every container writes `name = "*"`. Names are those that engines give, also of a container that is
    /// called by its place too, since another has its name: so are those of `never_guard`. Only a rule that asks for a name and nothing else
    /// means the one container that is called so here, as central's orders do.
    pub fn select(&self, container: &Container) -> Selection {
        let is_vetoed = |glob: &&GlobMatcher| container.names().iter().any(|name| glob.is_match(name));
        if let Some(veto) = self.never_guard.iter().find(is_vetoed) {
            return Selection::Vetoed { by: veto.glob().glob().to_owned() };
        }
        let named = self.named.get(&container.name).copied();
        let before = self.matchers.iter().take_while(|rule| named.is_none_or(|named| rule.at < named));
        let matched = before.into_iter().find(|rule| rule.selects(container)).map(|rule| rule.at);
        matched.or(named).map_or(Selection::None, Selection::Rule)
    }
}

impl Matcher {
    fn selects(&self, container: &Container) -> bool {
        let is_called = |rule: &NameMatcher| container.names().iter().any(|name| rule.is_match(name));
        self.name.as_ref().is_none_or(is_called)
            && self.engine.is_none_or(|engine| engine == container.engine)
            && self.path.as_ref().is_none_or(|glob| glob.is_match(container.path.as_str()))
            && self.label.as_ref().is_none_or(|label| label.is_match(&container.labels))
    }
}

impl LabelMatcher {
    fn new(LabelRule { key, value }: &LabelRule) -> Self {
        Self { key: key.clone(), value: value.as_ref().map(Glob::compile_matcher) }
    }

    fn is_match(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value.is_match(found)))
    }
}

impl NameMatcher {
    fn new(name: &NameRule) -> Self {
        match name {
            NameRule::Is(name) => Self::Is(name.clone()),
            NameRule::Like(glob) => Self::Like(glob.compile_matcher()),
        }
    }

    fn is_match(&self, name: &str) -> bool {
        match self {
            Self::Is(is) => is == name,
            Self::Like(glob) => glob.is_match(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use headroom_model::resource::PerResource;

    use super::*;
    use crate::cgroup::CgroupPath;
    use crate::status::GuardMode;

    fn glob(text: &str) -> Option<Glob> {
        (!text.is_empty()).then(|| Glob::new(text).unwrap())
    }

    fn rule(name: &str, engine: Option<Engine>, path: &str) -> ContainerRule {
        let resources = PerResource::from_fn(|_| None);
        let name = match name {
            "" => None,
            name if name.contains('*') => glob(name).map(NameRule::Like),
            name => Some(NameRule::Is(name.to_owned())),
        };
        let (path, problems) = (glob(path), Vec::new());
        ContainerRule { origin: String::new(), name, engine, path, label: None, guard: GuardMode::On, resources, problems }
    }

    fn container(name: &str, engine: Engine, path: &str) -> Container {
        let path = CgroupPath::new(path).unwrap();
        let (application, labels, trouble) = (None, Labels::new(), None);
        let name: String = name.into();
        let called = name.split('@').next().unwrap().to_owned();
        Container { name, called, engine, engine_id: None, path, cgroup_id: 1, application, labels, trouble }
    }

    #[test]
    fn a_label_selects_by_key_and_by_value() {
        let by = |key: &str, value: &str| {
            let label = Some(LabelRule { key: key.into(), value: glob(value) });
            ContainerRule { label, ..rule("", None, "") }
        };
        let selector = Selector::new(&[by("tier", "front*"), by("shop", ""), by("tier", "b")], &[]);
        let table: [(&[(&str, &str)], _); 5] = [
            (&[("tier", "front1")], Selection::Rule(0)),
            (&[("tier", "b")], Selection::Rule(2)),
            (&[("tier", "x"), ("shop", "")], Selection::Rule(1)),
            (&[("tier", "back")], Selection::None),
            (&[], Selection::None),
        ];
        for (labels, expected) in table {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let container = Container { labels, ..container("web", Engine::Docker, "docker/1") };
            assert_eq!(selector.select(&container), expected, "{container:?}");
        }
        let named = [ContainerRule { label: by("tier", "").label, ..rule("web", None, "") }];
        assert_eq!(Selector::new(&named, &[]).select(&container("web", Engine::Docker, "docker/1")), Selection::None);
    }

    #[test]
    fn the_first_rule_that_selects_is_the_one() {
        let rules = [
            rule("db-*", Some(Engine::Lxc), ""),
            rule("", None, "machine.slice/*"),
            rule("", Some(Engine::Docker), ""),
            rule("db-1", None, ""),
        ];
        let selector = Selector::new(&rules, &[]);
        let table = [
            (container("db-1", Engine::Lxc, "lxc.payload.db-1"), Selection::Rule(0)),
            (container("db-1", Engine::Custom, "x/db-1"), Selection::Rule(3)),
            (container("0123", Engine::Podman, "machine.slice/libpod-0123.scope"), Selection::Rule(1)),
            (container("0123", Engine::Docker, "docker/0123"), Selection::Rule(2)),
            (container("web", Engine::Lxc, "lxc.payload.web"), Selection::None),
        ];
        for (container, expected) in table {
            assert_eq!(selector.select(&container), expected, "{container:?}");
        }
    }

    #[test]
    fn a_name_written_out_goes_by_its_place_among_globs() {
        let cgroup = |name| container(name, Engine::Lxc, "lxc.payload.x");
        let table: [(&[&str], _); 4] = [
            (&["*", "web"], Selection::Rule(0)),
            (&["web", "*", "web"], Selection::Rule(0)),
            (&["db-*", "web", "w*"], Selection::Rule(1)),
            (&["db", "api"], Selection::None),
        ];
        for (names, expected) in table {
            let rules: Vec<_> = names.iter().map(|name| rule(name, None, "")).collect();
            assert_eq!(Selector::new(&rules, &[]).select(&cgroup("web")), expected, "{names:?}");
        }
        let in_docker = [rule("web", Some(Engine::Docker), ""), rule("web", None, "lxc.*")];
        assert_eq!(Selector::new(&in_docker, &[]).select(&cgroup("web")), Selection::Rule(1));
    }

    #[test]
    fn never_guard_goes_before_every_rule() {
        let selector = Selector::new(&[rule("*", None, "")], &[Glob::new("db-*").unwrap()]);
        let vetoed = Selection::Vetoed { by: "db-*".into() };
        assert_eq!(selector.select(&container("db-1", Engine::Lxc, "lxc.payload.db-1")), vetoed);
        assert_eq!(selector.select(&container("web", Engine::Lxc, "lxc.payload.web")), Selection::Rule(0));
    }

    /// What another container is called is nothing that could guard one, or keep it from that.
    #[test]
    fn a_container_has_the_name_that_its_engine_gives_it_also_where_it_is_called_by_its_place() {
        let placed = container("db@docker", Engine::Docker, "docker/1");
        let rules = [rule("other", None, ""), rule("*b", Some(Engine::Docker), "")];
        assert_eq!(Selector::new(&rules, &[]).select(&placed), Selection::Rule(1));
        let vetoed = Selection::Vetoed { by: "db".into() };
        assert_eq!(Selector::new(&rules, &[Glob::new("db").unwrap()]).select(&placed), vetoed);
        // One of central's is about the one that is called so here.
        assert_eq!(Selector::new(&[rule("db", None, "")], &[]).select(&placed), Selection::None);
        assert_eq!(Selector::new(&[rule("db@docker", None, "")], &[]).select(&placed), Selection::Rule(0));
    }

    #[test]
    fn a_rule_that_names_nothing_selects_nothing() {
        let container = container("web", Engine::Lxc, "lxc.payload.web");
        assert_eq!(Selector::new(&[rule("", None, "")], &[]).select(&container), Selection::None);
        assert_eq!(Selector::new(&[], &[]).select(&container), Selection::None);
    }
}
