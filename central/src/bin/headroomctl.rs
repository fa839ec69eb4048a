//! `headroomctl`: see `headroom_central::ctl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    headroom_central::ctl::main()
}
