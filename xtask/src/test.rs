//! `cargo xtask test`: every check there is, on this machine and on other kernels, with one summary at the end.

mod binaries;
mod dist;
mod engines;
mod guests;
mod systemd;
mod tally;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::vm::{Hierarchy, Kernel};
use crate::{repo, setup, tidy};
use tally::{Tally, summary};

/// Builds everything and runs all tests: on this machine, and those that meet the kernel in VMs too.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// No VM: what meets the kernel runs on this machine's only
    #[arg(long, conflicts_with = "all")]
    quick: bool,
    /// Every kernel and cgroup layout that VMs can have (the default is kernel 6.12 with v2), and the unit under systemd
    #[arg(long)]
    all: bool,
}

/// One line of the summary.
pub(crate) struct Step {
    name: String,
    outcome: Outcome,
    seconds: f64,
}

/// What came of a step.
pub(crate) enum Outcome {
    /// Tests ran, so many; which programs had failures.
    Tests { tally: Tally, failed: Vec<String> },
    /// A check found nothing wrong, or something.
    Check { passed: bool },
    /// Left out, and why.
    LeftOut(String),
}

/// Runs `cargo xtask test`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = nix::unistd::geteuid().is_root();
    ensure!(root, "the tests make cgroups, load eBPF and boot VMs, which only root may do: run this as root");
    let guests = guests_of(args);
    let mut kernels: Vec<_> = guests.iter().map(|(kernel, _)| *kernel).collect();
    kernels.dedup();
    eprintln!("test: what VMs and tests need is fetched once and kept below target; nothing is installed");
    setup::fetch(&kernels)?;

    let mut steps = vec![cargo_check("fmt", &["--all", "--check"]), clippy()];
    let built = binaries::build()?;
    steps.push(timed("this machine", || binaries::run_here(&built))?);
    steps.push(timed("documentation examples", binaries::run_doc_tests)?);
    steps.push(timed("static programs in an empty root", dist::run)?);
    steps.push(timed("engines, with the agent beside them", || engines::run(&built))?);
    for (kernel, cgroup) in guests {
        let name = format!("VM, kernel {}, cgroup {}", kernel.name(), cgroup.name());
        steps.push(timed(&name, || guests::run(kernel, cgroup, &built))?);
    }
    if args.all {
        steps.push(timed("VM, systemd and the unit", systemd::run)?);
    }
    if args.quick {
        let why = "--quick: nothing was tried on another kernel than this machine's";
        steps.push(Step { name: "VM".to_owned(), outcome: Outcome::LeftOut(why.to_owned()), seconds: 0.0 });
    }
    steps.push(timed("tidy", || Ok(Outcome::Check { passed: tidy::run()? == ExitCode::SUCCESS }))?);

    let (text, passed) = summary(&steps);
    eprint!("\n{text}");
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn guests_of(args: &Args) -> Vec<(Kernel, Hierarchy)> {
    match args {
        Args { quick: true, .. } => Vec::new(),
        Args { all: true, .. } => {
            let layouts = [Hierarchy::V2, Hierarchy::V1, Hierarchy::Hybrid];
            let every = Kernel::ALL.into_iter().flat_map(|kernel| layouts.map(|cgroup| (kernel, cgroup)));
            every.filter(|(kernel, cgroup)| cgroup.is_in(*kernel)).collect()
        }
        _ => vec![(Kernel::V6_12, Hierarchy::V2)],
    }
}

fn clippy() -> Step {
    cargo_check("clippy", &["--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
}

/// A subcommand of cargo that is a component of its own; without it the check is left out, and the summary says so.
fn cargo_check(tool: &str, arguments: &[&str]) -> Step {
    eprintln!("test: cargo {tool}");
    let start = Instant::now();
    let outcome = if setup::has_cargo(tool) {
        let status = repo::cargo().arg(tool).args(arguments).status();
        Outcome::Check { passed: status.is_ok_and(|status| status.success()) }
    } else {
        Outcome::LeftOut(format!("there is no cargo {tool}: rustup component add rustfmt clippy"))
    };
    Step { name: format!("cargo {tool}"), outcome, seconds: start.elapsed().as_secs_f64() }
}

fn timed(name: &str, step: impl FnOnce() -> Result<Outcome>) -> Result<Step> {
    eprintln!("test: {name}");
    let start = Instant::now();
    let outcome = step()?;
    Ok(Step { name: name.to_owned(), outcome, seconds: start.elapsed().as_secs_f64() })
}

/// `command` under a clock, so that a test that hangs is a failure and not a wait; 124 is its exit code then.
fn within(seconds: u32, command: &Command) -> Command {
    let mut held = Command::new("timeout");
    held.args(["--foreground", "--kill-after=10", &seconds.to_string()]).arg(command.get_program()).args(command.get_args());
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guests(quick: bool, all: bool) -> Vec<String> {
        let guests = guests_of(&Args { quick, all });
        guests.into_iter().map(|(kernel, cgroup)| format!("{} {}", kernel.name(), cgroup.name())).collect()
    }

    #[test]
    fn what_is_asked_for_says_which_guests_there_are() {
        assert_eq!(guests(false, false), ["6.12 v2"]);
        assert_eq!(guests(false, true), ["6.1 v2", "6.1 v1", "6.1 hybrid", "6.12 v2", "newest v2"]);
        assert!(guests(true, false).is_empty());
    }

    #[test]
    fn a_test_that_hangs_is_ended() {
        let mut hanging = Command::new("sleep");
        hanging.arg("60");
        assert_eq!(within(1, &hanging).status().unwrap().code(), Some(124));
    }
}
