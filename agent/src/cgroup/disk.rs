//! Disks: bytes moved and limits, a device each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;

use super::Cgroup;
use super::dir::Dir;
use super::error::{CgroupError, Result, optional};
use super::hierarchies::{Controller, Version};
use super::text::{MIB, whole};

/// A block device, as the kernel numbers it: `254:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// The disk of it.
    pub minor: u32,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A text that is no device number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device; expected something like \"254:0\"")]
pub struct ParseDeviceError(pub String);

impl FromStr for Device {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, ParseDeviceError> {
        let numbers = text.split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        numbers.map(|(major, minor)| Self { major, minor }).ok_or_else(|| ParseDeviceError(text.to_owned()))
    }
}

impl serde::Serialize for Device {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Device {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One disk as a cgroup sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiskReading {
    /// Which.
    pub device: Device,
    /// Read since the cgroup was made, in bytes.
    pub read_bytes: u64,
    /// Written since the cgroup was made, in bytes.
    pub write_bytes: u64,
    /// In MiB/s.
    pub read_limit: Limit,
    /// In MiB/s.
    pub write_limit: Limit,
}

impl DiskReading {
    /// The limit on reads or writes, in MiB/s.
    pub fn limit(&self, resource: Resource) -> Limit {
        if resource == Resource::DiskRead { self.read_limit } else { self.write_limit }
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Read,
    Write,
}

/// The file with the limits of one way.
pub(super) fn limit_file(version: Version, way: Way) -> &'static str {
    match (version, way) {
        (Version::V1, Way::Read) => "blkio.throttle.read_bps_device",
        (Version::V1, Way::Write) => "blkio.throttle.write_bps_device",
        (Version::V2, _) => "io.max",
    }
}

/// What to write into it for `device`.
pub(super) fn spelled(dir: &Dir, device: Device, way: Way, limit: Limit) -> Result<String> {
    let bytes = match limit {
        Limit::Unlimited => None,
        Limit::At(mib) => Some(whole(mib * MIB).filter(|bytes| *bytes > 0).ok_or_else(|| CgroupError::OutOfRange {
            path: dir.path().clone(),
            what: "disk limit",
            value: format!("{mib} MiB/s"),
            expected: "more than 0 MiB/s".to_owned(),
        })?),
    };
    Ok(match (dir.version(), bytes) {
        (Version::V1, bytes) => format!("{device} {}", bytes.unwrap_or(0)),
        (Version::V2, Some(bytes)) => format!("{device} {}={bytes}", key(way)),
        (Version::V2, None) => format!("{device} {}=max", key(way)),
    })
}

fn key(way: Way) -> &'static str {
    match way {
        Way::Read => "rbps",
        Way::Write => "wbps",
    }
}

/// The limit of `device` in what `limit_file` reads.
pub(super) fn limit_in(version: Version, text: &str, device: Device, way: Way) -> Limit {
    let limits = match version {
        Version::V1 => numbers_v1(text),
        Version::V2 => numbers_v2(text, key(way)),
    };
    limits.get(&device).map_or(Limit::Unlimited, |bytes| Limit::At(*bytes as f64 / MIB))
}

/// `254:0 1048576` lines; 0 is no limit.
fn numbers_v1(text: &str) -> BTreeMap<Device, u64> {
    let line = |line: &str| {
        let (device, bytes) = line.split_once(' ')?;
        Some((device.parse().ok()?, bytes.trim().parse().ok()?))
    };
    text.lines().filter_map(line).filter(|(_, bytes)| *bytes > 0).collect()
}

/// `254:0 rbps=1048576 wbps=max ..` lines; "max" is left out.
fn numbers_v2(text: &str, key: &str) -> BTreeMap<Device, u64> {
    let line = |line: &str| {
        let (device, fields) = line.split_once(' ')?;
        let value = fields.split_whitespace().find_map(|field| field.strip_prefix(key)?.strip_prefix('='))?;
        Some((device.parse().ok()?, value.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// `254:0 Read 4096` lines; what bears another word is left out.
fn counters_v1(text: &str, word: &str) -> BTreeMap<Device, u64> {
    let line = |line: &str| {
        let mut parts = line.split(' ');
        let device = parts.next()?.parse().ok()?;
        (parts.next()? == word).then_some(())?;
        Some((device, parts.next()?.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// Reads, writes, and the limits on each; by device.
type Maps = [BTreeMap<Device, u64>; 4];

pub(super) fn read(cgroup: &Cgroup) -> Result<Vec<DiskReading>> {
    let dir = cgroup.dir(Controller::Io)?;
    let text = |name| dir.read(name, Controller::Io);
    let [reads, writes, read_limits, write_limits]: Maps = match dir.version() {
        Version::V1 => {
            let recursive = optional(text("blkio.throttle.io_service_bytes_recursive"))?;
            let bytes = recursive.map_or_else(|| text("blkio.throttle.io_service_bytes"), Ok)?;
            let limits = |way| text(limit_file(Version::V1, way)).map(|text| numbers_v1(&text));
            [counters_v1(&bytes, "Read"), counters_v1(&bytes, "Write"), limits(Way::Read)?, limits(Way::Write)?]
        }
        Version::V2 => {
            // The root has no limits.
            let (stat, max) = (text("io.stat")?, optional(text("io.max"))?.unwrap_or_default());
            [numbers_v2(&stat, "rbytes"), numbers_v2(&stat, "wbytes"), numbers_v2(&max, "rbps"), numbers_v2(&max, "wbps")]
        }
    };
    let mut devices: Vec<Device> =
        [&reads, &writes, &read_limits, &write_limits].into_iter().flat_map(BTreeMap::keys).copied().collect();
    devices.sort_unstable();
    devices.dedup();
    let limit = |limits: &BTreeMap<Device, u64>, device: Device| {
        limits.get(&device).map_or(Limit::Unlimited, |bytes| Limit::At(*bytes as f64 / MIB))
    };
    let disk = |device: Device| DiskReading {
        device,
        read_bytes: reads.get(&device).copied().unwrap_or(0),
        write_bytes: writes.get(&device).copied().unwrap_or(0),
        read_limit: limit(&read_limits, device),
        write_limit: limit(&write_limits, device),
    };
    Ok(devices.into_iter().map(disk).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Device = Device { major: 254, minor: 0 };

    #[test]
    fn devices_go_there_and_back() {
        assert_eq!("254:0".parse(), Ok(DISK));
        assert_eq!(DISK.to_string(), "254:0");
        assert_eq!("sda".parse::<Device>(), Err(ParseDeviceError("sda".into())));
    }

    #[test]
    fn both_kinds_of_limits() {
        let v2 = "8:0 rbps=max wbps=1048576 riops=max wiops=max\n254:0 rbps=2097152 wbps=max riops=max wiops=7\n";
        assert_eq!(limit_in(Version::V2, v2, DISK, Way::Read), Limit::At(2.0));
        assert_eq!(limit_in(Version::V2, v2, DISK, Way::Write), Limit::Unlimited);
        assert_eq!(limit_in(Version::V1, "8:0 1048576\n254:0 3145728\n", DISK, Way::Read), Limit::At(3.0));
        assert_eq!(limit_in(Version::V1, "", DISK, Way::Read), Limit::Unlimited);
    }

    #[test]
    fn both_kinds_of_counters() {
        let v1 = "254:0 Read 4096\n254:0 Write 8192\n254:0 Total 12288\nTotal 12288\n";
        assert_eq!((counters_v1(v1, "Read")[&DISK], counters_v1(v1, "Write")[&DISK]), (4096, 8192));
        let v2 = "7:0 \n254:0 rbytes=180224 wbytes=0 rios=3 wios=0 dbytes=0 dios=0\n";
        assert_eq!(numbers_v2(v2, "rbytes"), BTreeMap::from([(DISK, 180_224)]));
    }
}
