//! How much CPU time each tracked container has consumed: by eBPF, or from the kernel's own files. By eBPF also what went over the network.

pub mod audit;
pub mod btf;
pub mod cgroupfs;
pub mod ebpf;
pub mod meter;
pub mod select;
mod slots;
pub mod uplinks;

use std::os::fd::BorrowedFd;

use crate::cgroup::Cgroup;

/// A tracked container's place in a [`UsageSource`]: dense, reused after [`UsageSource::untrack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u32);

/// Which source counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The kernel side's counters, mapped into our memory.
    Ebpf,
    /// `cpu.stat` or `cpuacct.usage`, one read a container.
    Cgroupfs,
}

/// A threshold that was passed inside a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Whose.
    pub slot: SlotId,
    /// When the kernel saw it, `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// The threshold it was, as armed.
    pub armed_ns: u64,
    /// What had been used then.
    pub used_ns: u64,
}

/// What a source has to say of itself; every number only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SourceHealth {
    /// Ring-buffer events that found no room; the end-of-window pass judged those windows.
    pub events_dropped: u64,
    /// Charges that could not be attributed because a kernel map was full.
    pub charges_dropped: u64,
    /// Reads that failed, for reasons other than the container being gone.
    pub read_errors: u64,
}

/// Counts the CPU time of containers. Owned and called by the control thread alone; nothing here waits.
pub trait UsageSource: Send {
    /// Which it is.
    fn kind(&self) -> SourceKind;

    /// Begins to count `cgroup` and everything below it (but not what lies under a nested tracked one, which counts for
    /// both: a nested container's time is its parents' too).
    fn track(&mut self, cgroup: &Cgroup) -> Result<SlotId, SamplerError>;

    /// Stops counting; the slot may be given out again.
    fn untrack(&mut self, slot: SlotId);

    /// CPU time of `slot` since it was tracked, in ns; `None` when it cannot be known now (which is no zero).
    /// Never goes back.
    fn used_ns(&mut self, slot: SlotId) -> Option<u64>;

    /// A window begins, at which `slot` has used `used_ns`: its next charge is when it woke.
    fn open(&mut self, _slot: SlotId, _used_ns: u64) {}

    /// When the first charge since [`UsageSource::open`] began, `CLOCK_MONOTONIC` ns; an earlier time while there has been none. `None`
    /// where the source cannot know.
    fn woke_ns(&self, _slot: SlotId) -> Option<u64> {
        None
    }

    /// Asks for one [`Passed`] when `used_ns` passes `threshold_ns`; `None` disarms. Returns false where the source
    /// cannot, or when the threshold has been passed already: then the caller judges now.
    fn arm(&mut self, slot: SlotId, threshold_ns: Option<u64>) -> bool;

    /// The count itself, for an audit: [`UsageSource::used_ns`] but for corrections downwards, which it follows at once.
    fn counted_ns(&mut self, slot: SlotId) -> Option<u64> {
        self.used_ns(slot)
    }

    /// Adds to what has been counted (takes away, where negative), after the kernel's own accounting. What
    /// [`UsageSource::used_ns`] says then stands still until the count has caught up. Nothing to do for a source that reads
    /// that accounting itself.
    fn correct(&mut self, _slot: SlotId, _by_ns: i64) {}

    /// Bytes that the sockets of `slot` received and sent since it was tracked, but for the loopback's. `None` where sockets are not
    /// counted.
    fn net_bytes(&self, _slot: SlotId) -> Option<[u64; 2]> {
        None
    }

    /// Why sockets are not counted; `None` where they are.
    fn net_reason(&self) -> Option<&str> {
        Some("that takes eBPF")
    }

    /// Readable when there is a [`Passed`] to be drained; `None` where the source has none.
    fn events(&self) -> Option<BorrowedFd<'_>>;

    /// Hands over what has come.
    fn drain(&mut self, each: &mut dyn FnMut(Passed));

    /// How it is doing.
    fn health(&self) -> SourceHealth;
}

/// Why a source could not be made, or a container not be tracked.
#[derive(Debug, thiserror::Error)]
pub enum SamplerError {
    /// All slots are taken.
    #[error("cannot track {path}: all {capacity} slots are taken; raise sampler.max_containers")]
    Full {
        /// The cgroup.
        path: String,
        /// How many slots there are.
        capacity: u32,
    },
    /// The kernel or the machine does not allow eBPF.
    #[error("eBPF is not available: {why}")]
    Ebpf {
        /// What is missing, and what would help.
        why: String,
    },
    /// A kernel file could not be read.
    #[error(transparent)]
    Cgroup(#[from] crate::cgroup::CgroupError),
}
