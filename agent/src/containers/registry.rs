//! The containers that are there now: gives each a name of its own on the host, and tells of comings and goings.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::engines::Recognised;
use super::{Container, Discovered, naming};
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

    /// A container appeared.
    pub(super) fn add(&mut self, found: &Recognised, path: &CgroupPath, cgroup_id: u64) -> Arc<Container> {
        let wanted = naming::name(found);
        let name = self.free_name(&wanted, path, cgroup_id);
        if name != wanted {
            tracing::warn!(%path, wanted, name, "the name is taken by another container: this one is called by its place too");
        }
        self.names.insert(name.clone(), cgroup_id);
        let engine_id = naming::engine_id(found);
        let container = Arc::new(Container { name, engine: found.engine, engine_id, path: path.clone(), cgroup_id });
        self.tell(Discovered::Appeared(Arc::clone(&container)));
        container
    }

    /// It is gone.
    pub(super) fn remove(&mut self, container: &Container) {
        self.names.remove(&container.name);
        self.tell(Discovered::Gone { cgroup_id: container.cgroup_id });
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
        let add = |registry: &mut Registry, path: &str, id| registry.add(&web, &CgroupPath::new(path).unwrap(), id);

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
}
