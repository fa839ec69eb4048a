//! The records that the kernel side (`agent-ebpf`) and the agent share. Plain memory, one layout for both.
#![no_std]

/// One tracked cgroup's counter and threshold, in an array that the agent maps into its memory.
///
/// One cache line each: the kernel adds to `used_ns` from every CPU, and two containers must not share a line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// CPU time charged to the cgroup and everything below it since the slot was taken, in ns. Only grows.
    pub used_ns: u64,
    /// The value of `used_ns` at whose passing the kernel rings, once; [`DISARMED`] for never.
    pub armed_ns: u64,
    /// The id of the tracked cgroup (its directory's inode in the hierarchy that is tracked), 0 when the slot is free.
    pub cgroup_id: u64,
    /// Keeps the record at one cache line.
    pub reserved: [u64; 5],
}

/// The `armed_ns` of a slot that shall not ring.
pub const DISARMED: u64 = u64::MAX;

/// What the kernel puts into the ring buffer when a slot's `used_ns` passes its `armed_ns`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rung {
    /// `CLOCK_MONOTONIC` at the charge, in ns.
    pub at_ns: u64,
    /// The slot's index.
    pub slot: u32,
    /// Keeps the record free of padding.
    pub reserved: u32,
    /// The threshold that was passed.
    pub armed_ns: u64,
    /// `used_ns` after the charge.
    pub used_ns: u64,
}
