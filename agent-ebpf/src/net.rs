//! Bytes that go through sockets, charged to the nearest tracked container around the socket's cgroup. A socket has a cgroup in the v2
//! tree alone: the one that it was made in, which it keeps.
//!
//! Two programs at the root of that tree, so that every packet of every socket comes by: usually one look-up and one add, as with CPU
//! time. They count and never decide: a packet that could not be counted passes like every other, since a program that is there to look
//! must not be a reason for a container to lose its network.

use aya_ebpf::bindings::{__sk_buff, BPF_F_MMAPABLE};
use aya_ebpf::helpers::{bpf_skb_ancestor_cgroup_id, bpf_skb_cgroup_id};
use aya_ebpf::macros::{cgroup_skb, map};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::SkBuffContext;
use headroom_records::{MAX_DEPTH, MAX_NESTING, Traffic, cache};

use crate::{SLOTS, STATE, TRACKED, atomic};

/// What lets a packet through, and all that is ever answered.
const PASS: i32 = 1;

/// The loopback's index in every network namespace. What a container says to itself, or to its host, is no use of the network.
const LOOPBACK: u32 = 1;

/// By slot. Apart from `SLOTS`, so that packets do not take the scheduler's cache lines. The agent sets the size and maps it.
#[map]
static TRAFFIC: Array<Traffic> = Array::with_max_entries(4096, BPF_F_MMAPABLE);

/// A socket's cgroup -> slot, see [`cache`]; its keys are the cgroups' ids. The agent maps and clears it.
#[map]
static SOCKETS: Array<u64> = Array::with_max_entries(cache::ENTRIES, BPF_F_MMAPABLE);

/// What sockets receive.
#[cgroup_skb(ingress)]
fn received(ctx: SkBuffContext) -> i32 {
    // SAFETY: a field of a map's value.
    charge(ctx.skb.skb, |traffic| unsafe { &raw mut (*traffic).received_bytes });
    PASS
}

/// What sockets send.
#[cgroup_skb(egress)]
fn sent(ctx: SkBuffContext) -> i32 {
    // SAFETY: a field of a map's value.
    charge(ctx.skb.skb, |traffic| unsafe { &raw mut (*traffic).sent_bytes });
    PASS
}

#[inline(always)]
fn charge(packet: *mut __sk_buff, counter: impl Fn(*mut Traffic) -> *mut u64) {
    // SAFETY: the kernel's context; the verifier checks each load of it.
    if unsafe { (*packet).ifindex } == LOOPBACK {
        return;
    }
    // SAFETY: a helper, given the program's context.
    let leaf = unsafe { bpf_skb_cgroup_id(packet) };
    // A packet of no socket, or of one that is only half made or half gone.
    if leaf == 0 {
        return;
    }
    let Some(place) = SOCKETS.get_ptr_mut(cache::index(leaf)) else { return };
    // SAFETY: a word of the map; every writer stores it whole.
    let slot = match cache::slot(unsafe { place.read_volatile() }, leaf) {
        Some(slot) => slot,
        None => resolve(packet, leaf, place),
    };
    if slot != cache::UNTRACKED {
        // SAFETY: as above. From the network's header on: of what the kernel cuts or joins on the way it sees one packet.
        add(slot, u64::from(unsafe { (*packet).len }), counter);
    }
}

/// Looks for the nearest tracked cgroup from the root downwards, and leaves what it found in the cache, as CPU time's `resolve` does.
#[inline(always)]
fn resolve(packet: *mut __sk_buff, leaf: u64, place: *mut u64) -> u32 {
    let Some(state) = STATE.get_ptr_mut(0) else { return cache::UNTRACKED };
    // SAFETY: a field of a map's value.
    let generation = unsafe { &raw mut (*state).generation };
    let before = atomic::load(generation);
    let mut nearest = cache::UNTRACKED;
    for level in 0..MAX_DEPTH as i32 {
        // SAFETY: a helper, given the program's context.
        let id = unsafe { bpf_skb_ancestor_cgroup_id(packet, level) };
        if id == 0 {
            break;
        }
        // SAFETY: entries are made and removed, never changed in place.
        if let Some(slot) = unsafe { TRACKED.get(id) } {
            nearest = *slot;
        }
    }
    if leaf < cache::KEY_LIMIT {
        atomic::store(place, cache::entry(leaf, nearest));
        if atomic::load(generation) != before {
            atomic::store(place, 0);
        }
    }
    nearest
}

/// Charges a slot, and those of the tracked cgroups around it.
#[inline(always)]
fn add(slot: u32, bytes: u64, counter: impl Fn(*mut Traffic) -> *mut u64) {
    let mut index = slot;
    for _ in 0..MAX_NESTING {
        let (Some(traffic), Some(slot)) = (TRAFFIC.get_ptr_mut(index), SLOTS.get_ptr_mut(index)) else { return };
        atomic::add(counter(traffic), bytes);
        // SAFETY: a field of a map's value.
        let parent = unsafe { (&raw const (*slot).parent).read_volatile() } as u32;
        if parent == 0 {
            return;
        }
        index = parent - 1;
    }
}
