//! What is known of the hierarchy, and how it is brought up to date: a notification only says where to look; what is
//! true is what is seen there then. So it does not matter how often, how late or in which order one looks.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::Stats;
use crate::cgroup::tree::Tree;
use crate::cgroup::{CgroupError, CgroupPath};
use crate::containers::engines::{Recognised, Recogniser};
use crate::containers::identity::Asker;
use crate::containers::registry::{Answer, Known, Registry};
use crate::containers::{Discovered, naming};

/// For so long after a container came it may still be named: the kubelet makes the log that has a container's name in its own when it starts
/// it, and nothing runs yet in a cgroup that LXC just made.
const NAMED_WITHIN: Duration = Duration::from_secs(10);

/// One cgroup that was seen.
#[derive(Debug)]
struct Node {
    id: u64,
    watch: Option<WatchDescriptor>,
    container: Option<(Recognised, Known)>,
    /// Names of those directly below; empty where nothing is looked for.
    children: BTreeSet<String>,
}

/// Everything that is known.
#[derive(Debug)]
pub(super) struct Scanner {
    tree: Tree,
    recogniser: Recogniser,
    asker: Asker,
    registry: Registry,
    inotify: Option<Inotify>,
    nodes: HashMap<CgroupPath, Node>,
    watched: HashMap<WatchDescriptor, CgroupPath>,
    unwatched: BTreeSet<CgroupPath>,
    /// Some are unwatched and that has been said.
    polling: bool,
    root: CgroupPath,
    /// One came that may yet be named, until then.
    awaits_names: Option<Instant>,
    pub(super) stats: Stats,
}

impl Scanner {
    /// Knows nothing yet.
    pub(super) fn new(tree: Tree, recogniser: Recogniser, asker: Asker, out: Sender<Discovered>) -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .inspect_err(|errno| {
                tracing::warn!(%errno, "no notifications of new containers: polling; fs.inotify.max_user_instances may be raised");
            })
            .ok();
        Self {
            tree,
            recogniser,
            asker,
            registry: Registry::new(out),
            inotify,
            nodes: HashMap::new(),
            watched: HashMap::new(),
            unwatched: BTreeSet::new(),
            polling: false,
            root: CgroupPath::root(),
            awaits_names: None,
            stats: Stats::default(),
        }
    }

    /// Readable when there is something for [`Scanner::take_notifications`].
    pub(super) fn notifications(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(|inotify| inotify.as_fd())
    }

    /// Whether the kernel would not watch all that should be.
    pub(super) fn has_unwatched(&self) -> bool {
        !self.unwatched.is_empty()
    }

    /// Whether there is somebody new whose engine may name it any moment.
    pub(super) fn awaits_names(&self) -> bool {
        self.awaits_names.is_some()
    }

    /// How many comings and goings were told.
    pub(super) fn told(&self) -> u64 {
        self.registry.told()
    }

    /// Whether nobody listens any more.
    pub(super) fn is_closed(&self) -> bool {
        self.registry.is_closed()
    }

    /// The state in numbers.
    pub(super) fn stats(&self) -> Stats {
        Stats {
            containers: self.registry.len(),
            cgroups: self.nodes.len(),
            watches: self.watched.len(),
            polled: self.unwatched.len(),
            ..self.stats
        }
    }

    /// Looks at everything.
    pub(super) fn scan(&mut self) -> Result<(), CgroupError> {
        let root = self.root.clone();
        let found = self.tree.id(&root)?;
        self.settle(&root, found);
        self.look_below(&root, true)?;
        self.ask_again();
        Ok(())
    }

    /// Asks the engines about everyone: names and labels change without any cgroup changing.
    fn ask_again(&mut self) {
        self.asker.sweep();
        let containers = self.nodes.iter_mut().filter_map(|(path, node)| Some((path, node.container.as_mut()?)));
        let answers = containers.map(|(path, (found, known))| {
            let identity = self.asker.ask(found, path);
            Answer::new(known, found, identity)
        });
        let answers = answers.collect();
        // What cannot be read now is as good as empty: who has the name keeps it.
        self.registry.refresh(answers, |path| self.tree.is_populated(path).unwrap_or(false));
    }

    /// The same while names are awaited.
    pub(super) fn ask_for_names(&mut self) {
        self.ask_again();
        let awaits = |node: &Node| node.container.as_ref().is_some_and(|(found, known)| known.awaits_name(found));
        let (now, are_left) = (Instant::now(), self.nodes.values().any(awaits));
        self.awaits_names = self.awaits_names.filter(|until| are_left && now < *until);
    }

    /// Whoever has this name may have got another since it was asked for: then somebody new can have it at once.
    fn ask_holder(&mut self, name: &str) {
        let holder = self.registry.holder(name).and_then(|path| Some((path, self.nodes.get(path)?)));
        let Some((path, Node { id, container: Some((found, known)), .. })) = holder else { return };
        // Of one that is gone no engine knows anything.
        let is_there = self.tree.id(path).is_ok_and(|now| now == Some(*id));
        if is_there && known.is_renamed(found, &self.asker.ask(found, path)) {
            self.ask_again();
        }
    }

    /// Says so when the kernel begins, or ceases, to refuse watches.
    pub(super) fn tell_of_watches(&mut self) {
        let polling = self.has_unwatched();
        if polling && !self.polling {
            tracing::warn!(
                directories = self.unwatched.len(),
                watches = self.watched.len(),
                "the kernel grants no more watches: some directories are polled for new containers, which may take longer \
                 to be known; raise fs.inotify.max_user_watches"
            );
        } else if self.polling && !polling {
            tracing::info!("the kernel watches all directories again");
        }
        self.polling = polling;
    }

    /// Looks at the directories without a watch.
    pub(super) fn poll(&mut self) {
        for path in self.unwatched.clone() {
            self.look_around(&path);
        }
    }

    /// Looks where the kernel says that something came or went; true when it lost some.
    pub(super) fn take_notifications(&mut self, reads: usize) -> bool {
        let mut lost = false;
        for _ in 0..reads {
            let Some(Ok(events)) = self.inotify.as_ref().map(Inotify::read_events) else { break };
            for event in events {
                self.stats.notifications += 1;
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    lost = true;
                    self.stats.overflows += 1;
                } else if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    self.watch_ended(event.wd);
                } else if event.mask.contains(AddWatchFlags::IN_ISDIR)
                    && let Some(path) = self.watched.get(&event.wd)
                    && let Some(path) = event.name.as_ref().and_then(|name| path.child(name.to_str()?))
                {
                    self.look_at(&path);
                }
            }
        }
        lost
    }

    /// Whatever happens to one directory is no reason to stop: what cannot be read now is tried at the next scan.
    fn look_around(&mut self, path: &CgroupPath) {
        if let Err(error) = self.look_below(path, false) {
            tracing::debug!(%error, "cannot look into a cgroup");
        }
    }

    /// Looks at one cgroup, not at what is below.
    fn look_at(&mut self, path: &CgroupPath) {
        match self.tree.id(path) {
            Ok(found) => self.settle(path, found),
            Err(error) => tracing::debug!(%error, "cannot look at a cgroup"),
        }
    }

    /// Looks at what is directly below `path`, and further down where `deep` or where something is new.
    fn look_below(&mut self, path: &CgroupPath, deep: bool) -> Result<(), CgroupError> {
        // First the watch, then the look: what is made in between is seen twice rather than never.
        self.watch(path);
        let Some(seen) = self.tree.children(path)? else { return Ok(()) };
        let Some(node) = self.nodes.get(path) else { return Ok(()) };
        let gone: Vec<_> =
            node.children.iter().filter(|name| seen.binary_search_by(|child| child.name.cmp(name)).is_err()).cloned().collect();
        for name in gone {
            path.child(&name).inspect(|child| self.settle(child, None));
        }
        for child in seen {
            let Some(below) = path.child(&child.name) else { continue };
            let known = self.nodes.get(&below).is_some_and(|node| node.id == child.id);
            if !known {
                self.settle(&below, Some(child.id));
            } else if deep && self.recogniser.descends(&below) {
                self.look_below(&below, true).unwrap_or_else(|error| tracing::debug!(%error, "cannot look into a cgroup"));
            }
        }
        Ok(())
    }

    /// Makes what is known of `path` what was `found` there: the id of a cgroup, or none.
    fn settle(&mut self, path: &CgroupPath, found: Option<u64>) {
        let known = self.nodes.get(path).map(|node| node.id);
        if known == found {
            return;
        }
        if known.is_some() {
            self.leave(path);
        }
        if let Some(id) = found {
            self.enter(path, id);
        }
    }

    fn enter(&mut self, path: &CgroupPath, id: u64) {
        if let Some(parent) = path.parent() {
            // One whose parent is not known is found with its parent.
            let Some(parent) = self.nodes.get_mut(&parent) else { return };
            parent.children.insert(name_of(path).to_owned());
        }
        let container = self.recogniser.recognise(path).map(|found| {
            let identity = self.asker.ask(&found, path);
            self.ask_holder(&naming::name(&found, &identity));
            let known = self.registry.add(&found, identity, path, id);
            if known.awaits_name(&found) {
                self.awaits_names = Some(Instant::now() + NAMED_WITHIN);
            }
            (found, known)
        });
        self.nodes.insert(path.clone(), Node { id, watch: None, container, children: BTreeSet::new() });
        if self.recogniser.descends(path) {
            self.look_around(path);
        }
    }

    /// Forgets `path`, after what is below it.
    fn leave(&mut self, path: &CgroupPath) {
        let names = self.nodes.get_mut(path).map(|node| std::mem::take(&mut node.children)).unwrap_or_default();
        for name in names {
            path.child(&name).inspect(|child| self.leave(child));
        }
        let Some(node) = self.nodes.remove(path) else { return };
        if let Some(parent) = path.parent().and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.remove(name_of(path));
        }
        self.unwatched.remove(path);
        self.unwatch(node.watch);
        if let Some((_, known)) = node.container {
            self.registry.remove(&known.container);
        }
    }

    fn watch(&mut self, path: &CgroupPath) {
        let Some(node) = self.nodes.get_mut(path).filter(|node| node.watch.is_none()) else { return };
        let events = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE;
        let flags = events | AddWatchFlags::IN_ONLYDIR | AddWatchFlags::IN_DONT_FOLLOW;
        let added = self.inotify.as_ref().map(|inotify| inotify.add_watch(&self.tree.directory(path), flags));
        match added {
            Some(Ok(watch)) => {
                node.watch = Some(watch);
                self.watched.insert(watch, path.clone());
                self.unwatched.remove(path);
            }
            // Gone already: its parent's watch tells.
            Some(Err(Errno::ENOENT | Errno::ENOTDIR)) => {}
            Some(Err(_)) | None => {
                self.unwatched.insert(path.clone());
            }
        }
    }

    fn unwatch(&mut self, watch: Option<WatchDescriptor>) {
        let Some(watch) = watch else { return };
        self.watched.remove(&watch);
        // The watch of a directory that was removed went with it: EINVAL says just that.
        if let Some(Err(errno)) = self.inotify.as_ref().map(|inotify| inotify.rm_watch(watch))
            && errno != Errno::EINVAL
        {
            tracing::debug!(%errno, "cannot give a watch back");
        }
    }

    /// The kernel ended a watch: its directory is gone, or (looked at by then) we gave it back ourselves.
    fn watch_ended(&mut self, watch: WatchDescriptor) {
        if let Some(path) = self.watched.remove(&watch)
            && let Some(node) = self.nodes.get_mut(&path)
        {
            node.watch = None;
            self.unwatched.insert(path.clone());
            self.look_at(&path);
        }
    }
}

fn name_of(path: &CgroupPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
