//! `cargo xtask quickstart`: the main job, on this machine, in a minute. Two containers, the agent on them, the central service that
//! guards them through its Orchestrator API, a real CPU load through the five phases that the policy is known by, and what came of it.

mod agent;
mod central;
mod chart;
mod containers;
mod daemon;
mod display;
mod load;
mod mounts;
mod phases;
mod summary;
mod walk;

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::agent::Agent;
use self::central::Central;
use self::containers::Containers;
use self::display::Display;
use self::load::Load;
use crate::repo;

/// The containers.
const NAMES: [&str; 2] = ["cont0", "cont1"];

/// Arguments of `quickstart`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave containers, agent and configuration running; Ctrl-C ends them
    #[arg(long)]
    keep: bool,
    /// Use plain cgroups even where LXC is installed
    #[arg(long)]
    plain: bool,
}

/// Runs the quickstart. Whatever happens, nothing is left behind but `target/quickstart`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(nix::unistd::geteuid().is_root(), "the quickstart makes cgroups and loads eBPF: run it as root");
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).context("cannot catch signals")?;
    }
    match drive(args, &interrupted) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(e) if e.is::<Interrupted>() => {
            println!("\ninterrupted: everything was put back");
            Ok(ExitCode::from(130))
        }
        Err(e) => Err(e),
    }
}

/// Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

fn drive(args: &Args, interrupted: &AtomicBool) -> Result<()> {
    let stop = || interrupted.load(Ordering::Relaxed);
    println!("building the agent and the central service (release) ..");
    let built = build();
    // Ctrl-C ends cargo, too: that it failed is no news then.
    if stop() {
        bail!(Interrupted);
    }
    let built = built?;
    let dir = repo::root().join("target/quickstart");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;

    let containers = Containers::make(&NAMES, &dir, args.plain, &stop)?;
    println!("cont0 and cont1 are {}", containers.describe());
    let central = Central::start(&built.join("headroom-central"), &dir)?;
    println!("the central service serves the Orchestrator API on {}", central.daemon.url);
    let agent = Agent::start(&built.join("headroom-agent"), &dir, containers.pattern().as_deref(), &central.daemon.url)?;
    println!("the agent runs with {} and answers on {}", agent.config.display(), agent.daemon.url);
    let mut loads = [Load::start(&containers, NAMES[0], 2, &stop)?, Load::start(&containers, NAMES[1], 1, &stop)?];
    Load::steer_on_time();
    for load in &mut loads {
        load.set(phases::NEIGHBOUR);
    }
    walk::guard(&central, &agent, &NAMES, &mut loads, &stop)?;

    let before = agent.status()?;
    let mut display = Display::begin(phases::PHASES.iter().map(|p| p.title));
    loads[1].set(phases::NEIGHBOUR);
    for (at, phase) in phases::PHASES.iter().enumerate() {
        display.phase(at);
        loads[0].set(phase.shares);
        let end = Instant::now() + phase.lasts;
        while Instant::now() < end {
            if stop() {
                bail!(Interrupted);
            }
            for load in &mut loads {
                load.steer();
            }
            display.show_if_due(&agent)?;
            std::thread::sleep(Duration::from_millis(4));
        }
    }
    let after = agent.status()?;
    println!();
    for load in &mut loads {
        load.set(0.0);
    }
    println!("{}", summary::summary(&before, &after, &agent.decisions()?, &NAMES)?);
    walk::leave(&central, &agent, &NAMES, &stop)?;
    let picture = dir.join("run.svg");
    std::fs::write(&picture, display.picture()).with_context(|| picture.display().to_string())?;
    println!(
        "configuration: {}\nlogs:          {}\n               {}\npicture:       {}",
        agent.config.display(),
        agent.daemon.log.display(),
        central.daemon.log.display(),
        picture.display()
    );
    if args.keep {
        keep(&central, &agent, &mut loads, &stop)?;
    }
    drop(loads);
    agent.end()?;
    central.end()?;
    drop(containers);
    println!("the containers, their processes, the agent and the central service are gone.");
    Ok(())
}

/// Leaves all running until Ctrl-C, guarded again.
fn keep(central: &Central, agent: &Agent, loads: &mut [Load], stop: &dyn Fn() -> bool) -> Result<()> {
    for name in NAMES {
        central.put(&format!("/structure/{name}/guard"), None)?;
    }
    let ctl = agent.binary.with_file_name("headroomctl");
    println!("\nstill running, guarded again (--keep). Try, in another terminal:");
    println!("  curl {}/structure/cont0", central.daemon.url);
    println!("  curl -X PUT {}/structure/cont0/limits/cpu/boundary -d '{{\"value\": 10}}'", central.daemon.url);
    println!("  {} --central {} hosts", ctl.display(), central.daemon.url);
    println!("  {} status --url {}", agent.binary.display(), agent.daemon.url);
    println!("Ctrl-C ends it.");
    while !stop() {
        for load in &mut *loads {
            load.steer();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The directory that the programs are in.
fn build() -> Result<PathBuf> {
    let root = repo::root();
    let mut cargo = repo::cargo();
    // The first build takes minutes: cargo's own output tells how far it is.
    let status = cargo
        .args(["build", "--release", "--package", "headroom-agent", "--package", "headroom-central", "--bins"])
        .stdin(Stdio::null())
        .status()?;
    ensure!(status.success(), "the agent and the central service did not build (see above)");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release"))
}
