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
    /// One more than the slot of the nearest tracked ancestor, which is charged too; 0 for none.
    pub parent: u64,
    /// The value of `used_ns` at which the open window began: the charge that takes it from there is the window's first.
    pub opened_ns: u64,
    /// When the first charge of a window began, `CLOCK_MONOTONIC` ns. Of an earlier window while this one has had none.
    pub woke_ns: u64,
    /// Keeps the record at one cache line.
    pub reserved: [u64; 2],
}

/// What went through the sockets of one tracked cgroup and everything below it since its slot was taken, loopback excepted; in an array
/// that the agent maps into its memory, by slot. One cache line each, as with [`Slot`].
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Received, in bytes from the network's header on. Only grows.
    pub received_bytes: u64,
    /// The same of what was sent.
    pub sent_bytes: u64,
    /// Keeps the record at one cache line.
    pub reserved: [u64; 6],
}

/// The `armed_ns` of a slot that shall not ring.
pub const DISARMED: u64 = u64::MAX;

/// How many tracked containers may be nested in one another, and all be charged.
pub const MAX_NESTING: usize = 8;

/// How far above a leaf cgroup its nearest tracked ancestor is looked for.
pub const MAX_DEPTH: usize = 32;

/// What the kernel side counts of itself, and the generation of the tracked set: one record, mapped by the agent.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The agent adds 1 after each change of the tracked set, and then clears the cache.
    pub generation: u64,
    /// Rings that found no room in the ring buffer.
    pub events_dropped: u64,
    /// Charges that were not counted in full because cgroups, or tracked containers, are nested too deep.
    pub charges_dropped: u64,
    /// Keeps the record at one cache line.
    pub reserved: [u64; 5],
}

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

/// The cache from a leaf cgroup to the slot that it is charged to: direct-mapped, one 64-bit word an entry, so that it is
/// read and written whole from every CPU and needs no lock, no second look-up and no eviction.
///
/// Its key is a serial number that the kernel gives each cgroup in each hierarchy, and never again
/// (`cgroup_subsys_state.serial_nr`): two loads nearer to the task than the cgroup's id.
pub mod cache {
    /// log2 of the number of entries.
    pub const BITS: u32 = 13;

    /// Entries in the cache: 64 KiB of words.
    pub const ENTRIES: u32 = 1 << BITS;

    /// The slot of a cgroup that lies in no tracked one.
    pub const UNTRACKED: u32 = 0xfffe;

    /// The most slots that an entry can tell apart.
    pub const MAX_SLOTS: u32 = UNTRACKED;

    /// The low bits of an entry hold one more than the slot, so that an empty entry is a miss for every key.
    const SLOT_BITS: u32 = 16;

    /// Keys from here on do not fit an entry (the kernel counts them up from 1).
    pub const KEY_LIMIT: u64 = 1 << (64 - SLOT_BITS + BITS);

    /// Where `key` has its place. The higher bits are folded in, because one new container takes many numbers, so that
    /// those of interest lie at regular distances.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves BITS bits")]
    pub const fn index(key: u64) -> u32 {
        ((key ^ (key >> BITS)) & (ENTRIES as u64 - 1)) as u32
    }

    /// The entry saying that `key` is charged to `slot`. With the entry's index it stands for exactly one key below
    /// [`KEY_LIMIT`]: what the word leaves out of the key, the index determines.
    #[inline]
    pub const fn entry(key: u64, slot: u32) -> u64 {
        ((key >> BITS) << SLOT_BITS) + 1 + slot as u64
    }

    /// The slot that `entry`, found at `index(key)`, gives for `key`; `None` where it is of another one, or empty.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "it is compared first")]
    pub const fn slot(entry: u64, key: u64) -> Option<u32> {
        // One subtraction and one comparison: an empty entry, or another key's, lands outside.
        let slot = entry.wrapping_sub(((key >> BITS) << SLOT_BITS) + 1);
        if slot <= UNTRACKED as u64 { Some(slot as u32) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_fill_cache_lines() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (64, 64));
        assert_eq!((size_of::<Traffic>(), align_of::<Traffic>()), (64, 64));
        assert_eq!((size_of::<State>(), align_of::<State>()), (64, 64));
        assert_eq!(size_of::<Rung>(), 32);
    }

    #[test]
    fn an_entry_answers_for_its_key_alone() {
        let keys = [1, 2, 44, 45, 8191, 8192, 8193, 16384, 1 << 32, (1 << 32) + 1, 1 << 47, cache::KEY_LIMIT - 1];
        for key in keys {
            for slot in [0, 1, 4095, cache::MAX_SLOTS - 1, cache::UNTRACKED] {
                let entry = cache::entry(key, slot);
                assert_eq!(cache::slot(entry, key), Some(slot));
                for other in keys.into_iter().filter(|other| *other != key && cache::index(*other) == cache::index(key)) {
                    assert_eq!(cache::slot(entry, other), None, "{key} answers for {other}");
                }
            }
            assert_eq!(cache::slot(0, key), None, "an empty entry answers for {key}");
        }
    }

    #[test]
    fn every_place_of_the_cache_is_one_key_of_each_block() {
        for block in [0_u64, 1, 77, 1 << 19] {
            let mut seen = [false; cache::ENTRIES as usize];
            for low in 0..u64::from(cache::ENTRIES) {
                let place = cache::index((block << cache::BITS) | low) as usize;
                assert!(!seen[place], "block {block}: two keys at {place}");
                seen[place] = true;
            }
        }
    }
}
