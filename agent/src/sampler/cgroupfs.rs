//! CPU time from the kernel's own files, one read a container: what works without eBPF.

use std::os::fd::BorrowedFd;

use crate::cgroup::{Cgroup, CpuClock};
use crate::sampler::{Passed, SamplerError, SlotId, SourceHealth, SourceKind, UsageSource};

/// One kept descriptor a container. It cannot ring; windows are judged at their end.
#[derive(Debug)]
pub struct CgroupfsSource {
    clocks: Vec<Option<Tracked>>,
    free: Vec<u32>,
    capacity: u32,
    read_errors: u64,
}

#[derive(Debug)]
struct Tracked {
    clock: CpuClock,
    /// What the file said when tracking began.
    since_ns: u64,
    /// The last answer.
    said_ns: u64,
}

impl CgroupfsSource {
    /// With room for `max_containers`.
    pub fn new(max_containers: u32) -> Self {
        Self { clocks: Vec::new(), free: Vec::new(), capacity: max_containers, read_errors: 0 }
    }
}

impl UsageSource for CgroupfsSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Cgroupfs
    }

    fn track(&mut self, cgroup: &Cgroup) -> Result<SlotId, SamplerError> {
        let fresh = u32::try_from(self.clocks.len()).ok().filter(|fresh| *fresh < self.capacity);
        let Some(slot) = self.free.last().copied().or(fresh) else {
            return Err(SamplerError::Full { path: cgroup.path().to_string(), capacity: self.capacity });
        };
        let clock = cgroup.cpu_clock()?;
        let since_ns = clock.total_ns()?;
        let tracked = Some(Tracked { clock, since_ns, said_ns: 0 });
        match self.clocks.get_mut(slot as usize) {
            Some(place) => {
                *place = tracked;
                self.free.pop();
            }
            None => self.clocks.push(tracked),
        }
        Ok(SlotId(slot))
    }

    fn untrack(&mut self, slot: SlotId) {
        if self.clocks.get_mut(slot.0 as usize).and_then(Option::take).is_some() {
            self.free.push(slot.0);
        }
    }

    fn used_ns(&mut self, slot: SlotId) -> Option<u64> {
        let tracked = self.clocks.get_mut(slot.0 as usize)?.as_mut()?;
        match tracked.clock.total_ns() {
            Ok(total_ns) => {
                tracked.said_ns = total_ns.saturating_sub(tracked.since_ns).max(tracked.said_ns);
                Some(tracked.said_ns)
            }
            Err(e) => {
                if !e.is_gone() {
                    self.read_errors += 1;
                }
                None
            }
        }
    }

    fn arm(&mut self, _slot: SlotId, threshold_ns: Option<u64>) -> bool {
        threshold_ns.is_none()
    }

    fn events(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn drain(&mut self, _each: &mut dyn FnMut(Passed)) {}

    fn health(&self) -> SourceHealth {
        SourceHealth { read_errors: self.read_errors, ..SourceHealth::default() }
    }
}
