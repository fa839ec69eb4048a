//! Files and directories of engines, read again only when they changed.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Labels;

/// No file of an engine that names containers is longer.
const LONGEST: u64 = 64 << 20;

/// A stamp of this age is no later change's: file systems count time in steps, of a second at most.
const SETTLED: Duration = Duration::from_secs(2);

/// How long what was read under a younger stamp is kept all the same: a list is not read anew for each one that is on it.
const ONE_ROUND: Duration = Duration::from_millis(20);

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
    /// Until when that counts, where the stamp was too young to be believed: what changed right after the reading has the same one.
    until: Option<Instant>,
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
        if let Some(kept) = self.kept.get_mut(path).filter(|kept| kept.stamp == stamp && kept.is_good(Instant::now())) {
            kept.asked = true;
            return Ok(Arc::clone(&kept.said));
        }
        let settled = stamp.is_settled(SystemTime::now());
        let said = Arc::new(read(path).map_err(told)?);
        let until = (!settled).then(|| Instant::now() + ONE_ROUND);
        self.kept.insert(path.to_owned(), Kept { stamp, said: Arc::clone(&said), until, asked: true });
        Ok(said)
    }
}

impl Kept {
    fn is_good(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
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

    /// Whether whatever changes from `now` on gets another one. It does not where the clock was set back.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        [self.modified, self.changed]
            .iter()
            .all(|(seconds, _)| u64::try_from(*seconds).is_ok_and(|seconds| Duration::from_secs(seconds) + SETTLED <= now))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::*;

    #[test]
    fn what_was_read_right_after_a_change_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("first"), "").unwrap();
        let mut files = Files::default();
        let reads = Cell::new(0);
        let mut names = || {
            let read = |name: &str, said: &mut Said| {
                reads.set(reads.get() + 1);
                said.names.insert(name.to_owned(), String::new());
            };
            files.directory(dir.path(), read).unwrap().names.len()
        };
        assert_eq!(names(), 1);
        std::thread::sleep(ONE_ROUND);
        assert_eq!((names(), reads.get()), (1, 2), "under the same stamp");
        fs::write(dir.path().join("second"), "").unwrap();
        std::thread::sleep(ONE_ROUND);
        assert_eq!(names(), 2);
    }

    #[test]
    fn a_stamp_settles_with_time() {
        let at = |seconds: i64| Stamp { file: (1, 1), size: 0, modified: (seconds, 999_999_999), changed: (seconds, 0) };
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(100_500);
        let settled = [50, 98, 99, 100, 101].map(|seconds| at(seconds).is_settled(now));
        assert_eq!(settled, [true, true, false, false, false]);
        let touched = Stamp { changed: (100, 0), ..at(50) };
        assert!(!touched.is_settled(now), "`touch -d` does not set when that was");
    }

    #[test]
    fn what_was_read_under_a_settled_stamp_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "old").unwrap();
        let mut files = Files::default();
        let read = |text: &str| Ok(Said { names: HashMap::from([(String::new(), text.to_owned())]), ..Said::default() });
        files.file(&file, read).unwrap();
        let kept = files.kept.get_mut(&file).unwrap();
        assert!(kept.until.is_some());
        kept.until = None;
        std::thread::sleep(ONE_ROUND);
        files.file(&file, |_| Err("it was read again".to_owned())).unwrap();
        files.sweep();
        files.sweep();
        assert!(files.kept.is_empty());
    }
}
