//! `cargo xtask dist`: each program as one static file, which runs on any Linux on this architecture, also in an empty root.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::{process, repo};

/// The programs.
pub(crate) const PROGRAMS: [&str; 3] = ["headroom-agent", "headroom-central", "headroomctl"];

/// A target of its own keeps these apart from what the other chores build.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the programs as static files, in `target/dist`.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs `cargo xtask dist`.
pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    let (built, dist) = (build("release")?, repo::root().join("target/dist"));
    std::fs::create_dir_all(&dist).with_context(|| format!("making {}", dist.display()))?;
    for program in PROGRAMS {
        let to = dist.join(program);
        std::fs::copy(built.join(program), &to).with_context(|| format!("writing {}", to.display()))?;
        eprintln!("{}", to.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The directory that they are in.
pub(crate) fn build(profile: &str) -> Result<PathBuf> {
    let mut cargo = repo::cargo();
    cargo.args(["build", "--quiet", "--bins", "--profile", profile, "--target", TARGET]);
    cargo.args(["--package", "headroom-agent", "--package", "headroom-central"]);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    let status = cargo.status().context("cargo could not be started")?;
    ensure!(status.success(), "the static programs did not build (see above)");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo::root().join("target"), PathBuf::from);
    let built = target.join(TARGET).join(if profile == "dev" { "debug" } else { profile });
    for program in PROGRAMS {
        ensure!(is_static(&built.join(program))?, "{program} asks for a dynamic loader, so it is not static");
    }
    Ok(built)
}

/// Whether a program is all of itself.
fn is_static(program: &Path) -> Result<bool> {
    let headers = process::output(Command::new("readelf").arg("--program-headers").arg(program))?;
    let text = String::from_utf8_lossy(&headers).into_owned();
    ensure!(text.contains("LOAD"), "readelf says nothing of {}", program.display());
    Ok(!text.contains("INTERP"))
}
