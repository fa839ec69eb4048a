//! Which cgroups are containers, of which engine, called what.

pub mod engines;
pub mod identity;
pub mod naming;
pub mod pod;
mod registry;
pub mod select;
pub mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cgroup::CgroupPath;

/// What an engine has written on a container, by key.
pub type Labels = BTreeMap<String, String>;

/// The label that names a container's application.
pub const APPLICATION: &str = "headroom.application";

/// What runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// LXC.
    Lxc,
    /// LXD and Incus, whose cgroups are called as LXC's are.
    Lxd,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// A container of a Kubernetes pod, whatever runs it.
    Kubernetes,
    /// A service of the host's systemd.
    Systemd,
    /// A pattern from the configuration.
    Custom,
}

impl Engine {
    /// As documents and settings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Lxd => "lxd",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Kubernetes => "kubernetes",
            Self::Systemd => "systemd",
            Self::Custom => "custom",
        }
    }
}

/// A container as discovery found it. Never changes: one that is made anew under its old name is another one, and one that its engine has
/// renamed is told of anew, with the same cgroup id.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Container {
    /// What people call it; unique on the host.
    pub name: String,
    /// What its engine calls it: the same, unless another container has that name.
    #[serde(skip)]
    pub called: String,
    /// What runs it.
    pub engine: Engine,
    /// The engine's own id, where it has one.
    pub engine_id: Option<String>,
    /// Its cgroup.
    pub path: CgroupPath,
    /// Its cgroup's id ([`crate::cgroup::Cgroup::id`]), which tells incarnations apart.
    pub cgroup_id: u64,
    /// The application that its label [`APPLICATION`] names.
    pub application: Option<String>,
    /// What its engine has written on it: for rules to select by. May be much, and secret: it is not shown.
    #[serde(skip)]
    pub labels: Labels,
    /// Why it has not the name, or not the labels, that its engine gave it, where that is so.
    #[serde(skip)]
    pub trouble: Option<Arc<str>>,
}

impl Container {
    /// Whether it is a pod's sandbox, which holds the pod's namespaces and does nothing.
    pub fn is_sandbox(&self) -> bool {
        self.engine == Engine::Kubernetes && identity::kubernetes::is_sandbox(&self.labels)
    }

    /// What it is called here, and by its engine.
    pub fn names(&self) -> [&str; 2] {
        [&self.name, &self.called]
    }
}

/// What discovery tells the control loop.
#[derive(Clone, Debug)]
pub enum Discovered {
    /// A container is there.
    Appeared(Arc<Container>),
    /// The one with this cgroup id is called otherwise now, or labelled otherwise.
    Changed(Arc<Container>),
    /// The one with this cgroup id is gone.
    Gone {
        /// [`Container::cgroup_id`].
        cgroup_id: u64,
    },
}
