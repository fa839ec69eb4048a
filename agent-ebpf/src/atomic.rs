//! Atomics on map memory, all sequentially consistent: LLVM 22 miscompiles a relaxed fetch-add whose result is used (it
//! emits the form without fetch, and the old value is garbage).

use core::intrinsics::{AtomicOrdering, atomic_xadd, atomic_xchg};

/// Adds to a word and gives what it was before.
#[inline(always)]
pub(crate) fn add(word: *mut u64, more: u64) -> u64 {
    // SAFETY: `word` points into a map's value, as the verifier checks at load.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(word, more) }
}

/// Stores a word, ordered before every later load.
#[inline(always)]
pub(crate) fn store(word: *mut u64, value: u64) {
    // SAFETY: as in `add`.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(word, value) };
}

/// Loads a word, ordered before every later load: the instruction set has no load that is a barrier, so this adds 0.
/// Not for the usual path.
#[inline(always)]
pub(crate) fn load(word: *mut u64) -> u64 {
    add(word, 0)
}
