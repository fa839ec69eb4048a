//! The command line: which subcommand runs what.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::{check, daemon, release, replay, sampler, show};

/// How many lines of the log may wait to be written; more than a start with a thousand containers says.
const LOG_LINES: usize = 4096;

/// Keeps each container's limits just above what it really uses.
#[derive(Debug, Parser)]
#[command(name = "headroom-agent", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Guard this host's containers until told to end (SIGTERM); SIGHUP re-reads the configuration.
    Run {
        /// The configuration.
        #[arg(long, default_value = "/etc/headroom/agent.toml")]
        config: PathBuf,
        /// Keep the usage of each judged window in this directory, a CSV file a container and resource, as `replay --usage` reads it.
        #[arg(long, value_name = "DIR")]
        record: Option<PathBuf>,
    },
    /// Probe the kernel and the configuration: would `run` work, and how? Exit status: 0 with eBPF, 2 without, 1 not at all.
    Check {
        /// A configuration to be checked too.
        #[arg(long)]
        config: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what the running agent guards, and why.
    Status(show::StatusArgs),
    /// Lift the limits of guarded containers to their structure's `max`, with no agent running.
    Release(release::Args),
    /// Run recorded usage through the policy, without touching anything.
    Replay(replay::ReplayArgs),
}

/// Runs what was asked for.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Run { config, record } => {
            let _until_written = log_from_another_thread();
            daemon::run(&config, record.as_deref())
        }
        Command::Check { config, json } => {
            // What is doubtful in a configuration is told beside the table.
            log_to_stderr();
            let tries = check::Try { ebpf: &sampler::select::try_ebpf, config: &daemon::check_config };
            let mut out = io::stdout().lock();
            let no_colour = crate::config::no_colour();
            let style = if json { check::Style::Json } else { check::Style::table_for(&out, no_colour) };
            match check::run(config.as_deref(), &tries, style, &mut out) {
                Ok(code) => return code,
                Err(e) => Err(e.into()),
            }
        }
        Command::Status(args) => show::run(&args),
        Command::Replay(args) => {
            log_to_stderr();
            let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
            replay::run(&args, &mut out).and_then(|()| Ok(out.flush()?))
        }
        Command::Release(args) => {
            log_to_stderr();
            release::run(&args, &mut io::stdout().lock())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `headroom-agent replay .. | head` is not an error.
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("{e:#}"));
            ExitCode::FAILURE
        }
    }
}

fn complain(message: &str) {
    // With stderr gone there is nobody left to tell.
    writeln!(io::stderr(), "headroom-agent: {message}").ok();
}

/// Logs go to stderr, where journald takes them; `RUST_LOG` says how much.
fn log_to_stderr() {
    log_with(io::stderr);
}

/// The same without ever waiting for whoever reads stderr: a limit is not to come late for a pager that stands still. Lines that find no
/// room are lost. Dropped, what is returned waits until all others are written, for a second at most.
fn log_from_another_thread() -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(LOG_LINES).thread_name("log").finish(io::stderr());
    log_with(writer);
    guard
}

fn log_with<W: for<'w> MakeWriter<'w> + Send + Sync + 'static>(writer: W) {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(io::stderr().is_terminal()).init();
}
