//! Files and directories of engines, read again only when they changed.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Labels;

/// No file of an engine that names containers is longer.
const LONGEST: u64 = 64 << 20;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Names, by the id of whom they name; one's own by "".
    pub(super) names: HashMap<String, String>,
    /// What is written on the container that the file is about.
    pub(super) labels: Labels,
}

/// Tells a file from what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug)]
struct Kept {
    stamp: Stamp,
    said: Arc<Said>,
    asked: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Files {
    kept: HashMap<PathBuf, Kept>,
}

impl Files {
    /// What the file says, by `read` of its text. The error names the file.
    pub(super) fn file(&mut self, path: &Path, read: impl FnOnce(&str) -> Result<Said, String>) -> Result<Arc<Said>, String> {
        self.look(path, |path| {
            let mut text = String::new();
            File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
            read(&text).map_err(io::Error::other)
        })
    }

    /// What the names in a directory say.
    pub(super) fn directory(&mut self, path: &Path, read: impl Fn(&str, &mut Said)) -> Result<Arc<Said>, String> {
        self.look(path, |path| {
            let mut said = Said::default();
            for entry in std::fs::read_dir(path)? {
                read(&entry?.file_name().to_string_lossy(), &mut said);
            }
            Ok(said)
        })
    }

    /// Forgets what was not asked for since the last time.
    pub(super) fn sweep(&mut self) {
        self.kept.retain(|_, kept| std::mem::take(&mut kept.asked));
    }

    fn look(&mut self, path: &Path, read: impl FnOnce(&Path) -> io::Result<Said>) -> Result<Arc<Said>, String> {
        let told = |e: io::Error| format!("{}: {e}", path.display());
        let stamp = Stamp::of(&std::fs::metadata(path).map_err(told)?);
        if let Some(kept) = self.kept.get_mut(path).filter(|kept| kept.stamp == stamp) {
            kept.asked = true;
            return Ok(Arc::clone(&kept.said));
        }
        let said = Arc::new(read(path).map_err(told)?);
        self.kept.insert(path.to_owned(), Kept { stamp, said: Arc::clone(&said), asked: true });
        Ok(said)
    }
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            file: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}
