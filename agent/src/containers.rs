//! Which cgroups are containers, of which engine, called what.

pub mod engines;
pub mod naming;
mod registry;
pub mod select;
pub mod watch;

use std::sync::Arc;

use crate::cgroup::CgroupPath;

/// What runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// LXC and LXD: both use `lxc.payload.<name>`.
    Lxc,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// A systemd service or scope.
    Systemd,
    /// A pattern from the configuration.
    Custom,
}

/// A container as discovery found it. Never changes; a container that is made anew under its old name is another one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Container {
    /// What people call it; unique on the host.
    pub name: String,
    /// What runs it.
    pub engine: Engine,
    /// The engine's own id, where it has one.
    pub engine_id: Option<String>,
    /// Its cgroup.
    pub path: CgroupPath,
    /// Its cgroup's id ([`crate::cgroup::Cgroup::id`]), which tells incarnations apart.
    pub cgroup_id: u64,
}

/// What discovery tells the control loop.
#[derive(Clone, Debug)]
pub enum Discovered {
    /// A container is there.
    Appeared(Arc<Container>),
    /// The one with this cgroup id is gone.
    Gone {
        /// [`Container::cgroup_id`].
        cgroup_id: u64,
    },
}
