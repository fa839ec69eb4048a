//! Making and removing cgroups: for the quickstart and for tests. Nothing here is in a hurry, so most of it is cgroups-rs.

use std::fs;
use std::path::{Path, PathBuf};

use cgroups_rs::fs::Cgroup as Made;
use cgroups_rs::fs::hierarchies::{V1, V2};

use super::dir::Dir;
use super::error::{CgroupError, Result};
use super::hierarchies::{Controller, Hierarchies, Version};
use super::{Cgroup, CgroupPath};

/// Where cgroups-rs takes cgroup2 to be.
const UNIFIED: &str = "/sys/fs/cgroup";

impl Hierarchies {
    /// Makes a cgroup in the hierarchy of every controller that is used here, and in the v2 tree; v1's cpuset gets the CPUs and memory nodes of the
    /// one above. On v2 the controllers are enabled on the way. What is there already stays. When it fails half-way, what was made is removed.
    pub fn create(&self, path: &CgroupPath) -> Result<Cgroup> {
        let made = self.create_everywhere(path).and_then(|()| self.open(path));
        if made.is_err() {
            // The first failure is what matters; what could be made goes again.
            drop(self.remove(path));
        }
        made
    }

    fn create_everywhere(&self, path: &CgroupPath) -> Result<()> {
        let failed =
            |why: String| CgroupError::Directory { file: self.cpu_root().join(path.as_str()), doing: "making the cgroup", why };
        if self.all().iter().any(|hierarchy| !hierarchy.checked) {
            return Err(failed("this is a tree of plain files".to_owned()));
        }
        let names = self.names(Version::V1);
        if !names.is_empty() {
            Made::new_with_specified_controllers(Box::new(V1::new()), path.as_str(), Some(names))
                .map_err(|e| failed(e.to_string()))?;
        }
        match self.unified_root() {
            Some(root) if root == Path::new(UNIFIED) => {
                let names = self.names(Version::V2);
                Made::new_with_specified_controllers(Box::new(V2::new()), path.as_str(), Some(names))
                    .map_err(|e| failed(e.to_string()))?;
            }
            Some(root) => self.create_unified(root, path)?,
            None => {}
        }
        Ok(())
    }

    /// The v2 tree of a hybrid host.
    fn create_unified(&self, root: &Path, path: &CgroupPath) -> Result<()> {
        let failed = |file: PathBuf, why: std::io::Error| CgroupError::Directory {
            file,
            doing: "making the cgroup",
            why: why.to_string(),
        };
        let mut directory = root.to_owned();
        for part in path.as_str().split('/') {
            for name in self.names(Version::V2) {
                let file = directory.join("cgroup.subtree_control");
                fs::write(&file, format!("+{name}")).map_err(|error| failed(file, error))?;
            }
            directory.push(part);
            if !directory.is_dir() {
                fs::create_dir(&directory).map_err(|error| failed(directory.clone(), error))?;
            }
        }
        Ok(())
    }

    /// Removes a cgroup and all below it, from every hierarchy. Processes must have left it.
    pub fn remove(&self, path: &CgroupPath) -> Result<()> {
        if path.as_str().is_empty() {
            return Err(CgroupError::Directory {
                file: self.cpu_root().to_owned(),
                doing: "removing it",
                why: "it is the root".to_owned(),
            });
        }
        let mut first_failure = Ok(());
        for hierarchy in self.all() {
            let removed = remove_below(&hierarchy.root.join(path.as_str()));
            first_failure = first_failure.and(removed);
        }
        first_failure
    }

    /// Moves a process into a cgroup, in every hierarchy that has it.
    pub fn add_process(&self, path: &CgroupPath, pid: u32) -> Result<()> {
        let cgroup = self.open(path)?;
        for hierarchy in self.all() {
            match Dir::open(hierarchy, cgroup.path()) {
                Ok(dir) => dir.write("cgroup.procs", Controller::Cpu, &pid.to_string())?,
                Err(error) if error.is_gone() && cgroup.alive() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn names(&self, version: Version) -> Vec<String> {
        let here = self.controllers().into_iter().filter(|place| place.version == version);
        here.map(|place| Controller::key(place.controller, version).to_owned()).collect()
    }
}

/// Removes a directory of cgroups, the deepest first: their files cannot be, and need not be, removed.
fn remove_below(directory: &Path) -> Result<()> {
    let failed =
        |why: std::io::Error| CgroupError::Directory { file: directory.to_owned(), doing: "removing it", why: why.to_string() };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            remove_below(&entry.path())?;
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}
