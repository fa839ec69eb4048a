//! A real disk with room for files, and who writes to it, for those tests that need one.
#![allow(dead_code, reason = "every test uses the part that it needs")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use headroom_agent::cgroup::Device;
use tempfile::TempDir;

use crate::support::TestCgroup;

/// What `cargo xtask vm --disk` calls it.
const SERIAL: &str = "headroom-test";
pub(crate) const MIB: f64 = 1_048_576.0;

/// A directory on a disk that takes limits, until this is dropped.
pub(crate) struct Disk {
    /// The whole disk.
    pub(crate) device: Device,
    /// Where it is mounted for the test; `None` where it is the machine's own.
    mounted: Option<PathBuf>,
    dir: TempDir,
}

/// The name below `/sys/block` of the disk that guests have for tests; it may be written over.
fn of_guest() -> Option<String> {
    let disks = fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let has_serial =
        |disk: &String| fs::read_to_string(format!("/sys/block/{disk}/serial")).is_ok_and(|serial| serial.trim() == SERIAL);
    disks.into_iter().find(has_serial)
}

pub(crate) fn guests_disk() -> String {
    of_guest().expect("a guest's disk: cargo xtask vm --disk 256")
}

pub(crate) fn number(of: &str) -> Device {
    fs::read_to_string(format!("/sys/class/block/{of}/dev")).unwrap().trim().parse().unwrap()
}

pub(crate) fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Disk {
    /// A guest's disk, with a new filesystem on it.
    pub(crate) fn guests() -> Self {
        let name = guests_disk();
        let node = Path::new("/dev").join(&name);
        let dir = TempDir::new().unwrap();
        done(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&node));
        done(Command::new("mount").arg(&node).arg(dir.path()));
        Self { device: number(&name), mounted: Some(node), dir }
    }

    /// A guest's disk, or that below this machine's target directory, on which nothing but files of the test's own are touched.
    pub(crate) fn any() -> Self {
        if of_guest().is_some() {
            return Self::guests();
        }
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let source = done(Command::new("findmnt").args(["--noheadings", "--output", "SOURCE", "--target"]).arg(dir.path()));
        let source = source.trim().split('[').next().unwrap();
        let rdev = fs::metadata(source).unwrap_or_else(|e| panic!("target is on {source:?}, expected a disk: {e}")).rdev();
        let at = format!("/sys/dev/block/{}:{}", nix::sys::stat::major(rdev), nix::sys::stat::minor(rdev));
        let whole = if Path::new(&at).join("partition").exists() { format!("{at}/..") } else { at };
        let device = fs::read_to_string(format!("{whole}/dev")).unwrap().trim().parse().unwrap();
        Self { device, mounted: None, dir }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let Some(node) = &self.mounted else { return };
        let unmounted = Command::new("umount").arg(self.dir.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || thread::panicking(), "{} stays mounted", node.display());
    }
}

/// Writes the same few MiB over and over; ended when this is dropped.
pub(crate) struct Writer(Child);

impl Writer {
    /// `flags` are dd's: past the page cache, or through it and waited for.
    pub(crate) fn start(cgroup: &TestCgroup, disk: &Disk, flags: &str) -> Self {
        let name = cgroup.path().as_str().replace('/', "-");
        let script = format!(
            "read go; while :; do dd if=/dev/zero of={} bs=64k count=512 conv=notrunc oflag={flags} 2>&1 || exit; done",
            disk.file(&name).display()
        );
        let mut shell = Command::new("sh");
        let mut child = shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        cgroup.add(child.id());
        drop(child.stdin.take());
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// MiB that the cgroup has written to a disk.
pub(crate) fn written(cgroup: &TestCgroup, device: Device) -> f64 {
    cgroup.disk().unwrap().iter().filter(|disk| disk.device == device).map(|disk| disk.write_bytes as f64 / MIB).sum()
}
