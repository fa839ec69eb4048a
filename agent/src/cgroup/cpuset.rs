//! Which CPUs a cgroup may use.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::dir::Dir;
use super::error::{CgroupError, Result, optional};
use super::hierarchies::{Controller, Version};
use super::{Cgroup, Hierarchies};

/// A set of CPUs, in the kernel's list form: `0-1,3`. Empty is the empty text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CpuList(BTreeSet<u32>);

/// A text that is no list of CPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no list of CPUs: {part:?} is neither a CPU nor a range of them; expected something like \"0-1,3\"")]
pub struct ParseCpuListError {
    /// All of it.
    pub text: String,
    /// What is wrong in it.
    pub part: String,
}

impl CpuList {
    /// More than any kernel is built for: a range up to here does no harm.
    const MOST: u32 = 65_536;

    /// The CPUs, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `cpu` is one of them.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// The first and last of each run of neighbours.
    fn runs(&self) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for cpu in self.iter() {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => runs.push((cpu, cpu)),
            }
        }
        runs
    }
}

impl FromIterator<u32> for CpuList {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.runs().into_iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

impl FromStr for CpuList {
    type Err = ParseCpuListError;

    fn from_str(text: &str) -> Result<Self, ParseCpuListError> {
        let mut cpus = BTreeSet::new();
        for part in text.trim().split(',').filter(|_| !text.trim().is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
                (Ok(first), Ok(last)) if first <= last && last < Self::MOST => cpus.extend(first..=last),
                _ => return Err(ParseCpuListError { text: text.to_owned(), part: part.to_owned() }),
            }
        }
        Ok(Self(cpus))
    }
}

impl serde::Serialize for CpuList {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for CpuList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The CPUs of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CpuSets {
    /// What was set; empty where nothing was.
    pub configured: CpuList,
    /// What it can run on: where it has none of its own, that of the nearest cgroup above that has.
    pub effective: CpuList,
}

const CPUS: &str = "cpuset.cpus";
const EXPECTED: &str = "a list of CPUs such as 0-1,3";

pub(super) fn read(cgroup: &Cgroup) -> Result<CpuSets> {
    let dir = cgroup.dir(Controller::Cpuset)?;
    Ok(CpuSets { configured: configured(dir)?, effective: effective(cgroup)? })
}

/// The CPUs that the cgroup can run on; without a cpuset controller, all that are online.
pub(super) fn effective(cgroup: &Cgroup) -> Result<CpuList> {
    match optional(cgroup.dir(Controller::Cpuset))? {
        Some(dir) => match effective_in(dir)? {
            Some(cpus) => Ok(cpus),
            None => effective_above(dir),
        },
        None => Hierarchies::online_cpus(),
    }
}

/// What the kernel says; v1 says nothing where nothing was set, and on v2 the file is missing where the controller is not enabled.
fn effective_in(dir: &Dir) -> Result<Option<CpuList>> {
    let name = match dir.version() {
        Version::V1 => "cpuset.effective_cpus",
        Version::V2 => "cpuset.cpus.effective",
    };
    let cpus: Option<CpuList> = optional(dir.parse(name, Controller::Cpuset, EXPECTED, |text| text.parse().ok()))?;
    Ok(cpus.filter(|cpus| !cpus.is_empty()))
}

/// Those of the nearest cgroup above that has some.
fn effective_above(dir: &Dir) -> Result<CpuList> {
    let mut above = dir.parent()?;
    while let Some(dir) = above {
        if let Some(cpus) = effective_in(&dir)? {
            return Ok(cpus);
        }
        above = dir.parent()?;
    }
    Hierarchies::online_cpus()
}

/// What was set.
pub(super) fn configured(dir: &Dir) -> Result<CpuList> {
    dir.parse(CPUS, Controller::Cpuset, EXPECTED, |text| text.parse().ok())
}

/// Sets them. An empty list takes the restriction off: while processes run, the kernel refuses an empty one (v1 and v2 alike, ENOSPC) once there was
/// another, and all CPUs of the cgroup above take its place.
pub(super) fn set(dir: &Dir, cpus: &CpuList) -> Result<()> {
    let write = |cpus: &CpuList| dir.write(CPUS, Controller::Cpuset, &cpus.to_string());
    let written = match write(cpus) {
        Err(CgroupError::Write { answer, .. }) if cpus.is_empty() && answer.raw_os_error() == Some(nix::libc::ENOSPC) => {
            Cow::Owned(effective_above(dir)?)
        }
        answer => {
            answer?;
            Cow::Borrowed(cpus)
        }
    };
    if matches!(written, Cow::Owned(_)) {
        write(&written)?;
    }
    let reads = configured(dir)?;
    if reads == *written {
        return Ok(());
    }
    Err(CgroupError::Verify { file: dir.whole(CPUS), wrote: written.to_string(), reads: reads.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_go_there_and_back() {
        for text in ["", "0", "0-1", "0-1,3", "0,2,4-7", "63"] {
            assert_eq!(text.parse::<CpuList>().map(|cpus| cpus.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(" 3,0-1,1,2\n".parse::<CpuList>().map(|cpus| cpus.to_string()), Ok("0-3".to_owned()));
    }

    #[test]
    fn what_is_no_list() {
        for (text, part) in
            [("1-0", "1-0"), ("0,", ""), ("a", "a"), ("-1", "-1"), ("0-4294967295", "0-4294967295"), ("0;1", "0;1")]
        {
            let error = text.parse::<CpuList>().unwrap_err();
            assert_eq!((error.text.as_str(), error.part.as_str()), (text, part));
        }
    }
}
