//! What only a kernel counts: CPU time, throttling, bytes, processes.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use headroom_agent::cgroup::{Change, CpuLimit, Device};
use headroom_model::limit::Limit;

use crate::support::{TestCgroup, wait_until};

fn shares(quota: f64) -> CpuLimit {
    CpuLimit { quota: Limit::At(quota), period_us: 100_000, burst_us: None }
}

/// A disk of zeros in a file.
struct LoopDisk {
    device: String,
    _file: tempfile::NamedTempFile,
}

impl LoopDisk {
    /// `None` where the kernel has no loop devices.
    fn new() -> Option<Self> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 << 20).unwrap();
        let output = Command::new("losetup").args(["--show", "--find"]).arg(file.path()).output().unwrap();
        let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        output.status.success().then(|| Self { device, _file: file })
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let detached = Command::new("losetup").args(["--detach", &self.device]).status();
        assert!(detached.is_ok_and(|status| status.success()) || thread::panicking(), "{} stays", self.device);
    }
}

#[test]
fn bytes_from_a_disk_are_counted() {
    let cgroup = TestCgroup::new("disk");
    let Some(disk) = LoopDisk::new() else {
        assert!(cgroup.disk().unwrap().iter().all(|disk| disk.read_bytes == 0));
        return println!("this machine has no loop devices: seen was only that nothing is counted");
    };
    let number = PathBuf::from("/sys/block").join(disk.device.trim_start_matches("/dev/")).join("dev");
    let device: Device = fs::read_to_string(number).unwrap().trim().parse().unwrap();
    // A v1 kernel from 6.10 on counts nothing on a disk before it has to limit something there.
    cgroup.apply(&[Change::DiskRead { device, limit: Limit::At(1000.0) }]).unwrap();
    // Past the page cache: what is cached is nobody's.
    let read = format!("read go; exec dd if={} of=/dev/null iflag=direct bs=64k count=16", disk.device);
    let mut reader = Command::new("sh").args(["-c", &read]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    cgroup.add(reader.id());
    drop(reader.stdin.take());
    assert!(reader.wait().unwrap().success());
    let disks = cgroup.disk().unwrap();
    let reading = disks.iter().find(|disk| disk.device == device).unwrap();
    assert_eq!((reading.read_bytes, reading.write_bytes), (1 << 20, 0), "{reading:?}");
}

#[test]
fn cpu_time_is_counted_up_the_tree() {
    let parent = TestCgroup::new("time");
    let child = parent.child("child");
    let (above, below) = (parent.cpu_clock().unwrap(), child.cpu_clock().unwrap());
    let start = below.read().unwrap();
    let _burner = child.burn(2, 1.0);
    wait_until("300 ms are burnt", || below.total_ns().unwrap() > 300_000_000);
    let (one, two) = (below.read().unwrap(), above.read().unwrap());
    assert!(one.total_us >= 300_000 && two.total_us >= one.total_us, "{one:?} {two:?}");
    assert!(one.user_us > start.user_us && one.user_us + one.kernel_us > 0, "{one:?}");
    assert!(child.cpu_time().unwrap().total_us >= one.total_us);
}

#[test]
fn throttling_is_counted_and_a_raise_ends_it() {
    let cgroup = TestCgroup::new("throttle");
    let (quota, throttle) = (cgroup.cpu_quota().unwrap(), cgroup.throttle_clock().unwrap());
    assert_eq!(throttle.read().unwrap().throttled_periods, 0);
    quota.write(&CpuLimit { burst_us: Some(0), ..shares(10.0) }).unwrap();
    let _burner = cgroup.burn(1, 1.0);
    wait_until("three periods are throttled", || throttle.read().unwrap().throttled_periods >= 3);
    let throttled = throttle.read().unwrap();
    assert!(throttled.periods >= throttled.throttled_periods && throttled.throttled_us > 0, "{throttled:?}");
    quota.write(&CpuLimit { quota: Limit::Unlimited, ..shares(0.0) }).unwrap();
    let lifted = throttle.read().unwrap();
    let clock = cgroup.cpu_clock().unwrap();
    let before = clock.total_ns().unwrap();
    wait_until("500 ms are burnt without a limit", || clock.total_ns().unwrap() > before + 500_000_000);
    assert_eq!(throttle.read().unwrap().throttled_periods, lifted.throttled_periods);
}

#[test]
fn the_network_is_seen_from_inside() {
    let cgroup = TestCgroup::new("net");
    let mut inside = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo ready; read go"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    cgroup.add(inside.id());
    let mut ready = [0; 6];
    inside.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let net = cgroup.net().unwrap().expect("a process runs in it");
    let host = fs::read_to_string("/proc/net/dev").unwrap();
    println!("inside: {net:?}; outside: {host}");
    assert!(!net.shares_host);
    assert!(net.interfaces.iter().all(|interface| interface.name != "lo" && interface.received_bytes == 0));
    drop(inside.stdin.take());
    inside.wait().unwrap();
    assert_eq!(cgroup.net().unwrap(), None);
}

#[test]
fn processes_are_found_at_any_depth() {
    let cgroup = TestCgroup::new("deep");
    let (below, deeper) = (cgroup.child("a"), cgroup.child("a/b"));
    let burner = deeper.burn(0, 0.0);
    assert_eq!(cgroup.processes().unwrap(), [burner.pid()]);
    assert_eq!(below.processes().unwrap(), [burner.pid()]);
}
