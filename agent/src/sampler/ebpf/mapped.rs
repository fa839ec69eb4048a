//! Arrays of the kernel side in our own memory: read and written without a system call.

use std::io;
use std::mem::offset_of;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use headroom_records::{Slot, State, Traffic};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// [`Slot`] as it is shared with the kernel.
#[repr(C, align(64))]
pub(super) struct SlotCell {
    pub(super) used_ns: AtomicU64,
    pub(super) armed_ns: AtomicU64,
    pub(super) cgroup_id: AtomicU64,
    pub(super) parent: AtomicU64,
    pub(super) opened_ns: AtomicU64,
    pub(super) woke_ns: AtomicU64,
    reserved: [AtomicU64; 2],
}

const _: () = {
    assert!(size_of::<SlotCell>() == size_of::<Slot>());
    assert!(offset_of!(SlotCell, used_ns) == offset_of!(Slot, used_ns));
    assert!(offset_of!(SlotCell, armed_ns) == offset_of!(Slot, armed_ns));
    assert!(offset_of!(SlotCell, cgroup_id) == offset_of!(Slot, cgroup_id));
    assert!(offset_of!(SlotCell, parent) == offset_of!(Slot, parent));
    assert!(offset_of!(SlotCell, opened_ns) == offset_of!(Slot, opened_ns));
    assert!(offset_of!(SlotCell, woke_ns) == offset_of!(Slot, woke_ns));
};

/// [`Traffic`] as it is shared with the kernel.
#[repr(C, align(64))]
pub(super) struct TrafficCell {
    pub(super) received_bytes: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    reserved: [AtomicU64; 6],
}

const _: () = {
    assert!(size_of::<TrafficCell>() == size_of::<Traffic>());
    assert!(offset_of!(TrafficCell, received_bytes) == offset_of!(Traffic, received_bytes));
    assert!(offset_of!(TrafficCell, sent_bytes) == offset_of!(Traffic, sent_bytes));
};

/// [`State`] as it is shared with the kernel.
#[repr(C, align(64))]
pub(super) struct StateCell {
    pub(super) generation: AtomicU64,
    pub(super) events_dropped: AtomicU64,
    pub(super) charges_dropped: AtomicU64,
    reserved: [AtomicU64; 5],
}

const _: () = {
    assert!(size_of::<StateCell>() == size_of::<State>());
    assert!(offset_of!(StateCell, generation) == offset_of!(State, generation));
    assert!(offset_of!(StateCell, events_dropped) == offset_of!(State, events_dropped));
    assert!(offset_of!(StateCell, charges_dropped) == offset_of!(State, charges_dropped));
};

/// A type that may live in memory which the kernel changes at any time.
///
/// # Safety
/// Made of atomics alone, so that every bit pattern is valid and no access is a data race.
pub(super) unsafe trait Shared {}

// SAFETY: atomics alone.
unsafe impl Shared for SlotCell {}
// SAFETY: atomics alone.
unsafe impl Shared for TrafficCell {}
// SAFETY: atomics alone.
unsafe impl Shared for StateCell {}
// SAFETY: an atomic.
unsafe impl Shared for AtomicU64 {}

/// A `BPF_F_MMAPABLE` array's values.
pub(super) struct MappedArray<T: Shared> {
    base: NonNull<T>,
    entries: usize,
}

impl<T: Shared> MappedArray<T> {
    /// Maps the array behind `fd`, which has at least `entries` values of the type's size.
    pub(super) fn new(fd: BorrowedFd<'_>, entries: usize) -> io::Result<Self> {
        let len = NonZeroUsize::new(entries * size_of::<T>()).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice; nothing of ours is replaced. The kernel refuses one
        // longer than the map's values.
        let base = unsafe { mmap(None, len, access, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Self { base: base.cast(), entries })
    }
}

impl<T: Shared> Deref for MappedArray<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `entries` values, page-aligned, mapped as long as `self` lives; `T` is made of atomics.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.entries) }
    }
}

impl<T: Shared> Drop for MappedArray<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, which nothing refers to any more.
        let unmapped = unsafe { munmap(self.base.cast(), self.entries * size_of::<T>()) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

// SAFETY: it owns its mapping, and what is in there are atomics.
unsafe impl<T: Shared> Send for MappedArray<T> {}
