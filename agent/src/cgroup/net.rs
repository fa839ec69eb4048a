//! The network: cgroups do not count it, so it is read where a process of the cgroup sees it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Cgroup;
use super::dir::Dir;
use super::error::{CgroupError, Result};
use super::hierarchies::Controller;

/// What went through the interfaces that a cgroup's processes see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetReading {
    /// Whether they are the host's own: then the numbers are the whole host's, and no container's.
    pub shares_host: bool,
    /// Each interface but the loopback, in the kernel's order.
    pub interfaces: Vec<InterfaceReading>,
}

impl NetReading {
    /// Received and sent through all of them, in bytes; `None` where they are the host's.
    pub fn bytes(&self) -> Option<[u64; 2]> {
        let sum = |of: fn(&InterfaceReading) -> u64| self.interfaces.iter().map(of).sum::<u64>();
        (!self.shares_host).then(|| [sum(|interface| interface.received_bytes), sum(|interface| interface.sent_bytes)])
    }
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceReading {
    /// Its name inside the container.
    pub name: String,
    /// Received since it was made, in bytes.
    pub received_bytes: u64,
    /// Sent since it was made, in bytes.
    pub sent_bytes: u64,
}

/// `None` where no process runs.
pub(super) fn read(cgroup: &Cgroup) -> Result<Option<NetReading>> {
    // A process may end, and its number go to another, while it is looked at: only one that is in the cgroup before and after counts.
    for pid in cgroup.processes()? {
        let reading = reading_of(&Path::new("/proc").join(pid.to_string()));
        if let Some(reading) = reading
            && cgroup.processes()?.contains(&pid)
        {
            return Ok(Some(reading));
        }
    }
    Ok(None)
}

/// The processes of a cgroup and of all below it. One that is threaded has none, it has threads: v2 answers `EOPNOTSUPP`, and lists the
/// processes in the cgroup above that is not.
pub(super) fn processes(dir: &Dir, controller: Controller) -> Result<Vec<u32>> {
    let mut pids: Vec<u32> = match dir.read("cgroup.procs", controller) {
        Ok(text) => text.lines().filter_map(|line| line.parse().ok()).collect(),
        Err(CgroupError::Read { answer, .. }) if answer.raw_os_error() == Some(nix::libc::EOPNOTSUPP) => Vec::new(),
        Err(error) => return Err(error),
    };
    for child in dir.children()? {
        match processes(&child, controller) {
            Ok(more) => pids.extend(more),
            // It went away in the meantime.
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(pids)
}

/// `net/dev` is another file, with another inode, in every network namespace: that tells them apart also where `ns/net` may not be looked at.
fn reading_of(process: &Path) -> Option<NetReading> {
    let namespace = |process: &Path| fs::metadata(process.join("net/dev")).ok().map(|metadata| metadata.ino());
    let interfaces = parse(&fs::read_to_string(process.join("net/dev")).ok()?);
    Some(NetReading { shares_host: namespace(process)? == namespace(Path::new("/proc/1"))?, interfaces })
}

/// `/proc/PID/net/dev`: two lines of headings, then eight columns received and eight sent, the first of each being bytes.
fn parse(text: &str) -> Vec<InterfaceReading> {
    let line = |line: &str| {
        let (name, columns) = line.split_once(':')?;
        let mut columns = columns.split_whitespace();
        let received_bytes = columns.next()?.parse().ok()?;
        let sent_bytes = columns.nth(7)?.parse().ok()?;
        let name = name.trim().to_owned();
        (name != "lo").then_some(InterfaceReading { name, received_bytes, sent_bytes })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_net_dev() {
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1880      20    0    0    0     0          0         0     1880      20    0    0    0     0       0          0
  eth0:12345      6    0    0    0     0          0         0      678       9    0    0    0     0       0          0
";
        let eth0 = InterfaceReading { name: "eth0".into(), received_bytes: 12_345, sent_bytes: 678 };
        assert_eq!(parse(text), [eth0]);
    }
}
