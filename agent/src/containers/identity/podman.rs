//! Podman: its storage lists ids and names, also of those without an image (`--rootfs`), and is written at each rename.
//!
//! Labels are in Podman's database alone, whose format is its own affair and changes. Annotations
//! (`--annotation`, quadlet's `Annotation=`) are in the container's `config.json`: they are taken as its labels.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::{Files, Said};
use super::{Identity, oci};

/// The second holds those that are not to outlive a boot.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];
/// Storage drivers.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

pub(super) fn ask(files: &mut Files, roots: &[PathBuf], id: &str) -> Identity {
    let mut trouble = None;
    for dir in roots.iter().flat_map(|root| DRIVERS.map(|driver| root.join(format!("{driver}-containers")))) {
        for list in LISTS.map(|list| dir.join(list)).into_iter().filter(|list| list.exists()) {
            match files.file(&list, read) {
                Ok(said) if said.names.contains_key(id) => return known(files, &dir, id, said.names.get(id).cloned()),
                Ok(_) => {
                    trouble.get_or_insert_with(|| format!("{} does not have it", list.display()));
                }
                Err(e) => trouble = Some(e),
            }
        }
    }
    let trouble = trouble.unwrap_or_else(|| format!("there is no list of containers below {roots:?}"));
    Identity { trouble: Some(format!("{trouble}; discovery.roots.podman should have its graphroot")), ..Identity::default() }
}

fn known(files: &mut Files, dir: &Path, id: &str, name: Option<String>) -> Identity {
    let spec = files.file(&dir.join(id).join("userdata/config.json"), oci::read);
    Identity { name, labels: spec.map(|said| said.labels.clone()).unwrap_or_default(), ..Identity::default() }
}

fn read(text: &str) -> Result<Said, String> {
    let listed: Vec<Listed> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let names = listed.into_iter().filter_map(|one| Some((one.id, one.names.into_iter().next()?))).collect();
    Ok(Said { names, ..Said::default() })
}
