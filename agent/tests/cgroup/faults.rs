//! A kernel that fails in the middle of several writes, and goes on failing: nothing may be hidden of what stands half-way.

use headroom_agent::cgroup::{CgroupError, Change, CpuLimit, Device};
use headroom_model::limit::Limit;
use nix::errno::Errno::EIO;

use crate::fake_kernel::{FakeKernel, Shape};
use crate::ground::{Ground, on_fake};

const SHAPES: [Shape; 3] = [Shape::V1, Shape::V2, Shape::Hybrid];

fn kernel(ground: &Ground) -> &FakeKernel {
    match ground {
        Ground::Fake(kernel) => kernel,
        Ground::Kernel => unreachable!("no real kernel fails when it is asked to"),
    }
}

fn shares(quota: f64, burst_us: u64) -> CpuLimit {
    CpuLimit { quota: Limit::At(quota), period_us: 100_000, burst_us: Some(burst_us) }
}

/// The file that has the quota.
fn main_file(shape: Shape) -> &'static str {
    if shape == Shape::V2 { "cpu.max" } else { "cpu.cfs_quota_us" }
}

#[test]
fn a_first_write_that_fails_leaves_everything() {
    for shape in SHAPES {
        on_fake(shape, |ground| {
            let cgroup = ground.cgroup("first");
            let quota = cgroup.cpu_quota().unwrap();
            let before = quota.write(&shares(50.0, 0)).unwrap();
            kernel(ground).fail(0, main_file(shape), EIO);
            let error = quota.write(&shares(60.0, 0)).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(main_file(shape)) && text.contains("Input/output error"), "{text}");
            assert_eq!(quota.read().unwrap(), before);
        });
    }
}

/// The burst is refused, and then the quota that was written before it cannot be put back.
#[test]
fn what_cannot_be_put_back_is_told() {
    for shape in SHAPES {
        on_fake(shape, |ground| {
            let cgroup = ground.cgroup("half");
            let quota = cgroup.cpu_quota().unwrap();
            quota.write(&shares(50.0, 0)).unwrap();
            // More than the kernel takes of both together: refused once the quota stands.
            let most = (1_u64 << 43) as f64 / 1_000.0;
            let main = main_file(shape);
            kernel(ground).fail(2, main, EIO);
            let error = quota.write(&shares(most, 1 << 43)).unwrap_err();
            let CgroupError::HalfDone { cause, undo } = &error else { panic!("{error}") };
            assert!(cause.to_string().contains("burst") && undo.to_string().contains(main), "{error}");
            assert_eq!(quota.read().unwrap().quota, Limit::At(most), "and that is what stands");
            // Among other changes, it is told as well.
            let error = cgroup.apply(&[Change::MemoryMax(Limit::At(64.0)), Change::Cpu { quota: Limit::At(20.0) }]).unwrap_err();
            assert!(error.undone() && error.index == 1, "{error}");
            assert_eq!(cgroup.memory().unwrap().max, Limit::Unlimited);
        });
    }
}

/// Memory that was set cannot be put back when the disk's limit is refused.
#[test]
fn a_transaction_tells_each_part_that_stays() {
    for shape in SHAPES {
        on_fake(shape, |ground| {
            let cgroup = ground.cgroup("parts");
            let (max, io) = match shape {
                Shape::V2 => ("memory.max", "io.max"),
                Shape::V1 | Shape::Hybrid => ("memory.limit_in_bytes", "blkio.throttle.read_bps_device"),
            };
            let disk = Change::DiskRead { device: ground.disk().unwrap(), limit: Limit::At(10.0) };
            let changes = [Change::Cpu { quota: Limit::At(30.0) }, Change::MemoryMax(Limit::At(64.0)), disk];
            kernel(ground).fail(0, io, EIO);
            let error = cgroup.apply(&changes).unwrap_err();
            assert!(error.undone() && error.index == 2, "{error}");
            assert!(error.to_string().ends_with("nothing was changed"), "{error}");
            assert_eq!(cgroup.cpu_limit().unwrap().quota, Limit::Unlimited);
            assert_eq!(cgroup.memory().unwrap().max, Limit::Unlimited);
            // The first two are written, the third fails since there is no such disk, and memory does not go back.
            let none = Device { major: 4095, minor: 77 };
            let changes = [changes[0].clone(), changes[1].clone(), Change::DiskRead { device: none, limit: Limit::At(1.0) }];
            kernel(ground).fail(3, max, EIO);
            let error = cgroup.apply(&changes).unwrap_err();
            assert!(!error.undone() && error.undo_failed.len() == 1, "{error}");
            assert!(error.to_string().contains("; not put back: ") && error.to_string().contains(max), "{error}");
            assert_eq!(cgroup.memory().unwrap().max, Limit::At(64.0));
            assert_eq!(cgroup.cpu_limit().unwrap().quota, Limit::Unlimited, "what can be put back is");
        });
    }
}
