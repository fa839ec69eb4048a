//! `headroom-agent check`: would `run` work here, how well, and what would make it better? Probes for facts
//! ([`crate::host::probe`]), decides what they mean ([`decide`], pure), tells.

pub mod decide;
pub mod places;
mod tell;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::decide::{Configured, Report, Tried, decide};
use self::places::Places;
use crate::config::Config;
use crate::host::probe::Facts;

/// How the report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A table for people, in colours or without.
    Table {
        /// Colours.
        colour: bool,
    },
    /// One JSON document.
    Json,
}

impl Style {
    /// A table, in colours where `out` is a terminal that wants them (`no_colour`: what `NO_COLOR` asks for).
    pub fn table_for(out: &impl io::IsTerminal, no_colour: bool) -> Self {
        Self::Table { colour: out.is_terminal() && !no_colour }
    }
}

/// Parts of the agent that are tried rather than guessed at.
pub struct Try<'a> {
    /// Loads and attaches the kernel side and lets go of it again: says why it does not count bytes of sockets, where that is so; or what is
    /// missing.
    pub ebpf: &'a dyn Fn() -> Result<Option<String>, String>,
    /// Reads a configuration and what it names; or says what is wrong with it.
    pub config: &'a dyn Fn(&Path) -> Result<Config, String>,
}

/// Checks this host, and `config` where given, and tells `out`.
///
/// The exit status is 0 where `run` would work with eBPF, 2 where it would work with the cgroupfs source, 1 where it
/// would not work.
pub fn run(config: Option<&Path>, tries: &Try<'_>, style: Style, out: &mut dyn Write) -> io::Result<ExitCode> {
    let report = report(config, tries);
    match style {
        Style::Table { colour } => out.write_all(tell::table(&report, colour).as_bytes())?,
        Style::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::from(report.outcome.exit_status()))
}

/// The report alone.
pub fn report(config: Option<&Path>, tries: &Try<'_>) -> Report {
    let configured = |config: Config| Configured { source: config.sampler.source, places: Places::try_out(&config) };
    let config = config.map(|path| (PathBuf::from(path), (tries.config)(path).map(configured)));
    decide(&Facts::probe(), &Tried { config, ebpf: (tries.ebpf)() })
}
