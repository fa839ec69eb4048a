//! The project's chores, as one program: `cargo xtask <chore>`.

mod process;
mod repo;
mod tidy;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// The project's chores
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Boot another kernel in a VM and run a command there
    Vm(vm::Args),
    /// Hold the repository's own rules against every file
    Tidy,
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Vm(args) => vm::run(args),
        Chore::Tidy => tidy::run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
