//! `cargo xtask bench`: what Headroom costs, measured on this machine's kernel, held against what it may cost.

mod agent;
mod bursty;
mod central;
mod chart;
mod churn;
mod control;
mod ground;
mod idle;
mod lateness;
mod proc;
mod reaction;
mod replay;
mod row;
mod sampler;
mod stolen;
mod strategy;
mod switch;
mod writes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::{process, repo};
use row::{Row, table};
use stolen::Stolen;

/// Measures speed and memory; prints a table and leaves `target/bench/<name>.json`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which: sampler, switch, idle, bursty, writes, replay, churn, central, centrals, reaction, control (if none is named, all but the last five, which take long)
    #[arg(value_parser = BENCHES.map(|(name, _)| name))]
    names: Vec<String>,
    #[command(flatten)]
    control: control::Options,
    #[command(flatten)]
    reaction: reaction::Options,
    #[command(flatten)]
    central: central::Options,
    #[command(flatten)]
    churn: churn::Options,
}

type Bench = fn(&Built) -> Result<Vec<Row>>;

const BENCHES: [(&str, Bench); 11] = [
    ("sampler", sampler::run),
    ("switch", switch::run),
    ("idle", idle::run),
    ("bursty", bursty::run),
    ("writes", writes::run),
    ("replay", replay::run),
    (churn::NAME, churn::run),
    (central::NAME, central::run),
    (central::several::NAME, central::several::run),
    (reaction::NAME, reaction::run),
    (control::NAME, control::run),
];

/// Where the programs are that a bench runs.
struct Built {
    release: PathBuf,
    /// Where results go.
    results: PathBuf,
    control: control::Options,
    reaction: reaction::Options,
    central: central::Options,
    churn: churn::Options,
}

impl Built {
    fn agent(&self) -> PathBuf {
        self.release.join("headroom-agent")
    }

    fn example(&self, name: &str) -> PathBuf {
        self.release.join("examples").join(name)
    }
}

/// Runs `cargo xtask bench`. Fails where something is over its limit.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(nix::unistd::geteuid().is_root(), "benches make cgroups and load eBPF, which only root may do: run this as root");
    ground::clean_up_on_signals()?;
    let built = build(args)?;
    let results = &built.results;
    std::fs::create_dir_all(results).with_context(|| format!("making {}", results.display()))?;

    let mut all = Vec::new();
    for (name, bench) in BENCHES {
        let wanted = if args.names.is_empty() {
            ![churn::NAME, central::NAME, central::several::NAME, reaction::NAME, control::NAME].contains(&name)
        } else {
            args.names.iter().any(|wanted| wanted == name)
        };
        if !wanted {
            continue;
        }
        eprintln!("bench: {name} (load average {})", load_average());
        let stolen = Stolen::since_now()?;
        let mut rows = bench(&built).with_context(|| format!("bench {name}"))?;
        rows.push(stolen.row(name)?);
        write(&results.join(format!("{name}.json")), &rows)?;
        all.extend(rows);
    }
    eprintln!("bench: done (load average {})", load_average());
    print(&table(&all))?;
    Ok(if all.iter().all(Row::is_ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build(args: &Args) -> Result<Built> {
    eprintln!("bench: building, in release");
    let mut cargo = repo::cargo();
    cargo.args(["build", "--release", "--quiet", "--package", "headroom-agent", "--package", "headroom-central", "--bins"]);
    cargo.args(["--example", "bench_sampler", "--example", "bench_load", "--example", "bench_web", "--example", "bench_series"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let said = process::output(&mut cargo)?;
    // Where cargo has put the agent: its directory is configurable.
    let executable = serde_json::Deserializer::from_slice(&said)
        .into_iter::<serde_json::Value>()
        .filter_map(|message| message.ok()?.get("executable")?.as_str().map(PathBuf::from))
        .find(|path| path.ends_with("headroom-agent"));
    let agent = executable.context("cargo did not say where it put headroom-agent")?;
    let release = agent.parent().context("the agent is in no directory")?.to_owned();
    Ok(Built {
        release,
        results: repo::root().join("target/bench"),
        control: args.control.clone(),
        reaction: args.reaction.clone(),
        central: args.central.clone(),
        churn: args.churn.clone(),
    })
}

fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let text = serde_json::to_string_pretty(&row::json(rows))?;
    std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}

fn print(text: &str) -> Result<()> {
    use std::io::Write as _;
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Of the last minute, five and fifteen: others' work shows in the numbers.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The middle one; of an even number, the mean of the two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(below), values.get(above)) {
        (Some(below), Some(above)) => f64::midpoint(*below, *above),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let medians = [vec![3.0, 1.0, 2.0], vec![4.0, 1.0, 2.0, 3.0], vec![7.0]].map(|values| median(values).to_string());
        assert_eq!(medians, ["2", "2.5", "7"]);
        assert!(median(Vec::new()).is_nan());
    }
}
