//! What an engine says of a container: its name, its labels.
//!
//! Read from the engine's own files, as they lie on the host: no daemon is asked, nothing is run or written. A container inside another, or
//! of a user's own engine, has its files where we do not look: it is called by what its path shows.

pub(super) mod docker;
mod files;
pub(super) mod kubernetes;
mod lxc;
mod oci;
mod podman;

use std::collections::HashSet;
use std::path::PathBuf;

use self::files::Files;
use super::engines::{Label, Recognised};
use super::{Engine, Labels};
use crate::cgroup::CgroupPath;

/// The directories in which engines keep what they know; all of a kind are looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Docker's `data-root`.
    pub docker: Vec<PathBuf>,
    /// Podman's `graphroot`.
    pub podman: Vec<PathBuf>,
    /// Where LXC keeps a directory for each container (`lxc.lxcpath`).
    pub lxc: Vec<PathBuf>,
    /// `LXD_DIR`, `INCUS_DIR`.
    pub lxd: Vec<PathBuf>,
    /// The kubelet's logs: holds `containers` and `pods`.
    pub kubernetes: Vec<PathBuf>,
    /// containerd's `state`.
    pub containerd: Vec<PathBuf>,
    /// CRI-O's `runroot`.
    pub crio: Vec<PathBuf>,
}

impl Default for Roots {
    /// Where the engines keep it when nobody says otherwise, as Debian and snap package them.
    fn default() -> Self {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Self {
            docker: paths(&["/var/lib/docker", "/var/snap/docker/common/var-lib-docker"]),
            podman: paths(&["/var/lib/containers/storage"]),
            lxc: paths(&["/var/lib/lxc"]),
            lxd: paths(&["/var/lib/lxd", "/var/snap/lxd/common/lxd", "/var/lib/incus"]),
            kubernetes: paths(&["/var/log"]),
            containerd: paths(&["/run/containerd"]),
            crio: paths(&["/run/containers/storage"]),
        }
    }
}

/// What an engine says of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The engine, where the path alone does not tell it.
    pub engine: Option<Engine>,
    /// The name, where it is not what the path shows.
    pub name: Option<String>,
    /// What is written on it.
    pub labels: Labels,
    /// Why there is no name, or are no labels.
    pub trouble: Option<String>,
}

/// Knows where to look. Keeps what it has read for as long as the files stay as they are.
#[derive(Debug)]
pub struct Asker {
    roots: Roots,
    /// The kernel's list of unix sockets, which tells who runs.
    sockets: PathBuf,
    files: Files,
    /// Whose files could not be read, and that has been said.
    complained: HashSet<Engine>,
}

impl Asker {
    /// Has read nothing yet.
    pub fn new(roots: Roots) -> Self {
        Self { roots, sockets: "/proc/net/unix".into(), files: Files::default(), complained: HashSet::new() }
    }

    /// Forgets the files that nobody asked about since the last call.
    pub fn sweep(&mut self) {
        self.files.sweep();
    }

    /// What is said of the container at `path`.
    pub fn ask(&mut self, found: &Recognised, path: &CgroupPath) -> Identity {
        let (roots, files) = (&self.roots, &mut self.files);
        let is_the_hosts = found.within.is_empty();
        let mut identity = match (&found.own, found.engine) {
            (Label::Id { .. }, _) if !is_the_hosts => {
                Identity { trouble: Some("it is not an engine of the host's own".to_owned()), ..Identity::default() }
            }
            (Label::Id { id, .. }, Engine::Docker) => docker::ask(files, &roots.docker, id),
            (Label::Id { id, .. }, Engine::Podman) => podman::ask(files, &roots.podman, id),
            (Label::Id { id, .. }, Engine::Kubernetes) => kubernetes::ask(files, roots, id, path),
            (Label::Name(name), Engine::Lxc) if is_the_hosts => lxc::ask(files, roots, &self.sockets, name),
            _ => Identity::default(),
        };
        if let Some(name) = identity.name.take_if(|name| !is_sound(name)) {
            identity.trouble = Some(format!("its engine calls it {name:?}: expected a name without spaces, '/' and ':'"));
        }
        if let (Label::Id { .. }, Some(why)) = (&found.own, &mut identity.trouble) {
            *why = format!("called by its id: {why}");
        }
        if let Some(trouble) = identity.trouble.as_ref().filter(|_| is_the_hosts)
            && self.complained.insert(found.engine)
        {
            tracing::warn!(%path, "a container of {} is {trouble}; said once", found.engine.name());
        }
        identity
    }
}

/// Whether a name can be one of ours: in a URL's path, in a document, with `:` between containers.
fn is_sound(name: &str) -> bool {
    !name.is_empty() && name.len() <= 400 && name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '/' | ':'))
}

#[cfg(test)]
mod tests;
