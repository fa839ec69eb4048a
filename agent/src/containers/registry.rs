//! The containers that are there now: gives each a name of its own on the host, and tells of comings and goings.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::engines::Recognised;
use super::identity::Identity;
use super::{APPLICATION, Container, Discovered, naming};
use crate::cgroup::CgroupPath;

/// The containers that were told of and are not gone.
#[derive(Debug)]
pub(super) struct Registry {
    out: Sender<Discovered>,
    /// Name to cgroup id.
    names: HashMap<String, u64>,
    told: u64,
    closed: bool,
}

/// A container that was told of.
#[derive(Debug)]
pub(super) struct Known {
    /// The name that it would have, if that were free.
    wanted: String,
    /// As it was told of last.
    pub(super) container: Arc<Container>,
}

impl Registry {
    /// Tells `out`.
    pub(super) fn new(out: Sender<Discovered>) -> Self {
        Self { out, names: HashMap::new(), told: 0, closed: false }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// How many comings and goings were told; only grows.
    pub(super) fn told(&self) -> u64 {
        self.told
    }

    /// Whether nobody listens any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// A container appeared, of which its engine says this.
    pub(super) fn add(&mut self, found: &Recognised, identity: Identity, path: &CgroupPath, cgroup_id: u64) -> Known {
        let wanted = naming::name(found, &identity);
        let name = self.take_name(&wanted, path, cgroup_id);
        let container = Arc::new(described(found, identity, name, path, cgroup_id));
        self.tell(Discovered::Appeared(Arc::clone(&container)));
        Known { wanted, container }
    }

    /// Its engine says this of it now. One that has been renamed gets a new name; one that was not keeps what it has, also where a better
    /// one has become free.
    pub(super) fn refresh(&mut self, known: &mut Known, found: &Recognised, identity: Identity) {
        let wanted = naming::name(found, &identity);
        let old = &known.container;
        let name = if wanted == known.wanted {
            old.name.clone()
        } else {
            self.names.remove(&old.name);
            self.take_name(&wanted, &old.path, old.cgroup_id)
        };
        let now = described(found, identity, name, &old.path, old.cgroup_id);
        if now != **old {
            if now.name != old.name {
                tracing::info!(path = %now.path, was = old.name, is = now.name, "a container was renamed");
            }
            *known = Known { wanted, container: Arc::new(now) };
            self.tell(Discovered::Changed(Arc::clone(&known.container)));
        }
    }

    /// It is gone.
    pub(super) fn remove(&mut self, container: &Container) {
        self.names.remove(&container.name);
        self.tell(Discovered::Gone { cgroup_id: container.cgroup_id });
    }

    fn take_name(&mut self, wanted: &str, path: &CgroupPath, cgroup_id: u64) -> String {
        let name = self.free_name(wanted, path, cgroup_id);
        if name != wanted {
            tracing::warn!(%path, wanted, name, "the name is taken by another container: this one is called by its place too");
        }
        self.names.insert(name.clone(), cgroup_id);
        name
    }

    /// `wanted`, or where somebody has that name, with the place behind it: `web@batch.jobs`.
    fn free_name(&self, wanted: &str, path: &CgroupPath, cgroup_id: u64) -> String {
        if !self.names.contains_key(wanted) {
            return wanted.to_owned();
        }
        let place = path.as_str().rsplit_once('/').map_or("root".to_owned(), |(parent, _)| parent.replace('/', "."));
        let placed = format!("{wanted}@{place}");
        if self.names.contains_key(&placed) { format!("{placed}#{cgroup_id}") } else { placed }
    }

    fn tell(&mut self, what: Discovered) {
        self.told += 1;
        self.closed |= self.out.send(what).is_err();
    }
}

fn described(found: &Recognised, identity: Identity, name: String, path: &CgroupPath, cgroup_id: u64) -> Container {
    let Identity { engine, labels, trouble, .. } = identity;
    Container {
        name,
        engine: engine.unwrap_or(found.engine),
        engine_id: naming::engine_id(found),
        path: path.clone(),
        cgroup_id,
        application: labels.get(APPLICATION).filter(|name| !name.is_empty()).cloned(),
        labels,
        trouble: trouble.map(|why| format!("called by its id: {why}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::Engine;
    use crate::containers::engines::Label;

    #[test]
    fn each_name_is_one_containers_and_free_again_when_it_is_gone() {
        let (out, told) = crossbeam_channel::unbounded();
        let mut registry = Registry::new(out);
        let web = Recognised { engine: Engine::Custom, within: Vec::new(), own: Label::Name("web".into()) };
        let add = |registry: &mut Registry, path: &str, id| {
            registry.add(&web, Identity::default(), &CgroupPath::new(path).unwrap(), id).container
        };

        let first = add(&mut registry, "a/web", 1);
        assert_eq!(first.name, "web");
        assert_eq!(add(&mut registry, "batch/jobs/web", 2).name, "web@batch.jobs");
        assert_eq!(add(&mut registry, "web", 3).name, "web@root");
        assert_eq!(add(&mut registry, "batch/jobs/web", 4).name, "web@batch.jobs#4");
        assert_eq!((registry.len(), registry.told()), (4, 4));

        registry.remove(&first);
        assert_eq!(add(&mut registry, "a/web", 5).name, "web");
        assert_eq!(told.try_iter().count(), 6);
        assert!(!registry.is_closed());
        drop(told);
        registry.remove(&first);
        assert!(registry.is_closed());
    }

    #[test]
    fn a_renamed_container_is_told_of_anew_and_its_old_name_is_free() {
        let (out, told) = crossbeam_channel::unbounded();
        let mut registry = Registry::new(out);
        let id = "0123456789abcdef".repeat(4);
        let own = Label::Id { engine: Engine::Docker, id };
        let found = Recognised { engine: Engine::Docker, within: Vec::new(), own };
        let called = |name: &str| Identity { name: Some(name.to_owned()), ..Identity::default() };
        let path = |at: &str| CgroupPath::new(at).unwrap();

        let mut first = registry.add(&found, called("web"), &path("docker/1"), 1);
        let mut second = registry.add(&found, called("web"), &path("docker/2"), 2);
        assert_eq!(second.container.name, "web@docker");
        registry.refresh(&mut first, &found, called("web"));
        assert_eq!(registry.told(), 2, "nothing changed");

        registry.refresh(&mut first, &found, called("shop"));
        registry.refresh(&mut second, &found, called("web"));
        assert_eq!((first.container.name.as_str(), second.container.name.as_str()), ("shop", "web@docker"));
        let third = registry.add(&found, called("web"), &path("docker/3"), 3);
        assert_eq!(third.container.name, "web");

        let labels = [(APPLICATION.to_owned(), "app1".to_owned())].into();
        registry.refresh(&mut first, &found, Identity { labels, ..called("shop") });
        assert_eq!(first.container.application.as_deref(), Some("app1"));
        registry.refresh(&mut first, &found, Identity { trouble: Some("no file".to_owned()), ..Identity::default() });
        assert_eq!(first.container.name, "0123456789ab");
        assert_eq!(first.container.trouble.as_deref(), Some("called by its id: no file"));
        let changed: Vec<_> = told
            .try_iter()
            .filter_map(|news| match news {
                Discovered::Changed(container) => Some((container.cgroup_id, container.name.clone())),
                _ => None,
            })
            .collect();
        let of_first = |name: &str| (1, name.to_owned());
        assert_eq!(changed, [of_first("shop"), of_first("shop"), of_first("0123456789ab")]);
        assert_eq!(registry.len(), 3);
    }
}
