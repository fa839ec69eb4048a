//! Keeping what the agent needs in memory, so that a decision waits for no page to be read back.

use std::hint::black_box;

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::capabilities::{Capabilities, Capability};

/// More of the stack than a decision takes, in bytes.
const STACK: usize = 128 * 1024;

/// Keeps every page that the process touches from now on, and has touched, in memory. Pages that nobody touches cost nothing: locking
/// whole mappings takes 14 MB for the threads' stacks alone.
///
/// `Err`: why it was not done; where locked memory is limited, later allocations would fail at the limit.
pub fn keep_touched() -> Result<(), String> {
    let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|e| format!("the limit on locked memory: {e}"))?;
    let may = limit == RLIM_INFINITY || Capabilities::read().is_ok_and(|ours| ours.has(Capability::IpcLock));
    if !may {
        return Err(format!("locked memory is limited to {limit} bytes (RLIMIT_MEMLOCK), and CAP_IPC_LOCK is missing"));
    }
    // nix does not name it; Linux 4.4.
    let on_fault = MlockAllFlags::from_bits_retain(nix::libc::MCL_ONFAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault).map_err(|e| format!("mlockall: {e}"))
}

/// Touches the calling thread's stack, so that its first deep call has its pages.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "the stack is what is to be touched")]
pub fn touch_stack() {
    black_box([0_u8; STACK]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_with_a_small_stack_of_ours_has_room_for_the_touch() {
        std::thread::Builder::new().stack_size(1024 * 1024).spawn(touch_stack).unwrap().join().unwrap();
    }
}
