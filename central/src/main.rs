//! `headroom-central`: see `headroom_central::cli`.

use std::process::ExitCode;

/// Reports are many short-lived texts on several threads, on which glibc's malloc spends a third of the service's CPU time, and which leave
/// its heaps full of holes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    headroom_central::cli::main()
}
