//! `headroom-central`: see `headroom_central::cli`.

use std::process::ExitCode;

/// Reports are many short-lived texts on several threads, which leave glibc's heaps full of holes: half as much memory again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    headroom_central::cli::main()
}
