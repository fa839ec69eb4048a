//! LXC and LXD (and Incus), whose cgroups alike are called `lxc.payload.<name>`, so that only their files tell them apart.
//!
//! | | file | labels |
//! | --- | --- | --- |
//! | LXD | `<root>/containers/[<project>_]<name>/backup.yaml`, written whenever its configuration changes | `user.*`, profiles included |
//! | LXC | `<root>/<name>/config` | `lxc.environment = <key>=<value>` |
//!
//! Names of LXD's projects have no `_`, nor have its containers' names: `<project>_<name>` is unique, and what it is called.
//!
//! Where both have a container of the name, one is as a rule stopped: the one that runs listens at the abstract socket
//! `@<its directory>/command`, from before its cgroup is made. (Of a path that is too long for a socket it does not.)

use std::path::{Path, PathBuf};

use super::files::{Files, Said};
use super::{Engine, Identity, Labels, Roots};

pub(super) fn ask(files: &mut Files, roots: &Roots, sockets: &Path, cgroup: &str) -> Identity {
    let name = instance(roots, sockets, cgroup);
    let (lxd, lxc) = directories(roots, name);
    let mut trouble = None;
    let directory = match (lxd, lxc) {
        (Some(lxd), Some(lxc)) => match (runs(sockets, &lxd), runs(sockets, &lxc)) {
            (true, false) => Some((Engine::Lxd, lxd)),
            (false, true) => Some((Engine::Lxc, lxc)),
            _ => {
                trouble = Some(format!(
                    "taken for LXC's, without labels: {} and {} are both called so, and /proc/net/unix does not tell which it is",
                    lxd.display(),
                    lxc.display()
                ));
                None
            }
        },
        (lxd, lxc) => lxd.map(|lxd| (Engine::Lxd, lxd)).or(lxc.map(|lxc| (Engine::Lxc, lxc))),
    };
    let (engine, labels) = match directory {
        Some((Engine::Lxd, directory)) => (Engine::Lxd, labels(files, &directory.join("backup.yaml"), backup)),
        Some((_, directory)) => (Engine::Lxc, labels(files, &directory.join("config"), config)),
        None => (Engine::Lxc, Ok(Labels::new())),
    };
    let labels = labels.unwrap_or_else(|why| {
        trouble = Some(format!("its labels cannot be read: {why}"));
        Labels::new()
    });
    let name = (name != cgroup).then(|| name.to_owned());
    Identity { engine: Some(engine), name, labels, trouble }
}

/// Whose cgroup it is. Where a cgroup was left over from before, LXC puts a number behind the name: `web-1`.
fn instance<'a>(roots: &Roots, sockets: &Path, cgroup: &'a str) -> &'a str {
    let is_known = |name: &str| directories(roots, name) != (None, None);
    let numbered = cgroup.rsplit_once('-').filter(|(_, number)| number.parse::<u32>().is_ok());
    match numbered {
        // What `lxc-execute` runs has no directory, yet it has a socket.
        Some((name, _)) if !is_known(cgroup) && is_known(name) && !all_of(roots, cgroup).any(|dir| runs(sockets, &dir)) => name,
        _ => cgroup,
    }
}

/// Where LXD and where LXC have a container of this name, running or not.
fn directories(roots: &Roots, name: &str) -> (Option<PathBuf>, Option<PathBuf>) {
    let lxd = of_lxd(roots, name).find(|dir| dir.symlink_metadata().is_ok());
    (lxd, of_lxc(roots, name).find(|dir| dir.join("config").exists()))
}

fn of_lxd(roots: &Roots, name: &str) -> impl Iterator<Item = PathBuf> {
    roots.lxd.iter().map(move |root| root.join("containers").join(name))
}

fn of_lxc(roots: &Roots, name: &str) -> impl Iterator<Item = PathBuf> {
    roots.lxc.iter().map(move |root| root.join(name))
}

fn all_of(roots: &Roots, name: &str) -> impl Iterator<Item = PathBuf> {
    of_lxd(roots, name).chain(of_lxc(roots, name))
}

fn runs(sockets: &Path, directory: &Path) -> bool {
    let socket = format!(" @{}/command", directory.display());
    // Names of abstract sockets are whatever bytes somebody likes.
    let all = std::fs::read(sockets).unwrap_or_default();
    String::from_utf8_lossy(&all).lines().any(|line| line.ends_with(&socket))
}

/// It has its name all the same. (Of a pool that only the mount namespace of LXD's snap has there is the link, and nothing behind it.)
fn labels(files: &mut Files, file: &Path, read: fn(&str) -> Labels) -> Result<Labels, String> {
    let said = files.file(file, |text| Ok(Said { labels: read(text), ..Said::default() }))?;
    Ok(said.labels.clone())
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
