//! Bandwidth of disks: `block/blk-throttle.c`; the host has one, 254:0.

use std::collections::BTreeMap;

use headroom_agent::cgroup::Version;
use nix::errno::Errno;

use super::Answer;
use super::files::number;

/// Bytes a second by disk and by what is limited (`rbps`, `wbps`).
#[derive(Clone, Default)]
pub(super) struct Disks(BTreeMap<&'static str, BTreeMap<&'static str, u64>>);

const DISK: &str = "254:0";
const LIMITED: [&str; 2] = ["rbps", "wbps"];

impl Disks {
    pub(super) fn read(&self, name: &str) -> String {
        let lines = |line: &dyn Fn(&BTreeMap<&str, u64>) -> Option<String>| {
            self.0.iter().filter_map(|(disk, limits)| Some(format!("{disk} {}\n", line(limits)?))).collect()
        };
        match name {
            "io.max" => lines(&|limits| {
                let limit = |key| limits.get(key).map_or("max".to_owned(), u64::to_string);
                Some(format!("rbps={} wbps={} riops=max wiops=max", limit("rbps"), limit("wbps")))
            }),
            "io.stat" => String::new(),
            _ => match way(name) {
                Some(key) => lines(&|limits| limits.get(key).map(u64::to_string)),
                None => "Total 0\n".to_owned(),
            },
        }
    }

    pub(super) fn write(&mut self, version: Version, name: &str, text: &str) -> Answer<()> {
        let (device, limits) = text.split_once(' ').ok_or(Errno::EINVAL)?;
        let (major, minor) = device.split_once(':').ok_or(Errno::EINVAL)?;
        if major.parse::<u32>().is_err() || minor.parse::<u32>().is_err() {
            return Err(Errno::EINVAL);
        }
        if device != DISK {
            return Err(Errno::ENODEV);
        }
        let mut wanted = self.0.get(DISK).cloned().unwrap_or_default();
        let words = limits.split_whitespace().map(|word| word.split_once('=').unwrap_or((name, word)));
        for (key, value) in words {
            let key = if version == Version::V1 { way(key) } else { LIMITED.into_iter().find(|known| *known == key) };
            match (key.ok_or(Errno::EINVAL)?, value) {
                (key, "max") if version == Version::V2 => wanted.remove(key),
                (key, value) => match (number(value)?, version) {
                    (0, Version::V1) => wanted.remove(key),
                    (0, Version::V2) => return Err(Errno::ERANGE),
                    (bytes, _) => wanted.insert(key, bytes),
                },
            };
        }
        self.0.retain(|disk, _| *disk != DISK);
        if !wanted.is_empty() {
            self.0.insert(DISK, wanted);
        }
        Ok(())
    }
}

/// What v1's file limits.
fn way(file: &str) -> Option<&'static str> {
    match file {
        "blkio.throttle.read_bps_device" => Some("rbps"),
        "blkio.throttle.write_bps_device" => Some("wbps"),
        _ => None,
    }
}
