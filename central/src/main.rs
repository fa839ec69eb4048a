//! `headroom-central`: see `headroom_central::cli`.

use std::process::ExitCode;

/// Reports are many short-lived texts on several threads, on which glibc's malloc spends a third of the service's CPU time, and which leave
/// its heaps full of holes. Without asking for huge pages (`no_thp`): holes would be 2 MiB large.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Some kernels give huge pages to who has not asked for them. One that cannot be told does not have them.
    nix::sys::prctl::set_thp_disable(true).ok();
    headroom_central::cli::main()
}
