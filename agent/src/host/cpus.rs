//! Which CPUs are online, asked often.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{HostError, parse_error};
use crate::cgroup::CpuList;

/// Longer than any list of CPUs that a kernel of ours writes: it is one page at most.
const PAGE: usize = 4096;

/// The kernel's list of online CPUs, kept open: one `pread` each time, so that a loop may ask every second.
#[derive(Debug)]
pub struct Hotplug {
    path: PathBuf,
    file: File,
}

impl Hotplug {
    /// Of this host.
    pub fn open() -> Result<Self, HostError> {
        Self::at(Path::new("/sys/devices/system/cpu/online"))
    }

    fn at(path: &Path) -> Result<Self, HostError> {
        let file = File::open(path).map_err(|cause| HostError::Read { file: path.to_owned(), cause })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// The CPUs that are online now. There is always one.
    pub fn online(&self) -> Result<CpuList, HostError> {
        let mut page = [0; PAGE];
        let read = self.file.read_at(&mut page, 0).map_err(|cause| HostError::Read { file: self.path.clone(), cause })?;
        let text = String::from_utf8_lossy(page.get(..read).unwrap_or_default());
        match text.parse::<CpuList>() {
            Ok(cpus) if !cpus.is_empty() => Ok(cpus),
            _ => Err(parse_error(&self.path, &text, "a list of CPUs such as 0-3")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_cpus_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("online");
        std::fs::write(&path, "0-3\n").unwrap();
        let hotplug = Hotplug::at(&path).unwrap();
        assert_eq!(hotplug.online().unwrap(), (0..4).collect());
        std::fs::write(&path, "0,2-3\n").unwrap();
        assert_eq!(hotplug.online().unwrap(), [0, 2, 3].into_iter().collect());
        std::fs::write(&path, "\n").unwrap();
        assert!(hotplug.online().unwrap_err().to_string().contains("0-3"));
    }

    #[test]
    fn this_host_has_cpus_each_time_it_is_asked() {
        let hotplug = Hotplug::open().unwrap();
        let first = hotplug.online().unwrap();
        assert!(!first.is_empty());
        assert_eq!(hotplug.online().unwrap(), first);
    }
}
