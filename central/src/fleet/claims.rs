//! Which host a container's name belongs to: documents are found by name, so in a fleet a name can belong to one container only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A name that containers of several hosts have.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Conflict {
    /// The name.
    pub container: Arc<str>,
    /// The host whose container is known by it: the first that reported it.
    pub host: Arc<str>,
    /// The others: their containers are left as their hosts' own settings say.
    pub others: Vec<Arc<str>>,
}

/// Who has which name.
#[derive(Debug, Default)]
pub(super) struct Claims {
    owners: HashMap<Arc<str>, Arc<str>>,
    waiting: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Claims {
    /// Takes in what a host has now, and what is `gone` that it had before. A name goes to another host when its owner no longer
    /// reports it, or `is_quiet`: the container has moved. Returns what is this host's from now on and was not before.
    pub(super) fn update<'a>(
        &mut self,
        host: &Arc<str>,
        gone: &[Arc<str>],
        names: impl Iterator<Item = &'a Arc<str>>,
        is_quiet: impl Fn(&str) -> bool,
    ) -> Vec<Arc<str>> {
        for gone in gone {
            self.give_up(host, gone);
        }
        let mut appeared = Vec::new();
        for name in names {
            match self.owners.get(name) {
                Some(owner) if owner == host => {}
                Some(owner) if !is_quiet(owner) => {
                    self.waiting.entry(Arc::clone(name)).or_default().insert(Arc::clone(host));
                }
                _ => {
                    self.owners.insert(Arc::clone(name), Arc::clone(host));
                    self.no_longer_waits(host, name);
                    appeared.push(Arc::clone(name));
                }
            }
        }
        appeared
    }

    fn give_up(&mut self, host: &Arc<str>, name: &str) {
        self.no_longer_waits(host, name);
        // Who waits for it gets it with its next report.
        if self.owners.get(name) == Some(host) {
            self.owners.remove(name);
        }
    }

    fn no_longer_waits(&mut self, host: &Arc<str>, name: &str) {
        if let Some(hosts) = self.waiting.get_mut(name) {
            hosts.remove(host);
            if hosts.is_empty() {
                self.waiting.remove(name);
            }
        }
    }

    pub(super) fn disown(&mut self, name: &str) {
        self.owners.remove(name);
    }

    pub(super) fn owner(&self, name: &str) -> Option<&Arc<str>> {
        self.owners.get(name)
    }

    pub(super) fn conflicts(&self) -> Vec<Conflict> {
        let conflict = |(name, others): (&Arc<str>, &BTreeSet<Arc<str>>)| {
            let host = Arc::clone(self.owners.get(name)?);
            Some(Conflict { container: Arc::clone(name), host, others: others.iter().cloned().collect() })
        };
        self.waiting.iter().filter_map(conflict).collect()
    }
}
