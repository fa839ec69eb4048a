//! Kubernetes: what the kubelet calls its log files tells namespace, pod and container.
//!
//! | file | tells |
//! | --- | --- |
//! | `/var/log/containers/<pod>_<namespace>_<container>-<id>.log` | all of a container that has begun |
//! | `/var/log/pods/<namespace>_<pod>_<uid>` | the pod, also of its sandbox and of a container that has written no log |
//! | containerd's, CRI-O's or Docker's files | labels: those that the runtime was given |
//!
//! It is called `<namespace>_<pod>_<container>`: none of the three may have a `_`, and a URL takes it as it is. What is no container of the
//! pod's (its sandbox) has the first digits of its id in the container's place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Files, Said};
use super::{Identity, Labels, Roots, docker, oci};
use crate::cgroup::CgroupPath;
use crate::containers::naming::short;
use crate::containers::pod::Pod;

/// The keys under which CRI-O and Docker keep the same; with containerd they are ours.
const NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD: &str = "io.kubernetes.pod.name";
const CONTAINER: &str = "io.kubernetes.container.name";

/// Whether such labels are those of a pod's sandbox: it is the pod's, and no container of it. Runtimes that label one call it `POD`.
pub(in crate::containers) fn is_sandbox(labels: &Labels) -> bool {
    labels.contains_key(NAMESPACE) && labels.get(CONTAINER).is_none_or(|name| name == "POD")
}

pub(super) fn ask(files: &mut Files, roots: &Roots, id: &str, path: &CgroupPath) -> Identity {
    let parts: Vec<&str> = path.as_str().split('/').collect();
    let pod = Pod::of(&parts[..parts.len().saturating_sub(1)]);
    let mut labels = labels(files, roots, id);
    let container = named(files, &roots.kubernetes, "containers", of_log, id);
    let whole = container.or_else(|| named(files, &roots.kubernetes, "pods", of_pod, &pod?.uid));
    let Some(mut name) = whole else {
        let trouble =
            format!("no log below {:?} names it; discovery.roots.kubernetes should have the kubelet's", roots.kubernetes);
        return Identity { labels, trouble: Some(trouble), ..Identity::default() };
    };
    for (key, part) in [NAMESPACE, POD, CONTAINER].into_iter().zip(name.split('_')) {
        labels.insert(key.to_owned(), part.to_owned());
    }
    if name.matches('_').count() == 1 {
        name = format!("{name}_{}", short(id));
    }
    Identity { name: Some(name), labels, ..Identity::default() }
}

fn named(
    files: &mut Files,
    roots: &[PathBuf],
    directory: &str,
    read: fn(&str) -> Option<(&str, String)>,
    key: &str,
) -> Option<String> {
    let read = |file: &str, said: &mut Said| said.names.extend(read(file).map(|(key, name)| (key.to_owned(), name)));
    roots.iter().find_map(|root| files.directory(&root.join(directory), read).ok()?.names.get(key).cloned())
}

/// A name in `/var/log/containers`: the container's id and its name.
fn of_log(file: &str) -> Option<(&str, String)> {
    let (name, id) = file.strip_suffix(".log")?.rsplit_once('-')?;
    let mut parts = name.split('_');
    let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then(|| (id, format!("{namespace}_{pod}_{container}")))
}

/// A name in `/var/log/pods`: the pod's uid and its name.
fn of_pod(directory: &str) -> Option<(&str, String)> {
    let (name, uid) = directory.rsplit_once('_')?;
    Some((uid, name.to_owned()))
}

/// By whichever runtime knows it.
fn labels(files: &mut Files, roots: &Roots, id: &str) -> Labels {
    let containerd = roots.containerd.iter().map(|root| root.join("io.containerd.runtime.v2.task/k8s.io").join(id));
    let crio = roots.crio.iter().map(|root| root.join("overlay-containers").join(id).join("userdata"));
    let spec = |files: &mut Files, dir: &Path| files.file(&dir.join("config.json"), oci::read).ok();
    let said: Option<Arc<Said>> = containerd.chain(crio).find_map(|dir| spec(files, &dir));
    match said {
        Some(said) => said.labels.clone(),
        None => docker::said(files, &roots.docker, id).map(|(_, labels)| labels).unwrap_or_default(),
    }
}
