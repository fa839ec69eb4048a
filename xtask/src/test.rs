//! `cargo xtask test`: every check there is, on this machine and on other kernels, with one summary at the end.

mod binaries;
mod compatibility;
mod dist;
mod engines;
mod guests;
mod show;
mod systemd;
mod tally;

use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use nix::unistd::gettid;

use crate::vm::{Hierarchy, Kernel};
use crate::{couchdb, process, repo, setup, tidy};
use binaries::Binary;
use compatibility::Ground;
use show::Show;
use tally::{Program, summary};

/// Builds everything and runs all tests: on this machine, and those that meet the kernel in VMs too.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// No VM: what meets the kernel runs on this machine's only
    #[arg(long, conflicts_with_all = ["all", "on"])]
    quick: bool,
    /// Every kernel and cgroup layout that VMs can have (the default is kernel 6.12 with v2), the unit and engines under systemd, and the
    /// engines in a VM; writes docs/compatibility.md
    #[arg(long, conflicts_with = "on")]
    all: bool,
    /// Only there: `machine`, `systemd`, `engines`, or a kernel and a cgroup layout such as `6.1/hybrid`; writes its column of
    /// docs/compatibility.md
    #[arg(long, value_name = "GROUND", value_parser = Ground::parse)]
    on: Vec<Ground>,
}

/// One line of the summary.
pub(crate) struct Step {
    name: String,
    /// Where it ran, if it tells of the kernel there.
    ground: Option<Ground>,
    outcome: Outcome,
    seconds: f64,
}

/// What came of a step.
pub(crate) enum Outcome {
    /// Test programs ran.
    Tests(Vec<Program>),
    /// A check found nothing wrong, or something.
    Check { passed: bool },
    /// Left out, and why.
    LeftOut(String),
}

/// Runs `cargo xtask test`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = nix::unistd::geteuid().is_root();
    ensure!(root, "the tests make cgroups, load eBPF and boot VMs, which only root may do: run this as root");
    let grounds = grounds_of(args);
    let mut kernels: Vec<_> = grounds.iter().filter_map(|ground| ground.kernel()).collect();
    kernels.dedup();
    eprintln!("test: what VMs and tests need is fetched once and kept below target; nothing is installed");
    setup::fetch(&kernels)?;

    let built = binaries::build()?;
    let mut steps = Vec::new();
    let with_machine = grounds.contains(&Ground::Machine);
    if with_machine {
        let here = || binaries::run_here(&built, couchdb::missing().is_empty());
        steps.push(timed("this machine", Some(Ground::Machine), here)?);
    }
    // What mostly compiles has the time that the other tests spend waiting.
    let (waiting, checks) = thread::scope(|scope| {
        let checks = scope.spawn(|| {
            give_way()?;
            checks(with_machine)
        });
        (side_by_side(&grounds, &built), checks.join())
    });
    steps.extend(waiting?);
    steps.extend(checks.map_err(|_panic| anyhow!("a check panicked"))??);
    let missing = couchdb::missing();
    if !missing.is_empty() {
        let outcome = Outcome::LeftOut(missing.join("; "));
        steps.push(Step { name: "central with CouchDB".to_owned(), ground: None, outcome, seconds: 0.0 });
    }
    if args.quick {
        let why = "--quick: nothing was tried on another kernel than this machine's";
        let outcome = Outcome::LeftOut(why.to_owned());
        steps.push(Step { name: "VM".to_owned(), ground: None, outcome, seconds: 0.0 });
    }
    steps.push(timed("tidy", None, || Ok(Outcome::Check { passed: tidy::run()? == ExitCode::SUCCESS }))?);
    if args.all || !args.on.is_empty() {
        compatibility::record(&steps)?;
    }

    let (text, passed) = summary(&steps);
    eprint!("\n{text}");
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn grounds_of(args: &Args) -> Vec<Ground> {
    match args {
        Args { on, .. } if !on.is_empty() => on.clone(),
        Args { quick: true, .. } => vec![Ground::Machine],
        Args { all: true, .. } => Ground::every(),
        _ => vec![Ground::Machine, Ground::Guest(Kernel::V6_12, Hierarchy::V2)],
    }
}

/// So much runs at once of what mostly waits; on two CPUs, of three guests some tests' programs came too late.
const BESIDE: usize = 2;

/// What is tried on each ground beside another: the engines on this machine, and all that there is in guests. The last comes first, which
/// takes longest; told in the order of the grounds.
fn side_by_side(grounds: &[Ground], built: &[Binary]) -> Result<Vec<Step>> {
    let show = if grounds.len() > 1 { Show::LinesOf } else { |_| Show::AsItComes };
    let waiting: Mutex<Vec<_>> = Mutex::new(grounds.iter().copied().enumerate().collect());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let one_after_the_other = || -> Result<Vec<_>> {
        std::iter::from_fn(next).map(|(place, ground)| Ok((place, on(ground, built, show(ground))?))).collect()
    };
    let done: Vec<_> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..BESIDE).map(|_| scope.spawn(one_after_the_other)).collect();
        lanes.into_iter().map(|lane| lane.join().map_err(|_panic| anyhow!("a lane of tests panicked"))).collect()
    });
    let mut steps = Vec::new();
    for lane in done {
        steps.extend(lane??);
    }
    steps.sort_by_key(|(place, _)| *place);
    Ok(steps.into_iter().flat_map(|(_, steps)| steps).collect())
}

/// What is tried on one ground beside another.
fn on(ground: Ground, built: &[Binary], show: Show) -> Result<Vec<Step>> {
    let step = |name: &str, step: &dyn Fn() -> Result<Outcome>| timed(name, Some(ground), step);
    Ok(match ground {
        Ground::Machine => vec![step("engines, with the agent beside them", &|| engines::run(built, show))?],
        Ground::Guest(kernel, cgroup) => {
            let name = format!("VM, kernel {}, cgroup {}", kernel.name(), cgroup.name());
            vec![step(&name, &|| guests::run(kernel, cgroup, built, show))?]
        }
        Ground::Systemd => vec![
            step("VM, systemd and the unit", &|| systemd::run(show))?,
            step("VM, systemd, engines that ask it", &|| engines::run_under_systemd(built, show))?,
        ],
        Ground::Engines => vec![step("VM, engines, with the agent beside them", &|| engines::run_in_guest(built, show))?],
    })
}

/// What does not hang on the ground; with the machine's own tests, also what is tried of the programs beside them.
fn checks(with_machine: bool) -> Result<Vec<Step>> {
    let mut steps = vec![
        cargo_check("fmt", &["--all", "--check"]),
        cargo_check("clippy", &["--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    ];
    if with_machine {
        steps.push(timed("documentation examples", None, binaries::run_doc_tests)?);
        steps.push(timed("static programs in an empty root", None, dist::run)?);
    }
    Ok(steps)
}

/// This thread, and what it starts, has the CPUs only while nothing else wants them.
fn give_way() -> Result<()> {
    process::run(Command::new("renice").args(["-n", "19", "-p", &gettid().to_string()]))
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
    Step { name: format!("cargo {tool}"), ground: None, outcome, seconds: start.elapsed().as_secs_f64() }
}

fn timed(name: &str, ground: Option<Ground>, step: impl FnOnce() -> Result<Outcome>) -> Result<Step> {
    eprintln!("test: {name}");
    let start = Instant::now();
    let outcome = step()?;
    Ok(Step { name: name.to_owned(), ground, outcome, seconds: start.elapsed().as_secs_f64() })
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

    fn grounds(arguments: &[&str]) -> Vec<String> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let line = <Line as clap::Parser>::try_parse_from([&["test"], arguments].concat()).unwrap();
        grounds_of(&line.args).into_iter().map(|ground| ground.to_string()).collect()
    }

    #[test]
    fn what_is_asked_for_says_where() {
        assert_eq!(grounds(&[]), ["machine", "6.12/v2"]);
        assert_eq!(
            grounds(&["--all"]),
            ["machine", "6.1/v2", "6.1/v1", "6.1/hybrid", "6.12/v2", "newest/v2", "systemd", "engines"]
        );
        assert_eq!(grounds(&["--quick"]), ["machine"]);
        assert_eq!(grounds(&["--on", "6.1/hybrid", "--on", "systemd"]), ["6.1/hybrid", "systemd"]);
        assert!(Ground::parse("6.12/v1").unwrap_err().contains("expected one of machine, 6.1/v2"));
    }

    #[test]
    fn a_test_that_hangs_is_ended() {
        let mut hanging = Command::new("sleep");
        hanging.arg("60");
        assert_eq!(within(1, &hanging).status().unwrap().code(), Some(124));
    }
}
