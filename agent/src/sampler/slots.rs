//! Which container has which slot, and which tracked container lies in which. No kernel, no clock.

use std::collections::{BTreeMap, VecDeque};

use crate::cgroup::CgroupPath;

/// The slots of a source, and the nesting of the containers that have them.
pub(crate) struct Slots {
    taken: Vec<Option<Taken>>,
    capacity: u32,
    /// Given back, the longest free first: a charge under way in the kernel when a slot is given back must not meet its
    /// next owner.
    free: VecDeque<u32>,
    by_path: BTreeMap<String, u32>,
}

/// A slot's owner.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) path: CgroupPath,
    pub(crate) cgroup_id: u64,
    /// The slot of the nearest tracked container around it.
    pub(crate) parent: Option<u32>,
}

/// A slot whose parent changed: to be told to the kernel side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relinked {
    pub(crate) slot: u32,
    pub(crate) parent: Option<u32>,
}

impl Slots {
    pub(crate) fn new(capacity: u32) -> Self {
        Self { taken: Vec::new(), capacity, free: VecDeque::new(), by_path: BTreeMap::new() }
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Taken> {
        self.taken.get(slot as usize)?.as_ref()
    }

    /// Takes a slot that was never used, else the one that has been free for longest; `None` when all are taken. Beside
    /// it every container that it now is the nearest around.
    pub(crate) fn take(&mut self, path: &CgroupPath, cgroup_id: u64) -> Option<(u32, Vec<Relinked>)> {
        let fresh = u32::try_from(self.taken.len()).ok().filter(|fresh| *fresh < self.capacity);
        let slot = fresh.or_else(|| self.free.pop_front())?;
        let parent = self.around(path);
        let taken = Some(Taken { path: path.clone(), cgroup_id, parent });
        match self.taken.get_mut(slot as usize) {
            Some(place) => *place = taken,
            None => self.taken.push(taken),
        }
        let relinked = self.relink(path, parent, Some(slot));
        self.by_path.insert(path.as_str().to_owned(), slot);
        Some((slot, relinked))
    }

    /// Gives a slot back. Beside its owner every container that lay in it, which now lies in what was around it.
    pub(crate) fn release(&mut self, slot: u32) -> Option<(Taken, Vec<Relinked>)> {
        let taken = self.taken.get_mut(slot as usize)?.take()?;
        self.free.push_back(slot);
        // A container made anew under its old name may have taken the path over.
        if self.by_path.get(taken.path.as_str()) == Some(&slot) {
            self.by_path.remove(taken.path.as_str());
        }
        let relinked = self.relink(&taken.path, Some(slot), taken.parent);
        Some((taken, relinked))
    }

    /// The nearest tracked container around `path`.
    fn around(&self, path: &CgroupPath) -> Option<u32> {
        let mut path = path.as_str();
        while !path.is_empty() {
            path = path.rsplit_once('/').map_or("", |(above, _)| above);
            if let Some(slot) = self.by_path.get(path) {
                return Some(*slot);
            }
        }
        None
    }

    /// Moves what lies below `path` from one nearest container to another.
    fn relink(&mut self, path: &CgroupPath, from: Option<u32>, to: Option<u32>) -> Vec<Relinked> {
        // What lies below "a" is spelled from "a/" up to "a0": '0' comes after '/'.
        let below = match path.as_str() {
            "" => self.by_path.range(String::new()..),
            path => self.by_path.range(format!("{path}/")..format!("{path}0")),
        };
        let mut relinked = Vec::new();
        for slot in below.map(|(_, slot)| *slot) {
            if let Some(Some(taken)) = self.taken.get_mut(slot as usize)
                && taken.parent == from
                && Some(slot) != to
            {
                taken.parent = to;
                relinked.push(Relinked { slot, parent: to });
            }
        }
        relinked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> CgroupPath {
        CgroupPath::new(path).unwrap()
    }

    fn take(slots: &mut Slots, at: &str) -> u32 {
        slots.take(&path(at), 1).unwrap().0
    }

    fn parent(slots: &Slots, slot: u32) -> Option<u32> {
        slots.get(slot).unwrap().parent
    }

    #[test]
    fn the_longest_free_slot_is_given_out_last_of_all() {
        let mut slots = Slots::new(3);
        let [a, b] = [take(&mut slots, "a"), take(&mut slots, "b")];
        slots.release(b);
        slots.release(a);
        assert_eq!([take(&mut slots, "c"), take(&mut slots, "d"), take(&mut slots, "e")], [2, b, a]);
        assert!(slots.take(&path("f"), 1).is_none());
        assert!(slots.release(7).is_none());
    }

    #[test]
    fn nesting_is_known_in_whatever_order_containers_come() {
        for order in [["p", "p/c", "p/c/x/g"], ["p/c/x/g", "p/c", "p"], ["p/c", "p", "p/c/x/g"]] {
            let mut slots = Slots::new(9);
            for at in order {
                take(&mut slots, at);
            }
            let [p, c, g] = ["p", "p/c", "p/c/x/g"].map(|at| slots.by_path[at]);
            assert_eq!([parent(&slots, p), parent(&slots, c), parent(&slots, g)], [None, Some(p), Some(c)], "{order:?}");
            let (gone, relinked) = slots.release(c).unwrap();
            assert_eq!((gone.path.as_str(), relinked), ("p/c", vec![Relinked { slot: g, parent: Some(p) }]));
            slots.release(p).unwrap();
            assert_eq!(parent(&slots, g), None);
        }
    }

    #[test]
    fn names_that_only_begin_alike_are_not_nested() {
        let mut slots = Slots::new(9);
        for at in ["a-b", "a.b", "a0", "ab/c", "a"] {
            take(&mut slots, at);
        }
        assert!((0..5).all(|slot| parent(&slots, slot).is_none()));
    }

    #[test]
    fn everything_lies_in_the_root() {
        let mut slots = Slots::new(9);
        let [a, b, root] = [take(&mut slots, "a"), take(&mut slots, "a/b"), take(&mut slots, "")];
        assert_eq!([parent(&slots, a), parent(&slots, b), parent(&slots, root)], [Some(root), Some(a), None]);
    }

    #[test]
    fn a_container_made_anew_keeps_its_path_when_the_old_one_goes() {
        let mut slots = Slots::new(9);
        let old = take(&mut slots, "a");
        let new = take(&mut slots, "a");
        slots.release(old);
        let inner = take(&mut slots, "a/b");
        assert_eq!(parent(&slots, inner), Some(new));
    }
}
