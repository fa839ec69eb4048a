//! The kernel side: CPU time here, bytes of sockets in [`net`]. `sched_stat_runtime` fires wherever the kernel itself charges a cgroup
//! with CPU time; so does this: task -> leaf cgroup -> slot of the nearest tracked ancestor -> add, compare with the armed threshold,
//! ring.
//!
//! Runs with interrupts off under the run queue's lock: no loops on the usual path, no locks, loads at constant offsets.
//!
//! One counter a slot, which all CPUs add to. Its cache line moves between the CPUs that run one container, but a CPU charges
//! some hundred to some ten thousand times a second, and a move costs about 0.1 us. Lanes per CPU would spare that, and
//! would make the comparison with the threshold, on which deciding early rests, either inexact or a sum over all lanes.
#![no_std]
#![no_main]
#![allow(internal_features, reason = "the bpf target has no AtomicU64::fetch_add in core")]
#![feature(core_intrinsics)]

mod atomic;
mod layout;
mod net;

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_RB_FORCE_WAKEUP};
use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{Array, HashMap, RingBuf};
use aya_ebpf::programs::BtfTracePointContext;
use headroom_records::{MAX_DEPTH, MAX_NESTING, Rung, Slot, State, cache};

use crate::layout::{Cgroup, Kernel, Leaf};

/// One a tracked container. The agent sets the size and maps it.
#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(4096, BPF_F_MMAPABLE);

/// Id of a tracked cgroup -> its slot. As many entries as slots.
#[map]
static TRACKED: HashMap<u64, u32> = HashMap::with_max_entries(4096, 0);

/// Leaf cgroup -> slot, see [`cache`]. The agent maps and clears it.
#[map]
static CACHE: Array<u64> = Array::with_max_entries(cache::ENTRIES, BPF_F_MMAPABLE);

/// One record. The agent maps it.
#[map]
static STATE: Array<State> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Thresholds passed.
#[map]
static RUNGS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

/// The licence that the kernel's tracing helpers ask for.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// `sched_stat_runtime(task, runtime_ns, ..)`: `runtime_ns` more for `task`, which need not be the one that runs here.
#[btf_tracepoint(function = "sched_stat_runtime")]
fn charge(ctx: BtfTracePointContext) -> i32 {
    let task = Kernel(ctx.arg(0));
    if task.is_idle() {
        return 0;
    }
    let leaf = task.leaf();
    let key = leaf.serial();
    let Some(place) = CACHE.get_ptr_mut(cache::index(key)) else { return 0 };
    // SAFETY: a word of the map; every writer stores it whole.
    let slot = match cache::slot(unsafe { place.read_volatile() }, key) {
        Some(slot) => slot,
        None => resolve(leaf, key, place),
    };
    if slot != cache::UNTRACKED {
        add(slot, ctx.arg(1));
    }
    0
}

/// Does nothing, at the same hook: what a run of [`charge`] costs is its time less this one's.
#[btf_tracepoint(function = "sched_stat_runtime")]
fn empty(_: BtfTracePointContext) -> i32 {
    0
}

/// Walks to the nearest tracked cgroup, and leaves what it found in the cache.
#[inline(always)]
fn resolve(leaf: Leaf, key: u64, place: *mut u64) -> u32 {
    let Some(state) = STATE.get_ptr_mut(0) else { return cache::UNTRACKED };
    // SAFETY: a field of a map's value.
    let generation = unsafe { &raw mut (*state).generation };
    let before = atomic::load(generation);
    let slot = walk(leaf.cgroup());
    if key < cache::KEY_LIMIT {
        // The agent raises the generation, then clears. Either that comes after our entry and clears it, or we see here
        // that the tracked set has changed under the walk.
        atomic::store(place, cache::entry(key, slot));
        if atomic::load(generation) != before {
            atomic::store(place, 0);
        }
    }
    slot
}

/// The slot of the nearest tracked cgroup from this one upwards.
#[inline(always)]
fn walk(mut cgroup: Cgroup) -> u32 {
    let mut id = cgroup.id();
    for _ in 0..MAX_DEPTH {
        // SAFETY: entries are made and removed, never changed in place.
        if let Some(slot) = unsafe { TRACKED.get(id) } {
            return *slot;
        }
        cgroup = cgroup.parent();
        id = cgroup.id();
        if id == 0 {
            return cache::UNTRACKED;
        }
    }
    // SAFETY: a field of a map's value.
    count(|state| unsafe { &raw mut (*state).charges_dropped });
    cache::UNTRACKED
}

/// Charges a slot, and those of the tracked cgroups around it.
#[inline(always)]
fn add(slot: u32, runtime_ns: u64) {
    let mut index = slot;
    for _ in 0..MAX_NESTING {
        let Some(slot) = SLOTS.get_ptr_mut(index) else { return };
        // SAFETY: fields of a map's value.
        let (used, armed, parent) = unsafe { (&raw mut (*slot).used_ns, &raw const (*slot).armed_ns, &raw const (*slot).parent) };
        // SAFETY: fields of a map's value.
        let (opened, woke) = unsafe { (&raw const (*slot).opened_ns, &raw mut (*slot).woke_ns) };
        let before = atomic::add(used, runtime_ns);
        // Of charges on several CPUs one alone finds the sum as it stood when the window opened.
        if before == unsafe { opened.read_volatile() } {
            // SAFETY: a helper without arguments; a word of the map, which is stored whole.
            unsafe { woke.write_volatile(bpf_ktime_get_ns().wrapping_sub(runtime_ns)) };
        }
        // Loaded after the add, which is a barrier; the agent stores the threshold before it loads what is used.
        let armed_ns = unsafe { armed.read_volatile() };
        let used_ns = before.wrapping_add(runtime_ns);
        if before < armed_ns && armed_ns <= used_ns {
            ring(index, armed_ns, used_ns);
        }
        let parent = unsafe { parent.read_volatile() } as u32;
        if parent == 0 {
            return;
        }
        index = parent - 1;
    }
    // SAFETY: a field of a map's value.
    count(|state| unsafe { &raw mut (*state).charges_dropped });
}

/// Tells the agent, now.
#[inline(always)]
fn ring(slot: u32, armed_ns: u64, used_ns: u64) {
    let Some(mut rung) = RUNGS.reserve::<Rung>(0) else {
        // SAFETY: a field of a map's value.
        count(|state| unsafe { &raw mut (*state).events_dropped });
        return;
    };
    // SAFETY: a helper without arguments.
    let at_ns = unsafe { bpf_ktime_get_ns() };
    rung.write(Rung { at_ns, slot, reserved: 0, armed_ns, used_ns });
    rung.submit(u64::from(BPF_RB_FORCE_WAKEUP));
}

/// Adds 1 to one of the numbers that we keep of ourselves.
#[inline(always)]
fn count(of: impl FnOnce(*mut State) -> *mut u64) {
    if let Some(state) = STATE.get_ptr_mut(0) {
        atomic::add(of(state), 1);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
