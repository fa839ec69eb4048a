//! `headroom-central`: the command line.

mod tokens;

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::central::Central;
use crate::config::{Config, Store};
use crate::seed;
use crate::serve::Listener;
use crate::store::choice;

/// One light service a fleet: State Database, Orchestrator API, totals, time series, accounts.
#[derive(Debug, Parser)]
#[command(name = "headroom-central", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve, until told to end
    Serve {
        #[command(flatten)]
        place: Place,
        /// Where, instead of `listen` in the file: 127.0.0.1:5000 by default
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
    },
    /// Load documents into the State Database: {"structures": [..], "limits": [..], "rules": [..], "services": [..], "users": [..], "requests": [..]}
    Init {
        #[command(flatten)]
        place: Place,
        /// The file with the documents; what it does not name stays
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Write all documents to standard output, as `init` reads them
    Export {
        #[command(flatten)]
        place: Place,
    },
    /// Copy all documents from one store to the other; neither may be served meanwhile
    Migrate {
        #[command(flatten)]
        place: Place,
        /// Where the documents are
        #[arg(long, value_enum, value_name = "STORE")]
        from: Store,
        /// Where they are to be
        #[arg(long, value_enum, value_name = "STORE")]
        to: Store,
        /// Take away what is there already
        #[arg(long)]
        replace: bool,
    },
    /// Who may do what
    Token {
        #[command(subcommand)]
        command: tokens::Command,
    },
}

/// Which central.
#[derive(Args, Clone, Debug)]
struct Place {
    /// The settings: configs/central.toml comments each
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Instead of `state_dir` in the file: /var/lib/headroom-central by default
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl Place {
    fn config(&self) -> Result<Config> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(directory) = &self.state_dir {
            config.state_dir.clone_from(directory);
        }
        Ok(config)
    }
}

/// The directory, made where there is none.
fn made(directory: &Path) -> Result<&Path> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make the state directory {}", directory.display()))?;
    Ok(directory)
}

/// Keeps others from serving what is in a directory, until this is dropped or the process ends: amounts are counted in memory, by one.
fn hold(directory: &Path) -> Result<File> {
    let path = made(directory)?.join("serving.lock");
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another headroom-central serves what is in {}", directory.display()),
        Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Runs what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start tokio")?;
    match command {
        Command::Serve { place, listen } => {
            let mut config = place.config()?;
            config.listen = listen.unwrap_or(config.listen);
            runtime.block_on(serve(config))
        }
        Command::Init { place, file } => runtime.block_on(async {
            let config = place.config()?;
            let store = choice::open(&config).await?;
            seed::fill(&*store, config.profile).await?;
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let loaded = seed::load(&*store, &text).await.with_context(|| format!("{} is not loaded", file.display()))?;
            tracing::info!("{loaded} documents loaded from {}", file.display());
            Ok(())
        }),
        Command::Export { place } => runtime.block_on(async {
            let all = seed::export(&*choice::open_known(&place.config()?).await?).await?;
            let text = serde_json::to_string_pretty(&all)? + "\n";
            match std::io::stdout().lock().write_all(text.as_bytes()) {
                // Whoever read it has seen enough.
                Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
                written => Ok(written?),
            }
        }),
        Command::Migrate { place, from, to, replace } => runtime.block_on(migrate(&place.config()?, from, to, replace)),
        Command::Token { command } => tokens::run(command),
    }
}

async fn migrate(config: &Config, from: Store, to: Store, replace: bool) -> Result<()> {
    ensure!(from != to, "--from and --to are the same store");
    let stored = |store: Store| Config { store, ..config.clone() };
    let held = hold(&config.state_dir)?;
    let source = choice::open_known(&stored(from)).await?;
    let target = choice::open(&stored(to)).await?;
    let copied = seed::migrate(&*source, &*target, replace).await?;
    drop(held);
    tracing::info!("{copied} documents copied; `store` in the settings says which of the two is served");
    Ok(())
}

async fn serve(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let held = hold(&config.state_dir)?;
    // A State Database that does not answer yet is waited for.
    let central = tokio::select! {
        central = Central::open(config) => central?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let listener = Listener::bind(&central).await?;
    let address = listener.address()?;
    central.leases.announce(central.config.peers.url(address, central.config.tls.is_some()));
    let roles = central.start();
    tracing::info!(%address, tls = central.config.tls.is_some(), tokens = central.access.has_tokens(), "headroom-central is up");
    if let Err(e) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!("the service manager was not told: {e}");
    }
    let told = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    listener.serve(central.clone(), told).await;
    drop(roles);
    central.close().await?;
    drop(held);
    Ok(())
}
