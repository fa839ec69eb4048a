//! Containers in containers: where the outer one is guarded its limit holds for all that is in it, and the inner ones are left alone. Limits of
//! both would follow the same load and hold each other up, count twice against what the host has, and v1 refuses an inner one above its
//! outer's, and an outer one below.

use super::entry::Entry;
use super::state::State;
use crate::cgroup::CgroupPath;
use crate::status::GuardMode;

impl State {
    /// Why a container that is to be guarded is left to the one that it lies in, where that is so.
    pub(super) fn left_to_outer(&self, id: u64) -> Option<String> {
        let outer = self.guarded_around(id)?;
        Some(format!("not guarded: it lies in {}, which is, and whose limit holds for both", outer.name))
    }

    /// The one that a container lies in whose limit holds for both.
    pub(super) fn guarded_around(&self, id: u64) -> Option<&Entry> {
        let entry = self.entries.get(&id)?;
        let holds = |outer: &&Entry| match outer.guard() {
            GuardMode::On => true,
            // What is only on paper is in nothing's way but what is there, too.
            GuardMode::Advise => entry.guard() == GuardMode::Advise,
            GuardMode::Off => false,
        };
        self.around(entry.cgroup.path()).find(holds)
    }

    /// The containers that a cgroup lies in, innermost first.
    fn around(&self, path: &CgroupPath) -> impl Iterator<Item = &Entry> {
        let above = std::iter::successors(path.parent(), CgroupPath::parent);
        above.filter_map(|path| self.entries.get(self.by_path.get(&path)?))
    }

    /// Holds what lies in a container against the configuration again, after its own guard may have changed.
    pub(super) fn decide_inner(&mut self, id: u64) {
        let Some(entry) = self.entries.get(&id) else { return };
        let path = entry.cgroup.path();
        let begins_so = self.by_path.range(path..).take_while(|(other, _)| other.as_str().starts_with(path.as_str()));
        let is_inner = |other: &CgroupPath| other.as_str()[path.as_str().len()..].starts_with('/');
        let inner: Vec<u64> = begins_so.filter(|(other, _)| is_inner(other)).map(|(_, id)| *id).collect();
        for id in inner {
            self.decide_guard(id);
        }
    }
}
