//! The containers that are there now: gives each a name of its own on the host, and tells of comings and goings.

mod leftovers;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::engines::Recognised;
use super::identity::Identity;
use super::{APPLICATION, Container, Discovered, Engine, naming};
use crate::cgroup::CgroupPath;

/// The containers that were told of and are not gone.
#[derive(Debug)]
pub(super) struct Registry {
    out: Sender<Discovered>,
    /// Where the one of each name lies, as was told last.
    names: HashMap<String, CgroupPath>,
    /// Those that were there at the start have been told of. Until then nobody has a name: one that is found first is not to have it before
    /// one that is older.
    introduced: bool,
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

/// What its engine says of a container now.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    known: &'a mut Known,
    found: &'a Recognised,
    identity: Identity,
    wanted: String,
    /// Nothing runs in it, and another one that runs wants its name.
    is_left_over: bool,
    /// Once names are given out.
    name: Option<String>,
}

impl Registry {
    /// Tells `out`, from the first [`Registry::refresh`] on.
    pub(super) fn new(out: Sender<Discovered>) -> Self {
        Self { out, names: HashMap::new(), introduced: false, told: 0, closed: false }
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

    /// Where the one lies that has this name.
    pub(super) fn holder(&self, name: &str) -> Option<&CgroupPath> {
        self.names.get(name)
    }

    /// A container appeared, of which its engine says this.
    pub(super) fn add(&mut self, found: &Recognised, identity: Identity, path: &CgroupPath, cgroup_id: u64) -> Known {
        let wanted = naming::name(found, &identity);
        let mut container = described(found, identity, &wanted, wanted.clone(), path, cgroup_id);
        if self.introduced {
            let is_taken = |name: &str| self.names.contains_key(name);
            if is_taken(&wanted) {
                container.name = placed(&wanted, &container, is_taken);
                warn_of(&wanted, &container.name, path);
            }
            return Known { wanted, container: self.introduce(container) };
        }
        Known { wanted, container: Arc::new(container) }
    }

    /// The engines were asked about everyone: names are given out anew, all at once. So it does not matter in which order they were asked,
    /// and two that changed names have them the other way round. Where LXC has left a cgroup over, it matters in which something `runs`.
    pub(super) fn refresh(&mut self, mut answers: Vec<Answer<'_>>, runs: impl Fn(&CgroupPath) -> bool) {
        leftovers::mark(&mut answers, runs);
        give_names(&mut answers);
        if self.introduced {
            return self.tell_changes(answers);
        }
        self.introduced = true;
        // One that lies in another comes after it.
        answers.sort_unstable_by(|a, b| a.known.container.path.cmp(&b.known.container.path));
        for answer in answers {
            let (known, now) = answer.settle();
            known.container = self.introduce(now);
        }
    }

    /// It is gone.
    pub(super) fn remove(&mut self, container: &Container) {
        if self.introduced {
            self.names.remove(&container.name);
            self.tell(Discovered::Gone { cgroup_id: container.cgroup_id });
        }
    }

    fn introduce(&mut self, container: Container) -> Arc<Container> {
        self.names.insert(container.name.clone(), container.path.clone());
        let container = Arc::new(container);
        self.tell(Discovered::Appeared(Arc::clone(&container)));
        container
    }

    /// A name is one container's at any moment, for those who listen, too: who is to have it is told of after who had it.
    fn tell_changes(&mut self, answers: Vec<Answer<'_>>) {
        let settled = answers.into_iter().map(Answer::settle);
        let mut changes: Vec<_> = settled.filter(|(known, now)| *now != *known.container).collect();
        while !changes.is_empty() {
            let before = changes.len();
            changes.retain_mut(|(known, now)| {
                let must_wait = now.name != known.container.name && self.names.contains_key(&now.name);
                if !must_wait {
                    self.change(known, now.clone());
                }
                must_wait
            });
            if changes.len() == before {
                // Each waits for another: a circle, which opens when one of them steps aside.
                let is_taken = |name: &str| self.names.contains_key(name) || changes.iter().any(|(_, now)| now.name == name);
                let (known, now) = &changes[0];
                let name = placed(&now.name, now, is_taken);
                let aside = Container { name, ..Container::clone(&known.container) };
                self.change(changes[0].0, aside);
            }
        }
    }

    fn change(&mut self, known: &mut Known, now: Container) {
        if now.name != known.container.name {
            tracing::info!(path = %now.path, was = known.container.name, is = now.name, "a container was renamed");
            self.names.remove(&known.container.name);
            self.names.insert(now.name.clone(), now.path.clone());
        }
        known.container = Arc::new(now);
        self.tell(Discovered::Changed(Arc::clone(&known.container)));
    }

    fn tell(&mut self, what: Discovered) {
        self.told += 1;
        self.closed |= self.out.send(what).is_err();
    }
}

impl Known {
    /// Whether its engine, which says this of it now, calls it otherwise than before.
    pub(super) fn is_renamed(&self, found: &Recognised, identity: &Identity) -> bool {
        naming::name(found, identity) != self.wanted
    }

    /// Whether it may have another name any moment: its engine has not named it, or the name that LXC gives it is that of one that may turn
    /// out to be left over, which it does once something runs here.
    pub(super) fn awaits_name(&self, found: &Recognised) -> bool {
        self.container.trouble.is_some() || found.engine == Engine::Lxc && self.container.name != self.wanted
    }
}

impl<'a> Answer<'a> {
    /// About one that is `known`.
    pub(super) fn new(known: &'a mut Known, found: &'a Recognised, identity: Identity) -> Self {
        let wanted = naming::name(found, &identity);
        Self { known, found, identity, wanted, is_left_over: false, name: None }
    }

    /// Who it is about, and as it is now.
    fn settle(self) -> (&'a mut Known, Container) {
        let Self { known, found, identity, wanted, name, .. } = self;
        let old = &known.container;
        let name = name.unwrap_or_else(|| old.name.clone());
        let now = described(found, identity, &wanted, name, &old.path, old.cgroup_id);
        known.wanted = wanted;
        (known, now)
    }
}

/// Gives each its name: first those who have the one that they want, then the older before the younger, as the ids of cgroups grow; what is
/// left over comes last. Who gets another than it wants is called by its place too, and by the same as before where it wanted the same before.
fn give_names(answers: &mut [Answer<'_>]) {
    answers.sort_unstable_by_key(|one| {
        let container = &one.known.container;
        (one.is_left_over, container.name != one.wanted, container.cgroup_id)
    });
    let mut taken = HashSet::new();
    for one in &mut *answers {
        one.name = taken.insert(one.wanted.clone()).then(|| one.wanted.clone());
    }
    for was_placed in [true, false] {
        let nameless = |one: &&mut Answer<'_>| one.name.is_none() && (one.wanted == one.known.wanted) == was_placed;
        for one in answers.iter_mut().filter(nameless) {
            let old = &one.known.container;
            let name = if was_placed && !taken.contains(&old.name) {
                old.name.clone()
            } else {
                let name = placed(&one.wanted, old, |name| taken.contains(name));
                warn_of(&one.wanted, &name, &old.path);
                name
            };
            taken.insert(name.clone());
            one.name = Some(name);
        }
    }
}

/// A name with the place behind it, for one that cannot have it alone: `web@batch.jobs`.
fn placed(name: &str, container: &Container, is_taken: impl Fn(&str) -> bool) -> String {
    let place = container.path.as_str().rsplit_once('/').map_or("root".to_owned(), |(parent, _)| parent.replace('/', "."));
    let placed = format!("{name}@{place}");
    if is_taken(&placed) { format!("{placed}#{}", container.cgroup_id) } else { placed }
}

fn warn_of(wanted: &str, name: &str, path: &CgroupPath) {
    tracing::warn!(%path, wanted, name, "the name is taken by another container: this one is called by its place too");
}

fn described(found: &Recognised, identity: Identity, called: &str, name: String, path: &CgroupPath, cgroup_id: u64) -> Container {
    let Identity { engine, labels, trouble, .. } = identity;
    Container {
        name,
        called: called.to_owned(),
        engine: engine.unwrap_or(found.engine),
        engine_id: naming::engine_id(found),
        path: path.clone(),
        cgroup_id,
        application: labels.get(APPLICATION).filter(|name| !name.is_empty()).cloned(),
        labels,
        trouble: trouble.map(Into::into),
    }
}

#[cfg(test)]
mod tests;
