//! CPU time counted in the kernel. The kernel side (`agent-ebpf`) charges a slot per tracked container; the slots are
//! mapped into our memory, so reading and arming are plain loads and stores.

pub mod cost;
mod layout;
mod mapped;
mod net;

use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use aya::maps::{HashMap, Map, MapData, RingBuf};
use aya::programs::BtfTracePoint;
use aya::{Ebpf, EbpfLoader};
use headroom_records::{DISARMED, Rung, cache};

use self::mapped::{MappedArray, SlotCell, StateCell};
use self::net::Net;
use crate::cgroup::{Cgroup, Mode};
use crate::sampler::btf::{Btf, BtfError, VMLINUX};
use crate::sampler::slots::{Relinked, Slots};
use crate::sampler::{Passed, SamplerError, SlotId, SourceHealth, SourceKind, UsageSource};

/// The tracepoint at which the kernel itself charges cgroups.
pub const TRACEPOINT: &str = "sched_stat_runtime";

/// The kernel side as it was compiled; `cargo xtask ebpf` makes it anew.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../agent-ebpf/object/headroom.bpf.o"));

/// Which of the object's programs to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The one that counts.
    Charge,
    /// One that does nothing at the same hook, to know what the hook itself costs.
    Empty,
    /// The one that counts what sockets receive.
    Received,
    /// The one that counts what they send.
    Sent,
}

impl Program {
    /// Its name in the object, and in the kernel's statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Empty => "empty",
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

/// Whether a kernel with these types keeps what the kernel side follows where it can be found.
pub fn resolves(btf: &Btf, mode: Mode) -> Result<(), BtfError> {
    layout::resolve(btf, mode).map(|_| ())
}

/// The eBPF source. What it made in the kernel goes away with it.
pub struct EbpfSource {
    slots: Slots,
    cells: MappedArray<SlotCell>,
    cache: MappedArray<AtomicU64>,
    state: MappedArray<StateCell>,
    tracked: HashMap<MapData, u64, u32>,
    rungs: RingBuf<MapData>,
    /// What [`UsageSource::used_ns`] said last, by slot; `None` of a free one.
    said: Vec<Option<u64>>,
    program: Program,
    /// Bytes of sockets; or why they are not counted.
    net: Result<Net, String>,
    /// Holds the programs attached.
    ebpf: Ebpf,
}

impl EbpfSource {
    /// Loads and attaches the kernel side, with room for `max_containers` (1..=65534). Where it cannot count bytes of sockets it does
    /// without: [`UsageSource::net_reason`] says why.
    pub fn load(mode: Mode, max_containers: u32) -> Result<Self, SamplerError> {
        let mut ebpf = open_object(mode, max_containers)?;
        load_program(&mut ebpf, Program::Charge)?;
        let verified = net::verify(&mut ebpf, mode);
        let mut source = Self::of(ebpf, max_containers, Program::Charge)?;
        source.attach()?;
        source.net = verified.and_then(|()| Net::begin(&mut source.ebpf, max_containers));
        Ok(source)
    }

    /// Attaches what [`EbpfSource::verified`] has loaded, where that is on CPU time.
    pub fn attach(&mut self) -> Result<(), SamplerError> {
        let doing = || format!("attaching {} to {TRACEPOINT}", self.program.name());
        let program = on_cpu_time(&mut self.ebpf, self.program)?;
        program.attach().map_err(|e| unavailable(doing(), &e))?;
        Ok(())
    }

    /// As [`EbpfSource::load`], but nothing is attached yet: the kernel has verified `program`, so it would work.
    pub fn verified(mode: Mode, max_containers: u32, program: Program) -> Result<Self, SamplerError> {
        let mut ebpf = open_object(mode, max_containers)?;
        load_program(&mut ebpf, program)?;
        Self::of(ebpf, max_containers, program)
    }

    /// Of an object whose programs are loaded: that takes the maps, which are taken out here.
    fn of(mut ebpf: Ebpf, max_containers: u32, program: Program) -> Result<Self, SamplerError> {
        give_back_memory();
        Ok(Self {
            slots: Slots::new(max_containers),
            cells: map_array(&mut ebpf, "SLOTS", max_containers as usize)?,
            cache: map_array(&mut ebpf, "CACHE", cache::ENTRIES as usize)?,
            state: map_array(&mut ebpf, "STATE", 1)?,
            tracked: take_map(&mut ebpf, "TRACKED")?.try_into().map_err(|e| unavailable("the map TRACKED", &e))?,
            rungs: take_map(&mut ebpf, "RUNGS")?.try_into().map_err(|e| unavailable("the map RUNGS", &e))?,
            said: vec![None; max_containers as usize],
            program,
            net: Err("nobody asked for it".to_owned()),
            ebpf,
        })
    }

    /// How many instructions the kernel's verifier went through to prove the program: on every path, so more than the program has.
    /// It gives up at a million. `None` where the kernel does not tell (before 5.16).
    pub fn verified_instructions(&self) -> Result<Option<u32>, SamplerError> {
        let name = self.program.name();
        let program = self.ebpf.program(name).ok_or_else(|| no_program(name))?;
        let info = program.info();
        Ok(info.map_err(|e| unavailable(format!("asking about the program {name}"), &e))?.verified_instruction_count())
    }

    fn cell(&self, slot: SlotId) -> Option<&SlotCell> {
        (*self.said.get(slot.0 as usize)?)?;
        self.cells.get(slot.0 as usize)
    }

    /// Tells the kernel side what encloses what.
    fn relink(&self, relinked: &[Relinked]) {
        for Relinked { slot, parent } in relinked {
            if let Some(cell) = self.cells.get(*slot as usize) {
                cell.parent.store(parent_word(*parent), Ordering::Relaxed);
            }
        }
    }

    /// Makes the kernel side look each leaf cgroup up again: first the generation, then the cache, so that a walk under
    /// way, which reads them in the other order, cannot leave an entry of before.
    fn forget_leaves(&self) {
        if let Some(state) = self.state.first() {
            state.generation.fetch_add(1, Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
        for entry in &*self.cache {
            entry.store(0, Ordering::Relaxed);
        }
        if let Ok(net) = &self.net {
            net.forget();
        }
    }
}

impl UsageSource for EbpfSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Ebpf
    }

    fn track(&mut self, cgroup: &Cgroup) -> Result<SlotId, SamplerError> {
        let Some((slot, relinked)) = self.slots.take(cgroup.path(), cgroup.id()) else {
            return Err(SamplerError::Full { path: cgroup.path().to_string(), capacity: self.slots.capacity() });
        };
        let parent = self.slots.get(slot).and_then(|taken| taken.parent);
        if let Some(cell) = self.cells.get(slot as usize) {
            cell.armed_ns.store(DISARMED, Ordering::SeqCst);
            cell.used_ns.store(0, Ordering::SeqCst);
            cell.opened_ns.store(0, Ordering::SeqCst);
            cell.woke_ns.store(0, Ordering::SeqCst);
            cell.parent.store(parent_word(parent), Ordering::Relaxed);
            cell.cgroup_id.store(cgroup.id(), Ordering::Relaxed);
        }
        if let Ok(net) = &self.net {
            net.clear(slot);
        }
        if let Err(e) = self.tracked.insert(cgroup.id(), slot, 0) {
            self.slots.release(slot);
            return Err(unavailable(format!("tracking {}", cgroup.path()), &e));
        }
        self.relink(&relinked);
        self.forget_leaves();
        self.said[slot as usize] = Some(0);
        Ok(SlotId(slot))
    }

    fn untrack(&mut self, slot: SlotId) {
        let Some((taken, relinked)) = self.slots.release(slot.0) else { return };
        self.said[slot.0 as usize] = None;
        // Another slot may have taken the id over, where a container was tracked twice.
        if self.tracked.get(&taken.cgroup_id, 0).is_ok_and(|owner| owner == slot.0)
            && let Err(e) = self.tracked.remove(&taken.cgroup_id)
        {
            tracing::warn!(path = %taken.path, "the kernel side goes on counting an untracked container: {e}");
        }
        self.relink(&relinked);
        self.forget_leaves();
        if let Some(cell) = self.cells.get(slot.0 as usize) {
            cell.armed_ns.store(DISARMED, Ordering::Relaxed);
            cell.cgroup_id.store(0, Ordering::Relaxed);
        }
    }

    fn used_ns(&mut self, slot: SlotId) -> Option<u64> {
        let used = self.counted_ns(slot)?;
        let said = self.said.get_mut(slot.0 as usize)?.as_mut()?;
        *said = used.max(*said);
        Some(*said)
    }

    fn open(&mut self, slot: SlotId, used_ns: u64) {
        let Some(cell) = self.cell(slot) else { return };
        // Most containers are idle most of the time: their lines stay where they are.
        if cell.opened_ns.load(Ordering::Relaxed) != used_ns {
            cell.opened_ns.store(used_ns, Ordering::SeqCst);
        }
    }

    fn woke_ns(&self, slot: SlotId) -> Option<u64> {
        Some(self.cell(slot)?.woke_ns.load(Ordering::Relaxed))
    }

    fn arm(&mut self, slot: SlotId, threshold_ns: Option<u64>) -> bool {
        let Some(cell) = self.cell(slot) else { return false };
        let threshold = threshold_ns.unwrap_or(DISARMED);
        cell.armed_ns.store(threshold, Ordering::SeqCst);
        // The kernel side adds, then loads the threshold. We have stored the threshold, and now load what was added: at
        // least one of us sees the other.
        fence(Ordering::SeqCst);
        let passed = cell.used_ns.load(Ordering::SeqCst) >= threshold;
        if passed {
            cell.armed_ns.store(DISARMED, Ordering::SeqCst);
        }
        !passed
    }

    fn counted_ns(&mut self, slot: SlotId) -> Option<u64> {
        Some(self.cell(slot)?.used_ns.load(Ordering::Relaxed))
    }

    fn correct(&mut self, slot: SlotId, by_ns: i64) {
        if let Some(cell) = self.cell(slot) {
            cell.used_ns.fetch_add(by_ns.cast_unsigned(), Ordering::SeqCst);
        }
    }

    fn net_bytes(&self, slot: SlotId) -> Option<[u64; 2]> {
        self.cell(slot)?;
        self.net.as_ref().ok()?.bytes(slot)
    }

    fn net_reason(&self) -> Option<&str> {
        self.net.as_ref().err().map(String::as_str)
    }

    fn events(&self) -> Option<BorrowedFd<'_>> {
        Some(self.rungs.as_fd())
    }

    fn drain(&mut self, each: &mut dyn FnMut(Passed)) {
        while let Some(item) = self.rungs.next() {
            let Some(rung) = rung(&item) else { continue };
            let Some(cell) = self.cells.get(rung.slot as usize) else { continue };
            // One of an arming that was taken back, or replaced, is no news.
            if cell.armed_ns.compare_exchange(rung.armed_ns, DISARMED, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                let Rung { at_ns, slot, armed_ns, used_ns, .. } = rung;
                each(Passed { slot: SlotId(slot), at_ns, armed_ns, used_ns });
            }
        }
    }

    fn health(&self) -> SourceHealth {
        let state = self.state.first();
        let count = |of: fn(&StateCell) -> &AtomicU64| state.map_or(0, |state| of(state).load(Ordering::Relaxed));
        SourceHealth {
            events_dropped: count(|state| &state.events_dropped),
            charges_dropped: count(|state| &state.charges_dropped),
            read_errors: 0,
        }
    }
}

/// The object with its maps made and its globals set.
fn open_object(mode: Mode, max_containers: u32) -> Result<Ebpf, SamplerError> {
    if !(1..=cache::MAX_SLOTS).contains(&max_containers) {
        let why = format!("sampler.max_containers is {max_containers}, expected 1 to {}", cache::MAX_SLOTS);
        return Err(SamplerError::Ebpf { why });
    }
    let globals = {
        let btf = Btf::read(Path::new(VMLINUX)).map_err(|e| unavailable("the kernel's types", &e))?;
        layout::resolve(&btf, mode).map_err(|e| unavailable("the kernel's types", &e))?
    };
    let mut loader = EbpfLoader::new();
    // It has read the kernel's types for relocations, of which our object has none: they need not be there twice.
    loader.btf(None);
    for map in ["SLOTS", "TRACKED", "TRAFFIC"] {
        loader.map_max_entries(map, max_containers);
    }
    for (name, value) in &globals {
        loader.override_global(name, value, true);
    }
    loader.load(OBJECT).map_err(|e| unavailable("loading the maps", &e))
}

/// Has the kernel verify one of the object's programs, while the object has its maps.
fn load_program(ebpf: &mut Ebpf, program: Program) -> Result<(), SamplerError> {
    if matches!(program, Program::Received | Program::Sent) {
        return net::load(ebpf, program);
    }
    // A program of this kind is attached by the id of a type in the kernel's BTF, which aya looks up itself.
    let btf = aya::Btf::from_sys_fs().map_err(|e| unavailable("the kernel's types", &e))?;
    let doing = || format!("loading the program {}", program.name());
    on_cpu_time(ebpf, program)?.load(TRACEPOINT, &btf).map_err(|e| unavailable(doing(), &e))
}

/// One of the programs on CPU time, to be loaded or attached.
fn on_cpu_time(ebpf: &mut Ebpf, program: Program) -> Result<&mut BtfTracePoint, SamplerError> {
    let name = program.name();
    let found = ebpf.program_mut(name).ok_or_else(|| no_program(name))?;
    found.try_into().map_err(|e| unavailable(format!("the program {name}"), &e))
}

fn no_program(name: &str) -> SamplerError {
    SamplerError::Ebpf { why: format!("the object has no program {name}") }
}

fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<Map, SamplerError> {
    ebpf.take_map(name).ok_or_else(|| SamplerError::Ebpf { why: format!("the object has no map {name}") })
}

fn map_array<T: mapped::Shared>(ebpf: &mut Ebpf, name: &str, entries: usize) -> Result<MappedArray<T>, SamplerError> {
    let Map::Array(data) = take_map(ebpf, name)? else {
        return Err(SamplerError::Ebpf { why: format!("the object's map {name} is no array") });
    };
    // The mapping keeps the map alive, and so does the program; its descriptor is not needed any more.
    MappedArray::new(data.fd().as_fd(), entries).map_err(|e| unavailable(format!("mapping {name} into memory"), &e))
}

/// The word for a slot's parent: one more than its index.
fn parent_word(parent: Option<u32>) -> u64 {
    parent.map_or(0, |parent| u64::from(parent) + 1)
}

/// A record of the ring buffer; `None` where its size is another.
fn rung(bytes: &[u8]) -> Option<Rung> {
    let words = bytes.as_chunks::<8>().0;
    let &[at_ns, slot, armed_ns, used_ns] = words else { return None };
    let [slot, reserved] = [&slot[..4], &slot[4..]].map(|half| half.first_chunk().copied().map(u32::from_ne_bytes));
    Some(Rung {
        at_ns: u64::from_ne_bytes(at_ns),
        slot: slot?,
        reserved: reserved?,
        armed_ns: u64::from_ne_bytes(armed_ns),
        used_ns: u64::from_ne_bytes(used_ns),
    })
}

/// The kernel's types take some 20 MB in small pieces while they are looked at; the allocator would keep those for ever.
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

fn unavailable(doing: impl Display, e: &dyn std::error::Error) -> SamplerError {
    SamplerError::Ebpf { why: format!("{doing}: {}", chain(e)) }
}

/// An error with what it comes from, each once.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    text
}
