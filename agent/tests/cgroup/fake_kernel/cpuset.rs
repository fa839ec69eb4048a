//! CPUs: `kernel/cgroup/cpuset.c`, `update_cpumask` and `validate_change`; the host has two.

use headroom_agent::cgroup::{CpuList, Version};
use nix::errno::Errno;

use super::Answer;
use super::tree::Tree;

/// What was set; empty where nothing was.
#[derive(Clone, Default)]
pub(super) struct Cpus(CpuList);

/// Bits in the kernel's masks of CPUs.
const MASK: u32 = 64;

impl Cpus {
    pub(super) fn all() -> Self {
        Self([0, 1].into_iter().collect())
    }
}

fn is_subset(part: &CpuList, whole: &CpuList) -> bool {
    part.iter().all(|cpu| whole.iter().any(|one| one == cpu))
}

/// As the kernel's lists are parsed: first the form, then whether a number is a bit of the mask.
fn parse(text: &str) -> Answer<CpuList> {
    let mut cpus = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().map_err(|_not| Errno::EINVAL);
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(Errno::EINVAL);
        }
        if last >= MASK {
            return Err(Errno::ERANGE);
        }
        cpus.extend(first..=last);
    }
    Ok(cpus.into_iter().collect())
}

impl Tree {
    pub(super) fn read_cpus(&self, id: u64, name: &str) -> String {
        let cpus = if name == "cpuset.cpus" { self.group(id).cpus.0.clone() } else { self.effective(id) };
        cpus.to_string()
    }

    /// v1: what was set. v2: what of it there is above, or all of that.
    fn effective(&self, id: u64) -> CpuList {
        let own = &self.group(id).cpus.0;
        match (self.version(id), self.group(id).parent) {
            (Version::V2, Some(parent)) => {
                let above = self.effective(parent);
                let both: CpuList = above.iter().filter(|cpu| own.iter().any(|one| one == *cpu)).collect();
                if both.is_empty() { above } else { both }
            }
            _ => own.clone(),
        }
    }

    pub(super) fn write_cpus(&mut self, id: u64, text: &str, is_populated: bool) -> Answer<()> {
        let cpus = parse(text)?;
        let group = self.group(id);
        if !is_subset(&cpus, &Cpus::all().0) {
            return Err(Errno::EINVAL);
        }
        if self.version(id) == Version::V1 {
            if self.below(id).any(|below| !is_subset(&self.group(below).cpus.0, &cpus)) {
                return Err(Errno::EBUSY);
            }
            if group.parent.is_some_and(|parent| !is_subset(&cpus, &self.group(parent).cpus.0)) {
                return Err(Errno::EACCES);
            }
        }
        if cpus.is_empty() && !group.cpus.0.is_empty() && is_populated {
            return Err(Errno::ENOSPC);
        }
        self.at(id).cpus = Cpus(cpus);
        Ok(())
    }
}
