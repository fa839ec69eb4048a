//! `headroom-central token`.

use std::io::Write as _;

use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};

use super::Place;
use crate::access::{Role, Tokens};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token and print it: it is shown this once. A running central takes it over within a second
    Add {
        #[command(flatten)]
        place: Place,
        /// Who holds it: shown in the audit
        name: String,
        /// What it is good for
        #[arg(long, value_enum)]
        role: Kind,
        /// With the role agent: the host that it is good for, instead of the one called like the token
        #[arg(long)]
        host: Option<String>,
    },
    /// Take a token away
    Remove {
        #[command(flatten)]
        place: Place,
        /// Who holds it
        name: String,
    },
    /// Who has one, and what it is good for
    List {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Kind {
    /// Looking
    Read,
    /// Looking and changing
    Operate,
    /// Reporting for one host
    Agent,
    /// Being another central on the same CouchDB
    Central,
}

pub(super) fn run(command: Command) -> Result<()> {
    let place = match &command {
        Command::Add { place, .. } | Command::Remove { place, .. } | Command::List { place } => place,
    };
    let directory = place.config()?.state_dir;
    let path = Tokens::path(super::made(&directory)?);
    let mut tokens = Tokens::read(&path)?;
    let mut out = std::io::stdout().lock();
    match command {
        Command::Add { name, role, host, .. } => {
            let role = match (role, host) {
                (Kind::Agent, host) => Role::Agent { host: host.unwrap_or_else(|| name.clone()) },
                (_, Some(_)) => bail!("--host goes with --role agent only"),
                (Kind::Read, None) => Role::Read,
                (Kind::Operate, None) => Role::Operate,
                (Kind::Central, None) => Role::Central,
            };
            let token = tokens.add(&name, role)?;
            tokens.write(&path)?;
            writeln!(out, "{}", token.secret())?;
        }
        Command::Remove { name, .. } => {
            tokens.remove(&name)?;
            tokens.write(&path)?;
        }
        Command::List { .. } => {
            for (name, role) in tokens.holders() {
                match role {
                    Role::Read => writeln!(out, "{name}: read")?,
                    Role::Operate => writeln!(out, "{name}: operate")?,
                    Role::Central => writeln!(out, "{name}: central")?,
                    Role::Agent { host } => writeln!(out, "{name}: agent of {host}")?,
                }
            }
        }
    }
    Ok(())
}
