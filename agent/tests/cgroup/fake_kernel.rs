//! Cgroups as a kernel has them, without the kernel's: a filesystem (FUSE) that takes, rounds, refuses and forgets as cgroupfs does. What is
//! tested comes through the same system calls, and every body that runs here runs on real kernels as well, which is what keeps it true.

mod cpu;
mod cpuset;
mod disk;
mod files;
mod memory;
mod mount;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headroom_agent::cgroup::{Cgroup, CgroupPath, Hierarchies};
use nix::errno::Errno;

use mount::Mount;
pub(crate) use tree::Shape;
use tree::{MIB, Tree};

/// What a read or a write comes to.
type Answer<T> = Result<T, Errno>;

/// One such kernel, mounted where only the thread that made it (and what it starts) sees it. Cheap to clone; gone with the last clone.
#[derive(Clone)]
pub(crate) struct FakeKernel(Arc<Inner>);

struct Inner {
    hierarchies: Hierarchies,
    tree: Arc<Mutex<Tree>>,
    /// Last, so that nothing of it is open any more.
    mount: Mount,
}

impl FakeKernel {
    pub(crate) fn new(shape: Shape) -> Self {
        let tree = Arc::new(Mutex::new(Tree::new(shape)));
        let mount = Mount::new(Arc::clone(&tree));
        let hierarchies = Hierarchies::at(mount.root()).unwrap();
        Self(Arc::new(Inner { hierarchies, tree, mount }))
    }

    pub(crate) fn hierarchies(&self) -> &Hierarchies {
        &self.0.hierarchies
    }

    /// The root of the hierarchy of that name.
    fn root(&self, hierarchy: &str) -> PathBuf {
        self.0.mount.root().join(hierarchy)
    }

    /// The names of all hierarchies.
    fn names(&self) -> Vec<&'static str> {
        self.tree().hierarchies()
    }

    /// Not to be held while anything is read or written there.
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a cgroup as engines do: in every hierarchy but the freezer's, with every controller, and on v1 with the CPUs of the one above.
    pub(crate) fn create(&self, path: &CgroupPath) -> Cgroup {
        for hierarchy in self.names().into_iter().filter(|name| *name != "freezer") {
            let mut above = self.root(hierarchy);
            for part in path.as_str().split('/') {
                let below = above.join(part);
                let control = above.join("cgroup.subtree_control");
                if let Ok(controllers) = fs::read_to_string(above.join("cgroup.controllers")) {
                    let all: Vec<_> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
                    fs::write(control, all.join(" ")).unwrap();
                }
                if !below.is_dir() {
                    fs::create_dir(&below).unwrap();
                    give_cpus(&above, &below);
                }
                above = below;
            }
        }
        self.hierarchies().open(path).unwrap()
    }

    /// Ends what runs in it and removes it with all below it.
    pub(crate) fn remove(&self, path: &CgroupPath) {
        for hierarchy in self.names() {
            self.tree().empty(hierarchy, path.as_str());
            remove_below(&self.root(hierarchy).join(path.as_str()));
        }
    }

    /// From now on so much memory is in use there, none of it to be had back.
    pub(crate) fn charge(&self, path: &CgroupPath, mib: usize) {
        self.tree().charge(path.as_str(), mib as u64 * MIB);
    }

    /// After that many more writes, to whatever file, this kernel refuses those to the files of that name.
    pub(crate) fn fail(&self, after: usize, file: &'static str, errno: Errno) {
        self.tree().fault = Some(tree::Fault { after, file, errno });
    }
}

/// v1 makes a cgroup without CPUs, in which nothing can run.
fn give_cpus(above: &Path, below: &Path) {
    if let (Ok(cpus), true) =
        (fs::read_to_string(above.join("cpuset.effective_cpus")), below.join("cpuset.effective_cpus").exists())
    {
        fs::write(below.join("cpuset.cpus"), cpus).unwrap();
    }
}

fn remove_below(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_dir()) {
        remove_below(&entry.path());
    }
    fs::remove_dir(directory).unwrap();
}
