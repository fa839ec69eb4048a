//! Which cgroups there are in one hierarchy: directories and their inodes, read relative to an open root.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use super::{CgroupError, CgroupPath};

/// One hierarchy, kept open at its root.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    fd: OwnedFd,
}

/// A cgroup directly under another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// Its directory's name.
    pub name: String,
    /// Its directory's inode: the kernel's id of the cgroup, not used again while the hierarchy lives.
    pub id: u64,
}

impl Tree {
    /// Opens the hierarchy that is mounted at `root`.
    pub fn open(root: &Path) -> Result<Self, CgroupError> {
        let fd = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| CgroupError::NotMounted { root: root.to_owned(), why: errno.desc().to_owned() })?;
        Ok(Self { root: root.to_owned(), fd })
    }

    /// The whole path of a cgroup's directory.
    pub fn directory(&self, path: &CgroupPath) -> PathBuf {
        self.root.join(path.as_str())
    }

    /// The cgroups directly under `path`, by name; `None` when there is no such cgroup (any more).
    ///
    /// A name that is no UTF-8 is left out: nothing in a document could name it.
    pub fn children(&self, path: &CgroupPath) -> Result<Option<Vec<Child>>, CgroupError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let mut dir = match Dir::openat(&self.fd, relative(path), flags, Mode::empty()) {
            Ok(dir) => dir,
            Err(errno) => return self.absent(path, errno),
        };
        let mut names = Vec::new();
        for entry in dir.iter() {
            match entry {
                Ok(entry) if entry.file_type() == Some(Type::Directory) => names.extend(name_of(entry.file_name())),
                Ok(_) => {}
                Err(errno) => return self.absent(path, errno),
            }
        }
        let mut children = Vec::with_capacity(names.len());
        for name in names {
            match fstatat(&dir, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => children.push(Child { name, id: stat.st_ino }),
                // Gone since it was listed.
                Err(Errno::ENOENT | Errno::ENODEV) => {}
                Err(errno) => return self.absent(path, errno),
            }
        }
        children.sort_unstable();
        Ok(Some(children))
    }

    /// The id of the cgroup at `path`; `None` when there is none.
    pub fn id(&self, path: &CgroupPath) -> Result<Option<u64>, CgroupError> {
        match fstatat(&self.fd, relative(path), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) if stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits() => Ok(Some(stat.st_ino)),
            Ok(_) => Ok(None),
            Err(errno) => self.absent(path, errno),
        }
    }

    /// Whether a process is in the cgroup at `path` or below; not so when there is no such cgroup.
    ///
    /// Read from `cgroup.procs`, which both versions have: `cgroup.events` is v2's alone.
    pub fn is_populated(&self, path: &CgroupPath) -> Result<bool, CgroupError> {
        if self.has_processes(path)? {
            return Ok(true);
        }
        for child in self.children(path)?.unwrap_or_default() {
            if let Some(below) = path.child(&child.name)
                && self.is_populated(&below)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_processes(&self, path: &CgroupPath) -> Result<bool, CgroupError> {
        let file = format!("{}/cgroup.procs", relative(path));
        let read = openat(&self.fd, file.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())
            .and_then(|file| nix::unistd::read(file, &mut [0]));
        match read {
            Ok(bytes) => Ok(bytes > 0),
            // A threaded cgroup: the processes are listed in the one that it belongs to, above.
            Err(Errno::EOPNOTSUPP) => Ok(false),
            Err(errno) => self.absent(path, errno).map(|_: Option<()>| false),
        }
    }

    /// A cgroup that goes while it is looked at is no error.
    fn absent<T>(&self, path: &CgroupPath, errno: Errno) -> Result<Option<T>, CgroupError> {
        match errno {
            Errno::ENOENT | Errno::ENODEV | Errno::ENOTDIR => Ok(None),
            errno => Err(CgroupError::Read { file: self.directory(path), answer: io::Error::from(errno) }),
        }
    }
}

fn relative(path: &CgroupPath) -> &str {
    if path.as_str().is_empty() { "." } else { path.as_str() }
}

fn name_of(entry: &CStr) -> Option<String> {
    entry.to_str().ok().filter(|name| !matches!(*name, "." | "..")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_directories_only_with_their_inodes() -> Result<(), Box<dyn std::error::Error>> {
        use std::os::unix::fs::MetadataExt as _;

        let root = tempfile::tempdir()?;
        std::fs::create_dir_all(root.path().join("b/inner"))?;
        std::fs::create_dir(root.path().join("a"))?;
        std::fs::write(root.path().join("cpu.stat"), "")?;
        std::os::unix::fs::symlink("a", root.path().join("link"))?;
        let tree = Tree::open(root.path())?;
        let top = CgroupPath::new("").ok_or("root")?;
        let inode = |name: &str| std::fs::metadata(root.path().join(name)).map(|meta| meta.ino());

        let expected = vec![Child { name: "a".into(), id: inode("a")? }, Child { name: "b".into(), id: inode("b")? }];
        assert_eq!(tree.children(&top)?, Some(expected));
        assert_eq!(tree.id(&CgroupPath::new("b/inner").ok_or("path")?)?, Some(inode("b/inner")?));
        for none in ["cpu.stat", "link", "gone", "gone/inner"] {
            let none = CgroupPath::new(none).ok_or("path")?;
            assert_eq!(tree.id(&none)?, None, "{none}");
            assert_eq!(tree.children(&none)?, None, "{none}");
        }
        Ok(())
    }

    #[test]
    fn is_populated_where_a_process_is_in_it_or_below() -> Result<(), Box<dyn std::error::Error>> {
        let root = tempfile::tempdir()?;
        for (group, processes) in [("a/inner/init.scope", "12\n"), ("a/inner", ""), ("a", ""), ("b", ""), ("c", "1\n2\n")] {
            std::fs::create_dir_all(root.path().join(group))?;
            std::fs::write(root.path().join(group).join("cgroup.procs"), processes)?;
        }
        let tree = Tree::open(root.path())?;
        for (group, expected) in [("a", true), ("a/inner", true), ("b", false), ("c", true), ("gone", false), ("", true)] {
            let populated = tree.is_populated(&CgroupPath::new(group).ok_or("path")?)?;
            assert_eq!(populated, expected, "{group:?}");
        }
        Ok(())
    }

    #[test]
    fn a_root_that_is_not_there_is_named() {
        let error = Tree::open(Path::new("/nowhere/cgroup")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/cgroup") && error.contains("No such file"), "{error}");
    }
}
