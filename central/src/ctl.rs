//! `headroomctl`: the Orchestrator API for people and scripts.
//!
//! | exit status | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | central refuses: no such thing, a value that makes no sense, not allowed, not possible now |
//! | 2 | the command line, or a file that it names, is wrong; nothing was asked |
//! | 3 | central cannot be reached, or its answer is none; whether a change was made is not known |

mod args;
mod client;
mod request;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser as _;

use self::args::{Cli, Output};
use self::client::Client;
use self::request::Request;

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Central said no.
    #[error("{0}")]
    Refused(String),
    /// What is given is wrong.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// Nobody reads what is written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    fn exit(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Refused(_) | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        })
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(&failure, Failure::Output(e) if e.kind() == io::ErrorKind::BrokenPipe) {
                // With stderr gone there is nobody left to tell.
                writeln!(io::stderr(), "headroomctl: {failure}").unwrap_or_default();
            }
            failure.exit()
        }
    }
}

fn run(cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
    let requests = Request::of(&cli.command, cli.output)?;
    let client = Client::new(cli)?;
    for request in requests {
        let answer = client.ask(&request)?;
        let text = match (&request.show, cli.output) {
            // A change says nothing when it is made, as commands do.
            (None, _) => continue,
            (Some(_), Output::Csv) => answer,
            (Some(_), Output::Json) => pretty(&answer)?,
            (Some(show), Output::Table) => table::render(*show, &document(&answer)?),
        };
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
    }
    Ok(out.flush()?)
}

fn document(answer: &str) -> Result<serde_json::Value, Failure> {
    serde_json::from_str(answer).map_err(|e| Failure::Unreachable(format!("the answer is no JSON, so hardly central's: {e}")))
}

fn pretty(answer: &str) -> Result<String, Failure> {
    serde_json::to_string_pretty(&document(answer)?).map_err(|e| Failure::Unreachable(e.to_string()))
}
