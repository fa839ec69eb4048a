//! The project's chores, as one program: `cargo xtask <chore>`.

mod bench;
mod couchdb;
mod dist;
mod ebpf;
mod process;
#[expect(clippy::print_stdout, reason = "what it shows is what it is for")]
mod quickstart;
mod repo;
mod setup;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// The project's chores
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Check this machine and fetch what the other chores need
    Setup(setup::Args),
    /// Show the main job on this machine: two containers, a real load, limits that follow it
    Quickstart(quickstart::Args),
    /// Run every test: here, in VMs, and the repository's rules
    Test(test::Args),
    /// Boot another kernel in a VM and run a command there
    Vm(vm::Args),
    /// Build the kernel side's object anew, or check that it is what the sources give
    Ebpf(ebpf::Args),
    /// Measure speed and memory against what they may be; `soak` for those that take long
    #[command(visible_alias = "soak")]
    Bench(bench::Args),
    /// Build each program as one static file
    Dist(dist::Args),
    /// Hold the repository's own rules against every file
    Tidy,
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Setup(args) => setup::run(&args),
        Chore::Quickstart(args) => quickstart::run(&args),
        Chore::Test(args) => test::run(&args),
        Chore::Vm(args) => vm::run(&args),
        Chore::Ebpf(args) => ebpf::run(&args).map(|()| ExitCode::SUCCESS),
        Chore::Bench(args) => bench::run(&args),
        Chore::Dist(args) => dist::run(&args),
        Chore::Tidy => tidy::run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Chore::command().debug_assert();
    }
}
