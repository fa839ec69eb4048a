//! Bandwidth of a real disk under a real writer. The disk is a guest's own, told by its serial number: it is written over.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use headroom_agent::cgroup::{Change, Device};
use headroom_model::limit::Limit;

use crate::disk::{Disk, Writer, done, guests_disk, number, written};
use crate::support::{TestCgroup, wait_until};

/// A limit holds on average: what was let through before it counts is over by then.
const SETTLES: Duration = Duration::from_secs(1);

/// MiB a second that reach the disk, over a few seconds.
fn rate(cgroup: &TestCgroup, device: Device) -> f64 {
    thread::sleep(SETTLES);
    let (before, begun) = (written(cgroup, device), Instant::now());
    thread::sleep(Duration::from_secs(6));
    (written(cgroup, device) - before) / begun.elapsed().as_secs_f64()
}

/// Limits that are lowered, raised and taken off under a writer are what reaches the disk.
fn follows(flags: &str) -> Vec<f64> {
    let disk = Disk::guests();
    let cgroup = TestCgroup::new("writer");
    let set = |limit| cgroup.apply(&[Change::DiskWrite { device: disk.device, limit }]).unwrap();
    let writer = Writer::start(&cgroup, &disk, flags);
    wait_until("something is written", || written(&cgroup, disk.device) > 1.0);
    let mut seen = Vec::new();
    for mib in [2.0, 8.0, 2.0] {
        set(Limit::At(mib));
        let rate = rate(&cgroup, disk.device);
        println!("{rate:.2} MiB/s at a limit of {mib}");
        seen.push(rate);
        assert!(rate < mib * 1.25 && rate > mib * 0.2, "{rate} MiB/s at a limit of {mib}");
    }
    set(Limit::Unlimited);
    let free = rate(&cgroup, disk.device);
    println!("{free:.2} MiB/s without a limit");
    assert!(free > seen[0], "{free} after {seen:?}");
    drop(writer);
    // What runs in it writes to a disk that is to be unmounted.
    cgroup.remove();
    seen
}

#[test]
#[ignore = "writes over a disk, which only a guest has for that: cargo xtask test runs it there"]
fn a_limit_holds_what_goes_past_the_page_cache() {
    let seen = follows("direct");
    assert!(seen[1] > 1.5 * seen[0] && seen[1] > 1.5 * seen[2], "{seen:?}");
}

#[test]
#[ignore = "writes over a disk, which only a guest has for that: cargo xtask test runs it there"]
fn a_limit_holds_what_goes_through_the_page_cache() {
    // An emulated machine does not get to the higher limit this way: how far it gets is not asked.
    follows("dsync");
}

/// A limit is for a whole disk: of a partition it is refused, and nothing else that was asked with it stays.
#[test]
#[ignore = "writes over a disk, which only a guest has for that: cargo xtask test runs it there"]
fn a_partition_takes_no_limit() {
    let name = guests_disk();
    let node = Path::new("/dev").join(&name);
    // A partition table by hand: one entry, Linux, 16 MiB from the first on.
    let mut table = [0_u8; 512];
    table[450] = 0x83;
    table[454..458].copy_from_slice(&2048_u32.to_le_bytes());
    table[458..462].copy_from_slice(&32_768_u32.to_le_bytes());
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&node, table).unwrap();
    done(Command::new("blockdev").arg("--rereadpt").arg(&node));
    let partition = format!("{name}1");
    wait_until("the partition is there", || Path::new("/sys/class/block").join(&partition).exists());
    let cgroup = TestCgroup::new("partition");
    let [disk, part] = [name.as_str(), &partition].map(number);
    let limit = Limit::At(5.0);
    let error =
        cgroup.apply(&[Change::DiskWrite { device: disk, limit }, Change::DiskWrite { device: part, limit }]).unwrap_err();
    assert!((error.index, error.undone()) == (1, true), "{error}");
    assert!(error.to_string().contains("limits are for whole disks, not for partitions"), "{error}");
    assert!(cgroup.disk().unwrap().iter().all(|disk| disk.write_limit == Limit::Unlimited));
    fs::write(&node, [0; 512]).unwrap();
    done(Command::new("blockdev").arg("--rereadpt").arg(&node));
}
