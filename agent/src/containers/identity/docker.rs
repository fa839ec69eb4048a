//! Docker: `<root>/containers/<id>/config.v2.json`, which the daemon writes before it starts a container and at each rename.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files::{Files, Said};
use super::{Identity, Labels};

#[derive(Deserialize)]
struct File {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Config")]
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Labels", default)]
    labels: Option<Labels>,
}

pub(super) fn ask(files: &mut Files, roots: &[PathBuf], id: &str) -> Identity {
    match said(files, roots, id) {
        Ok((name, labels)) => Identity { name: Some(name), labels, ..Identity::default() },
        Err(trouble) => Identity {
            trouble: Some(format!("{trouble}; discovery.roots.docker should have its data-root")),
            ..Identity::default()
        },
    }
}

/// Whether there is a container of this id.
pub(in crate::containers) fn has(roots: &[PathBuf], id: &str) -> bool {
    roots.iter().any(|root| file_of(root, id).exists())
}

/// Its name and labels by the first root that knows it.
pub(super) fn said(files: &mut Files, roots: &[PathBuf], id: &str) -> Result<(String, Labels), String> {
    let mut trouble = None;
    for root in roots {
        let file = file_of(root, id);
        match files.file(&file, read) {
            Ok(said) => return Ok((said.names.get("").cloned().unwrap_or_default(), said.labels.clone())),
            // Where it is but is not understood, that is what to tell.
            Err(e) if trouble.is_none() || file.exists() => trouble = Some(e),
            Err(_) => {}
        }
    }
    Err(trouble.unwrap_or_else(|| "discovery.roots.docker is empty".to_owned()))
}

fn file_of(root: &Path, id: &str) -> PathBuf {
    root.join("containers").join(id).join("config.v2.json")
}

fn read(text: &str) -> Result<Said, String> {
    let file: File = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let name = file.name.strip_prefix('/').unwrap_or(&file.name).to_owned();
    Ok(Said { names: HashMap::from([(String::new(), name)]), labels: file.config.labels.unwrap_or_default() })
}
