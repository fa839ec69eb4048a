//! `headroom-central`: see `headroom_central::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    headroom_central::cli::main()
}
