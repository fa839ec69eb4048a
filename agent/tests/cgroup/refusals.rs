//! How a kernel refuses, and what it rounds: written past the module, whose errors and order of writes rest on it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use headroom_agent::cgroup::{Controller, Version};
use nix::errno::Errno::{EINVAL, ENODEV, ERANGE};

use crate::ground::{AnyCgroup, Ground, everywhere};

everywhere! {
    cpu_quotas,
    memory_limits,
    cpus,
    disks,
}

/// What is written, and what comes of it: the text that stands there then, or the kernel's answer.
type Cases = &'static [(&'static str, Result<&'static str, nix::Error>)];

/// In one go, without truncating and without closing in between: as the module does.
fn put(file: &PathBuf, text: &str) -> Result<(), nix::Error> {
    let opened = File::options().write(true).open(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let answer = |e: io::Error| nix::Error::from_raw(e.raw_os_error().unwrap());
    (&opened).write_all(format!("{text}\n").as_bytes()).map_err(answer)
}

fn hold(cgroup: &AnyCgroup, controller: Controller, name: &str, cases: Cases) {
    let file = cgroup.file(controller, name);
    let read = || std::fs::read_to_string(&file).unwrap().trim_end().to_owned();
    for (text, expected) in cases {
        let before = read();
        let answer = put(&file, text);
        match expected {
            Ok(stands) => assert_eq!((answer, read().as_str()), (Ok(()), *stands), "{text:?} to {name}"),
            Err(errno) => assert_eq!((answer, read()), (Err(*errno), before), "{text:?} to {name}, which was to change nothing"),
        }
    }
}

fn cpu_quotas(ground: &Ground) {
    let cgroup = ground.cgroup("refuse-cpu");
    let hold = |name, cases| hold(&cgroup, Controller::Cpu, name, cases);
    match ground.version(Controller::Cpu) {
        Version::V1 => {
            hold("cpu.cfs_quota_us", &[("999", Err(EINVAL)), ("0", Err(EINVAL)), ("plenty", Err(EINVAL)), ("1000", Ok("1000"))]);
            hold("cpu.cfs_quota_us", &[("50000", Ok("50000")), ("-1", Ok("-1")), ("50000", Ok("50000"))]);
            hold(
                "cpu.cfs_period_us",
                &[("999", Err(EINVAL)), ("1000001", Err(EINVAL)), ("-1", Err(EINVAL)), ("50000", Ok("50000"))],
            );
            hold("cpu.cfs_burst_us", &[("50001", Err(EINVAL)), ("-1", Err(EINVAL)), ("50000", Ok("50000"))]);
            // A quota under the burst that stands is refused just the same: the burst has to go first.
            hold("cpu.cfs_quota_us", &[("49999", Err(EINVAL)), ("60000", Ok("60000"))]);
        }
        Version::V2 => {
            hold("cpu.max", &[("999 100000", Err(EINVAL)), ("0 100000", Err(EINVAL)), ("plenty", Err(EINVAL))]);
            hold("cpu.max", &[("50000 999", Err(EINVAL)), ("50000 1000001", Err(EINVAL)), ("-1 100000", Err(EINVAL))]);
            hold("cpu.max", &[("1000 100000", Ok("1000 100000")), ("max 50000", Ok("max 50000")), ("50000", Ok("50000 50000"))]);
            hold("cpu.max.burst", &[("50001", Err(EINVAL)), ("-1", Err(EINVAL)), ("50000", Ok("50000"))]);
            hold("cpu.max", &[("49999 50000", Err(EINVAL)), ("60000 50000", Ok("60000 50000"))]);
            hold("cpu.weight", &[("0", Err(ERANGE)), ("10001", Err(ERANGE)), ("10000", Ok("10000"))]);
        }
    }
}

fn memory_limits(ground: &Ground) {
    let cgroup = ground.cgroup("refuse-memory");
    let hold = |name, cases| hold(&cgroup, Controller::Memory, name, cases);
    match ground.version(Controller::Memory) {
        Version::V1 => {
            const OFF: &str = "9223372036854771712";
            let cases: Cases = &[("-2", Err(EINVAL)), ("plenty", Err(EINVAL)), ("10000001", Ok("9998336")), ("-1", Ok(OFF))];
            hold("memory.limit_in_bytes", cases);
        }
        Version::V2 => {
            let cases: Cases = &[("-1", Err(EINVAL)), ("plenty", Err(EINVAL)), ("10000001", Ok("9998336")), ("max", Ok("max"))];
            hold("memory.high", cases);
            hold("memory.max", cases);
        }
    }
}

fn cpus(ground: &Ground) {
    let cgroup = ground.cgroup("refuse-cpus");
    let cases: Cases =
        &[("0", Ok("0")), ("60000", Err(ERANGE)), ("0-60000", Err(ERANGE)), ("1-0", Err(EINVAL)), ("some", Err(EINVAL))];
    hold(&cgroup, Controller::Cpuset, "cpuset.cpus", cases);
}

fn disks(ground: &Ground) {
    let cgroup = ground.cgroup("refuse-disks");
    match ground.version(Controller::Io) {
        Version::V1 => {
            let cases: Cases = &[("4095:77 1000", Err(ENODEV)), ("fast", Err(EINVAL))];
            hold(&cgroup, Controller::Io, "blkio.throttle.read_bps_device", cases);
            hold(&cgroup, Controller::Io, "blkio.throttle.write_bps_device", cases);
        }
        Version::V2 => {
            hold(&cgroup, Controller::Io, "io.max", &[("4095:77 rbps=1000", Err(ENODEV)), ("fast", Err(EINVAL))]);
        }
    }
}
