//! `headroom-agent`.

use std::process::ExitCode;

use clap::Parser;
use headroom_agent::cli::Cli;

fn main() -> ExitCode {
    headroom_agent::cli::run(Cli::parse())
}
