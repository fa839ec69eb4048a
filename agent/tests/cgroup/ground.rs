//! Where the bodies of the conformance suite run: on the kernel's cgroups, or on those of a made-up kernel of each kind.

use std::fs;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

use headroom_agent::cgroup::{Cgroup, CgroupPath, Controller, ControllerPlace, Device, Hierarchies, Version};

use crate::fake_kernel::{FakeKernel, Shape};
use crate::support::{Burner, TestCgroup};

/// Runs each body on each ground.
macro_rules! everywhere {
    ($($(#[$about:meta])* $body:ident,)*) => {
        mod on_this_kernel {
            $(#[test] fn $body() { super::$body(&crate::ground::Ground::Kernel); })*
        }
        mod on_fake_v1 {
            $(#[test] fn $body() { crate::ground::on_fake(crate::fake_kernel::Shape::V1, super::$body); })*
        }
        mod on_fake_v2 {
            $(#[test] fn $body() { crate::ground::on_fake(crate::fake_kernel::Shape::V2, super::$body); })*
        }
        mod on_fake_hybrid {
            $(#[test] fn $body() { crate::ground::on_fake(crate::fake_kernel::Shape::Hybrid, super::$body); })*
        }
    };
}
pub(crate) use everywhere;

/// Runs a body on a kernel of that kind that is made for it, in a thread of its own: the mounts are that thread's.
pub(crate) fn on_fake(shape: Shape, body: impl FnOnce(&Ground) + Send) {
    let answer = thread::scope(|scope| scope.spawn(|| body(&Ground::Fake(FakeKernel::new(shape)))).join());
    if let Err(panic) = answer {
        resume_unwind(panic);
    }
}

pub(crate) enum Ground {
    Kernel,
    Fake(FakeKernel),
}

impl Ground {
    /// Makes a cgroup at the root.
    pub(crate) fn cgroup(&self, name: &str) -> AnyCgroup {
        match self {
            Self::Kernel => AnyCgroup::Kernel(TestCgroup::new(name)),
            Self::Fake(kernel) => AnyCgroup::fake(kernel, CgroupPath::new(name).unwrap()),
        }
    }

    /// Whether what runs there is counted, throttled and frozen.
    pub(crate) fn is_real(&self) -> bool {
        matches!(self, Self::Kernel)
    }

    /// Which interface a controller has, and where.
    pub(crate) fn place(&self, controller: Controller) -> ControllerPlace {
        match self {
            Self::Kernel => place(&Hierarchies::probe().unwrap(), controller),
            Self::Fake(kernel) => place(kernel.hierarchies(), controller),
        }
    }

    pub(crate) fn version(&self, controller: Controller) -> Version {
        self.place(controller).version
    }

    /// A disk that limits can be set on; `None` on a machine without any.
    pub(crate) fn disk(&self) -> Option<Device> {
        match self {
            Self::Kernel => a_disk(),
            Self::Fake(_) => Some(Device { major: 254, minor: 0 }),
        }
    }
}

fn place(hierarchies: &Hierarchies, controller: Controller) -> ControllerPlace {
    let place = hierarchies.controllers().into_iter().find(|place| place.controller == controller);
    place.unwrap_or_else(|| panic!("there is no {controller:?} controller: {:?}", hierarchies.controllers()))
}

/// A cgroup to be tried; gone when it is dropped.
pub(crate) enum AnyCgroup {
    Kernel(TestCgroup),
    Fake { kernel: FakeKernel, path: CgroupPath, cgroup: Cgroup },
}

impl AnyCgroup {
    fn fake(kernel: &FakeKernel, path: CgroupPath) -> Self {
        Self::Fake { kernel: kernel.clone(), cgroup: kernel.create(&path), path }
    }

    /// Makes one below this.
    pub(crate) fn child(&self, name: &str) -> Self {
        match self {
            Self::Kernel(cgroup) => Self::Kernel(cgroup.child(name)),
            Self::Fake { kernel, path, .. } => Self::fake(kernel, path.child(name).unwrap()),
        }
    }

    pub(crate) fn hierarchies(&self) -> &Hierarchies {
        match self {
            Self::Kernel(cgroup) => cgroup.hierarchies(),
            Self::Fake { kernel, .. } => kernel.hierarchies(),
        }
    }

    /// A file of it, past the module that is tested.
    pub(crate) fn file(&self, controller: Controller, name: &str) -> PathBuf {
        place(self.hierarchies(), controller).root.join(self.path().as_str()).join(name)
    }

    /// Starts a process in it that takes as much of each of so many CPUs.
    pub(crate) fn burn(&self, threads: u32, duty: f64) -> Process {
        match self {
            Self::Kernel(cgroup) => Process::Real(cgroup.burn(threads, duty)),
            Self::Fake { kernel, path, .. } => {
                let pid = std::process::id();
                for directory in self.directories() {
                    fs::write(directory.join("cgroup.procs"), pid.to_string()).unwrap();
                }
                Process::Pretended { kernel: kernel.clone(), path: path.clone(), pid }
            }
        }
    }

    /// Its directories, in all hierarchies.
    fn directories(&self) -> Vec<PathBuf> {
        let places = self.hierarchies().controllers();
        let roots = places.iter().map(|place| place.root.as_path()).chain(self.hierarchies().unified_root());
        let mut directories: Vec<_> = roots.map(|root| root.join(self.path().as_str())).collect();
        directories.sort();
        directories.dedup();
        directories
    }

    /// Ends what runs in it, removes it, and makes another of the same name.
    pub(crate) fn recreate(&mut self) {
        match self {
            Self::Kernel(cgroup) => cgroup.recreate(),
            Self::Fake { kernel, path, cgroup } => {
                kernel.remove(path);
                *cgroup = kernel.create(path);
            }
        }
    }

    /// Ends what runs in it and removes it, as an engine would.
    pub(crate) fn remove(&self) {
        match self {
            Self::Kernel(cgroup) => cgroup.remove(),
            Self::Fake { kernel, path, .. } => kernel.remove(path),
        }
    }
}

impl Deref for AnyCgroup {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        match self {
            Self::Kernel(cgroup) => cgroup,
            Self::Fake { cgroup, .. } => cgroup,
        }
    }
}

/// What runs in a cgroup; on a made-up kernel it only stands there.
pub(crate) enum Process {
    Real(Burner),
    Pretended { kernel: FakeKernel, path: CgroupPath, pid: u32 },
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Real(burner) => burner.pid(),
            Self::Pretended { pid, .. } => *pid,
        }
    }

    pub(crate) fn threads(&self) -> Vec<u32> {
        match self {
            Self::Real(burner) => {
                let threads = fs::read_dir(format!("/proc/{}/task", burner.pid())).unwrap();
                threads.map(|thread| thread.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
            }
            Self::Pretended { pid, .. } => vec![*pid],
        }
    }

    /// For which part of its time each thread is busy from now on.
    pub(crate) fn set_duty(&mut self, duty: f64) {
        if let Self::Real(burner) = self {
            burner.set_duty(duty);
        }
    }

    /// Takes that much memory more.
    pub(crate) fn hold(&mut self, mib: usize) {
        match self {
            Self::Real(burner) => burner.hold(mib),
            // A process is more than what it holds.
            Self::Pretended { kernel, path, .. } => kernel.charge(path, mib + 1),
        }
    }
}

/// Some whole disk of this machine.
fn a_disk() -> Option<Device> {
    let mut disks: Vec<_> = fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().path()).collect();
    // Real disks before loop devices and the like.
    disks.sort_by_key(|disk| (!disk.join("device").exists(), disk.clone()));
    let number = fs::read_to_string(disks.first()?.join("dev")).unwrap();
    Some(number.trim().parse().unwrap())
}
