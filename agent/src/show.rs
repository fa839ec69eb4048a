//! `headroom-agent status`: asks a running agent what it guards and why, and shows it.

mod client;
mod paint;
mod render;
mod view;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use self::client::Target;
use crate::config::{Api, Config};

/// Where the packaged unit has its settings.
const USUAL_CONFIG: &str = "/etc/headroom/agent.toml";

/// The arguments of `status`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct StatusArgs {
    /// The agent's settings file, which says where it answers [default: /etc/headroom/agent.toml where there is one]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["socket", "url"])]
    pub config: Option<PathBuf>,
    /// Ask over this unix socket
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    pub socket: Option<PathBuf>,
    /// Ask over TCP, at an address such as <http://127.0.0.1:8000> or <https://host0:8000>
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Over HTTPS: the certificate of the authority that the agent's is from, in PEM [default: the public authorities]
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    pub ca: Option<PathBuf>,
    /// Print the agent's answer as it came, as JSON
    #[arg(long)]
    pub json: bool,
}

/// The agent's whole status, as JSON. An error names every place that was asked.
pub fn ask(args: &StatusArgs) -> anyhow::Result<String> {
    let targets = targets(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(client::ask(&targets, args.ca.as_deref(), "/status"))
}

/// Whether an agent answers where these settings say.
pub(crate) fn agent_answers(api: &Api) -> bool {
    let asked = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from);
    let answer = asked.and_then(|runtime| runtime.block_on(client::ask(&Target::of(api), None, "/status")));
    answer.and_then(|status| table(&status, false)).is_ok()
}

/// Asks, and prints to standard output; in colour where that is a terminal.
pub fn run(args: &StatusArgs) -> anyhow::Result<()> {
    let answer = ask(args)?;
    let mut out = std::io::stdout().lock();
    let text = if args.json { answer + "\n" } else { table(&answer, out.is_terminal())? };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read it has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// The body of `/status` as a table for people, at most 100 columns wide.
pub fn table(status: &str, colours: bool) -> anyhow::Result<String> {
    let view = serde_json::from_str(status).context("the answer is not an agent's; is it one of another version?")?;
    Ok(render::render(&view, paint::Paint::new(colours)))
}

/// Where to ask, in this order.
fn targets(args: &StatusArgs) -> anyhow::Result<Vec<Target>> {
    if let Some(socket) = &args.socket {
        return Ok(vec![Target::Socket(socket.clone())]);
    }
    if let Some(url) = &args.url {
        return Ok(vec![Target::url(url)?]);
    }
    let config = match &args.config {
        Some(file) => Config::load(file)?,
        // Not everybody may read the usual one, and status is for everybody.
        None => Config::load(Path::new(USUAL_CONFIG)).or_else(|_| Config::parse("", "defaults"))?,
    };
    let targets = Target::of(&config.api);
    anyhow::ensure!(!targets.is_empty(), "the settings switch off both api.listen and api.socket: there is no way to ask");
    Ok(targets)
}
