//! LXC and LXD (and Incus), whose cgroups alike are called `lxc.payload.<name>`, so that only their files tell them apart.
//!
//! | | file | labels |
//! | --- | --- | --- |
//! | LXD | `<root>/containers/[<project>_]<name>/backup.yaml`, written whenever its configuration changes | `user.*`, profiles included |
//! | LXC | `<root>/<name>/config` | `lxc.environment = <key>=<value>` |
//!
//! Names of LXD's projects have no `_`, nor have its containers' names: `<project>_<name>` is unique, and what it is called.

use std::path::{Path, PathBuf};

use super::files::{Files, Said};
use super::{Engine, Identity, Labels};

pub(super) fn ask(files: &mut Files, lxd: &[PathBuf], lxc: &[PathBuf], name: &str) -> Identity {
    let found = lxd.iter().map(|root| root.join("containers").join(name)).find(|dir| dir.symlink_metadata().is_ok());
    let (engine, labels) = if let Some(dir) = found {
        (Engine::Lxd, labels(files, &dir.join("backup.yaml"), backup))
    } else {
        let file = lxc.iter().map(|root| root.join(name).join("config")).find(|file| file.exists());
        (Engine::Lxc, file.map(|file| labels(files, &file, config)).unwrap_or_default())
    };
    Identity { engine: Some(engine), labels, ..Identity::default() }
}

/// It has its name all the same.
fn labels(files: &mut Files, file: &Path, read: fn(&str) -> Labels) -> Labels {
    match files.file(file, |text| Ok(Said { labels: read(text), ..Said::default() })) {
        Ok(said) => said.labels.clone(),
        Err(e) => {
            tracing::debug!("no labels: {e}");
            Labels::new()
        }
    }
}

fn config(text: &str) -> Labels {
    let set = |line: &str| {
        let (key, value) = line.trim().strip_prefix("lxc.environment")?.trim_start().strip_prefix('=')?.trim().split_once('=')?;
        Some((key.to_owned(), value.trim_matches('"').to_owned()))
    };
    text.lines().filter_map(set).collect()
}

/// The block `expanded_config` of `container` (`instance` in later versions), as Go's YAML library writes it: one line a key, two spaces a
/// level.
fn backup(text: &str) -> Labels {
    let of_instance = text.lines().skip_while(|line| !matches!(*line, "container:" | "instance:")).skip(1);
    let of_instance = of_instance.take_while(|line| line.starts_with(' '));
    let expanded =
        of_instance.skip_while(|line| *line != "  expanded_config:").skip(1).take_while(|line| line.starts_with("    "));
    let set = |line: &str| {
        let (key, value) = line.trim().strip_prefix("user.")?.split_once(": ")?;
        Some((key.to_owned(), plain(value.trim())))
    };
    expanded.filter_map(set).collect()
}

/// A YAML scalar on one line.
fn plain(scalar: &str) -> String {
    if scalar.starts_with('"') {
        return serde_json::from_str(scalar).unwrap_or_else(|_| scalar.to_owned());
    }
    match scalar.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        Some(quoted) => quoted.replace("''", "'"),
        None => scalar.to_owned(),
    }
}
