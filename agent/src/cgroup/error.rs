//! What cgroupfs can answer instead of doing what was asked.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use super::CgroupPath;

/// The result of everything that touches cgroupfs.
pub type Result<T, E = CgroupError> = std::result::Result<T, E>;

/// A file of cgroupfs that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The cgroup is no longer there; one that was made anew under the same path is another one.
    #[error("cgroup {path} is gone")]
    Gone {
        /// Which.
        path: CgroupPath,
    },
    /// The controller is not mounted, or not enabled for this cgroup, or the kernel's has no such file.
    #[error("{path} has no {file} of the {controller} controller: {advice}")]
    NoController {
        /// Which cgroup.
        path: CgroupPath,
        /// Which file is missing.
        file: String,
        /// Of which controller.
        controller: &'static str,
        /// Why, and what would help.
        advice: String,
    },
    /// The kernel refused a write.
    #[error("{file}: writing {value:?} failed: {answer}{why}")]
    Write {
        /// The file, whole path.
        file: PathBuf,
        /// What was written.
        value: String,
        /// What such an answer means here; begins with "; " where it is not empty.
        why: &'static str,
        /// The kernel's answer.
        answer: io::Error,
    },
    /// The kernel refused a read.
    #[error("{file}: reading failed: {answer}")]
    Read {
        /// The file, whole path.
        file: PathBuf,
        /// The kernel's answer.
        answer: io::Error,
    },
    /// A file has a text that is not understood.
    #[error("{file} reads {text:?}, expected {expected}")]
    Parse {
        /// The file, whole path.
        file: PathBuf,
        /// What it says.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// What was read back is not what was written: somebody else sets this limit too.
    #[error("{file}: wrote {wrote:?} but it reads {reads:?}; does something else set it too?")]
    Verify {
        /// The file, whole path.
        file: PathBuf,
        /// What was written.
        wrote: String,
        /// What stands there.
        reads: String,
    },
    /// A value that no kernel takes; nothing was written.
    #[error("{path}: {what} {value} is out of range, expected {expected}")]
    OutOfRange {
        /// Which cgroup.
        path: CgroupPath,
        /// Of what the value is.
        what: &'static str,
        /// The value with its unit.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// v1 only, where a child may not have more than its parent. (v2 takes the value and lets the least of the ancestors
    /// count: see [`super::Cgroup::effective_cpu_limit`].)
    #[error("{path}: {wanted} shares are more than the {limit} of {ancestor} above it; raise that one first")]
    OverParent {
        /// Which cgroup.
        path: CgroupPath,
        /// What was asked, in shares.
        wanted: f64,
        /// The cgroup above that is in the way.
        ancestor: CgroupPath,
        /// What that one has, in shares.
        limit: f64,
    },
    /// v1 only: a parent may not have less than one of its children.
    #[error("{path}: {wanted} shares are less than a quota that was set below it; lower that one first")]
    UnderChild {
        /// Which cgroup.
        path: CgroupPath,
        /// What was asked, in shares.
        wanted: f64,
    },
    /// A memory limit that the cgroup already exceeds. v1 kernels refuse it themselves (EBUSY); on v2 it would end in the
    /// OOM killer, so it is not even tried.
    #[error("{file}: {wanted_mib} MiB are less than the {usage_mib} MiB in use; {advice}")]
    BelowUsage {
        /// The file, whole path.
        file: PathBuf,
        /// What was asked.
        wanted_mib: f64,
        /// What is in use and cannot be given back.
        usage_mib: f64,
        /// What can be done about it.
        advice: &'static str,
    },
    /// A write failed, and so did putting back what had been written before it: the limits stand half-way.
    #[error("{cause}; and what had been changed before could not be put back: {undo}")]
    HalfDone {
        /// What failed first.
        cause: Box<CgroupError>,
        /// What failed while undoing.
        undo: Box<CgroupError>,
    },
    /// No usable cgroup mount.
    #[error("{root} is no cgroup mount: {why}")]
    NotMounted {
        /// Where it was looked for.
        root: PathBuf,
        /// What was found.
        why: String,
    },
    /// A cgroup could not be made or removed.
    #[error("{file}: {doing} failed: {why}")]
    Directory {
        /// The directory, whole path.
        file: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The answer.
        why: String,
    },
}

impl CgroupError {
    /// Whether it says that the cgroup is no longer there.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }

    /// Whether it says that the value cannot be had as things stand now: what is in use, or set above or below, is in the way. The
    /// kernel's own such answers are `EBUSY`, `EINVAL` and, for CPUs, `ENOSPC` and `EACCES`.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::BelowUsage { .. } | Self::OverParent { .. } | Self::UnderChild { .. } => true,
            Self::Write { answer, .. } => {
                let errno = answer.raw_os_error().map(Errno::from_raw);
                matches!(errno, Some(Errno::EBUSY | Errno::EINVAL | Errno::ENOSPC | Errno::EACCES))
            }
            _ => false,
        }
    }

    /// Whether it says that there is no such controller or file.
    pub fn is_no_controller(&self) -> bool {
        matches!(self, Self::NoController { .. })
    }

    /// Whether it says that what it is about is not there: the cgroup, or the controller. So does one that is just being removed.
    pub fn is_absent(&self) -> bool {
        self.is_gone() || self.is_no_controller()
    }
}

/// A missing controller is an answer too: `None`.
pub(super) fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_no_controller() => Ok(None),
        Err(error) => Err(error),
    }
}
