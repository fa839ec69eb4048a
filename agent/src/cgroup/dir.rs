//! Kept handles: a cgroup's directory in one hierarchy, and files opened relative to it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use nix::dir::{Dir as Listing, Type};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode as Permissions, fstat, fstatat};

use super::CgroupPath;
use super::error::{CgroupError, Result};
use super::hierarchies::{Controller, Hierarchy, Version};

/// A cgroup's directory in one hierarchy. The handle stays with this incarnation: once the cgroup is removed, nothing can be
/// opened through it, whatever is made under the same path later.
#[derive(Debug)]
pub(super) struct Dir {
    fd: OwnedFd,
    inode: u64,
    hierarchy: Arc<Hierarchy>,
    path: CgroupPath,
}

/// How a file is to be opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    ReadWrite,
}

impl Dir {
    /// Opens `path` below the root of `hierarchy`.
    pub(super) fn open(hierarchy: &Arc<Hierarchy>, path: &CgroupPath) -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(&hierarchy.fd, relative(path), flags, Permissions::empty())
            .and_then(|fd| fstat(&fd).map(|stat| (fd, stat.st_ino)));
        match opened {
            Ok((fd, inode)) => Ok(Self { fd, inode, hierarchy: Arc::clone(hierarchy), path: path.clone() }),
            Err(nix::Error::ENOENT | nix::Error::ENODEV | nix::Error::ENOTDIR) => Err(CgroupError::Gone { path: path.clone() }),
            Err(errno) => Err(CgroupError::Read { file: hierarchy.root.join(path.as_str()), answer: errno.into() }),
        }
    }

    /// The kernel's id of the cgroup: its inode, never given out twice within a hierarchy.
    pub(super) fn inode(&self) -> u64 {
        self.inode
    }

    pub(super) fn version(&self) -> Version {
        self.hierarchy.version
    }

    /// Whether this very cgroup is still there.
    pub(super) fn alive(&self) -> bool {
        fstatat(&self.hierarchy.fd, relative(&self.path), AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| stat.st_ino == self.inode)
    }

    /// The whole path of a file in it, for people.
    pub(super) fn whole(&self, name: &str) -> PathBuf {
        self.hierarchy.root.join(self.path.as_str()).join(name)
    }

    pub(super) fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// The directory of the cgroup above in the same hierarchy; `None` for the root.
    pub(super) fn parent(&self) -> Result<Option<Self>> {
        self.path.parent().map(|parent| Self::open(&self.hierarchy, &parent)).transpose()
    }

    /// The directories of the cgroups right below it.
    pub(super) fn children(&self) -> Result<Vec<Self>> {
        let failed = |errno: nix::Error| self.read_error("", Controller::Cpu, errno.into());
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = Listing::openat(&self.fd, ".", flags, Permissions::empty()).map_err(failed)?;
        let mut children = Vec::new();
        for entry in listing.iter() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy();
            if entry.file_type() != Some(Type::Directory) || name == "." || name == ".." {
                continue;
            }
            let Some(path) = self.path.child(&name) else { continue };
            match Self::open(&self.hierarchy, &path) {
                Ok(child) => children.push(child),
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(children)
    }

    /// Opens a file of it to be kept.
    pub(super) fn file(self: &Arc<Self>, name: &'static str, controller: Controller, access: Access) -> Result<KeptFile> {
        let file = self.open_file(name, controller, access)?;
        Ok(KeptFile { file, name, controller, dir: Arc::clone(self) })
    }

    fn open_file(&self, name: &str, controller: Controller, access: Access) -> Result<File> {
        let how = match access {
            Access::Read => OFlag::O_RDONLY,
            Access::Write => OFlag::O_WRONLY,
            Access::ReadWrite => OFlag::O_RDWR,
        };
        match openat(&self.fd, name, how | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Permissions::empty()) {
            Ok(fd) => Ok(File::from(fd)),
            Err(_) if !self.alive() => Err(self.gone()),
            // ENODEV: the file of a controller that is being taken away, or of a cgroup that is being removed.
            Err(nix::Error::ENOENT | nix::Error::ENODEV) => Err(self.no_controller(name, controller)),
            Err(errno) if access == Access::Read => Err(CgroupError::Read { file: self.whole(name), answer: errno.into() }),
            Err(errno) => {
                let value = String::new();
                Err(CgroupError::Write {
                    file: self.whole(name),
                    value,
                    why: "; it cannot be opened to be written",
                    answer: errno.into(),
                })
            }
        }
    }

    fn no_controller(&self, name: &str, controller: Controller) -> CgroupError {
        CgroupError::NoController {
            path: self.path.clone(),
            file: name.to_owned(),
            controller: controller.key(self.version()),
            advice: self.advice(controller),
        }
    }

    fn advice(&self, controller: Controller) -> String {
        match self.version() {
            Version::V1 => "this kernel does not have it".to_owned(),
            Version::V2 if self.path.parent().is_none() => "the root cgroup has none".to_owned(),
            Version::V2 => {
                let name = controller.key(Version::V2);
                format!("not in cgroup.subtree_control of the cgroup above it (write +{name} there), or the kernel is too old")
            }
        }
    }

    fn gone(&self) -> CgroupError {
        CgroupError::Gone { path: self.path.clone() }
    }

    /// All of a file.
    pub(super) fn read(&self, name: &str, controller: Controller) -> Result<String> {
        let file = self.open_file(name, controller, Access::Read)?;
        let text = whole_text(&file).map_err(|answer| self.read_error(name, controller, answer))?;
        String::from_utf8(text).map_err(|_not| self.read_error(name, controller, io::ErrorKind::InvalidData.into()))
    }

    /// Reads a file through `parse`, which says `None` to what it does not understand.
    pub(super) fn parse<T>(
        &self,
        name: &str,
        controller: Controller,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        let text = self.read(name, controller)?;
        parse(&text).ok_or_else(|| CgroupError::Parse { file: self.whole(name), text, expected })
    }

    /// Writes `value` in one go.
    pub(super) fn write(&self, name: &str, controller: Controller, value: &str) -> Result<()> {
        let file = self.open_file(name, controller, Access::Write)?;
        // A plain file of a fake tree keeps its end when something shorter is written; cgroupfs has no length to set.
        if !self.hierarchy.checked {
            file.set_len(0).map_err(|answer| self.write_error(name, controller, value, answer))?;
        }
        // An empty write would not reach the kernel's handler: the newline makes it one.
        let line = format!("{value}\n");
        file.write_all_at(line.as_bytes(), 0).map_err(|answer| self.write_error(name, controller, value, answer))
    }

    fn read_error(&self, name: &str, controller: Controller, answer: io::Error) -> CgroupError {
        self.taken_away(name, controller, &answer).unwrap_or_else(|| CgroupError::Read { file: self.whole(name), answer })
    }

    fn write_error(&self, name: &str, controller: Controller, value: &str, answer: io::Error) -> CgroupError {
        let taken_away = match (controller, answer.raw_os_error()) {
            // There it may be the disk that is not there.
            (Controller::Io, Some(nix::libc::ENODEV)) if self.alive() => None,
            _ => self.taken_away(name, controller, &answer),
        };
        taken_away.unwrap_or_else(|| CgroupError::Write {
            file: self.whole(name),
            value: value.to_owned(),
            why: meaning(name, &answer),
            answer,
        })
    }

    /// What it means that an open file answers so, where it means that the file is gone: with its cgroup, or with its controller. A
    /// cgroup that is being removed loses its controllers' files first and is there for a moment without them.
    fn taken_away(&self, name: &str, controller: Controller, answer: &io::Error) -> Option<CgroupError> {
        if !self.alive() {
            return Some(self.gone());
        }
        (answer.raw_os_error() == Some(nix::libc::ENODEV)).then(|| self.no_controller(name, controller))
    }
}

/// All of a file that says of itself that it is empty, as those of cgroupfs do: where std would ask for its length and begin with
/// a few bytes, this takes two calls of the kernel.
fn whole_text(file: &File) -> io::Result<Vec<u8>> {
    let (mut text, mut length) = (vec![0; 4096], 0);
    loop {
        match file.read_at(&mut text[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if length == text.len() {
            text.resize(2 * length, 0);
        }
    }
    text.truncate(length);
    Ok(text)
}

/// What the kernel means by refusing a write, where it is known.
fn meaning(name: &str, error: &io::Error) -> &'static str {
    use nix::libc::{EACCES, EINVAL, ENODEV, ENOSPC, EPERM, ERANGE, EROFS};
    match (name.split('.').next(), error.raw_os_error()) {
        (_, Some(EROFS)) => "; cgroupfs is mounted read-only",
        (Some("cpuset"), Some(EACCES)) => "; the cgroup above it does not have these CPUs",
        (Some("cpuset"), Some(EINVAL | ERANGE)) => "; this host does not have these CPUs",
        (Some("cpuset"), Some(ENOSPC)) => "; processes run in it, so it needs CPUs and memory nodes",
        (Some("io" | "blkio"), Some(ENODEV)) => "; there is no such disk (limits are for whole disks, not for partitions)",
        (_, Some(EACCES | EPERM)) => "; this needs root, and a cgroup that is not somebody else's to manage",
        _ => "",
    }
}

/// Where `path` is, for `openat` on the hierarchy's root.
fn relative(path: &CgroupPath) -> &str {
    if path.as_str().is_empty() { "." } else { path.as_str() }
}

/// One file kept open: a read is one `pread`, a write one `pwrite`, neither allocates unless it fails.
#[derive(Debug)]
pub(super) struct KeptFile {
    file: File,
    name: &'static str,
    controller: Controller,
    dir: Arc<Dir>,
}

impl KeptFile {
    /// All of the file, in one `pread`; `buffer` must be longer than the file.
    pub(super) fn read<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b str> {
        let length = self.file.read_at(buffer, 0).map_err(|answer| self.dir.read_error(self.name, self.controller, answer))?;
        let text = &buffer[..length];
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text),
            Err(_) => Err(self.not_understood(&String::from_utf8_lossy(text), "text")),
        }
    }

    /// Writes `value` in one `pwrite`.
    pub(super) fn write(&self, value: &str) -> Result<()> {
        let written = if self.dir.hierarchy.checked { Ok(()) } else { self.file.set_len(0) }
            .and_then(|()| self.file.write_all_at(value.as_bytes(), 0));
        written.map_err(|answer| self.dir.write_error(self.name, self.controller, value, answer))
    }

    /// The error for a text that makes no sense.
    pub(super) fn not_understood(&self, text: &str, expected: &'static str) -> CgroupError {
        CgroupError::Parse { file: self.whole(), text: text.to_owned(), expected }
    }

    /// Its whole path, for people.
    pub(super) fn whole(&self) -> PathBuf {
        self.dir.whole(self.name)
    }
}
