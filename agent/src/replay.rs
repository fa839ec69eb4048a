//! Recorded usage through the very policy code, so that rules can be tried on history before they touch anything.
//!
//! No host bounds what is granted, and every write succeeds. Everything else is the live loop's: the Guardian judges, the
//! Scaler plans.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use headroom_model::duration;
use headroom_model::number::rounded;
use headroom_model::policy::rules::RuleSet;
use headroom_model::profile::Profile;
use headroom_model::resource::{PerResource, Resource};

mod documents;
mod run;
mod steps;
mod summary;
mod usage;

use run::Run;
use steps::Steps;
use summary::Summary;
use usage::Usage;

/// `headroom-agent replay`
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// An array of rule documents; the default rules if not given. Several: each set in turn, with --summary only
    #[arg(long, value_name = "R.json")]
    pub rules: Vec<PathBuf>,
    /// The structure's document
    #[arg(long, value_name = "S.json")]
    pub structure: PathBuf,
    /// The structure's limits document
    #[arg(long, value_name = "L.json")]
    pub limits: PathBuf,
    /// Recorded usage: a header `timestamp,cpu,mem,..`, then a row a window. A column `cpu_throttled` has the periods in which the CPU
    /// was throttled, for rules that read it
    #[arg(long, value_name = "U.csv")]
    pub usage: PathBuf,
    /// Length of a window
    #[arg(long, default_value = "10s", value_parser = seconds)]
    pub window: f64,
    /// How long an event counts
    #[arg(long, default_value = "100s", value_parser = seconds)]
    pub event_timeout: f64,
    /// Judge a window that raised the limit again, until no raise comes
    #[arg(long)]
    pub rejudge: bool,
    /// For how long after a change a limit is not lowered
    #[arg(long, default_value = "0", value_parser = seconds_or_none)]
    pub cooldown: f64,
    /// Limits never move
    #[arg(long)]
    pub no_apply: bool,
    /// Only the totals, one line a rule set
    #[arg(long)]
    pub summary: bool,
}

/// Replays, one JSON object a line to `out`. What is not fatal (a malformed rule, rules that can never fire) is warned of.
pub fn run(args: &ReplayArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    if args.rules.len() > 1 && !args.summary {
        bail!("{} rule sets were given; several can only be compared with --summary", args.rules.len());
    }
    let (structure, limits) = documents::read(&args.structure, &args.limits)?;
    let mut sets = Vec::new();
    for path in &args.rules {
        sets.push((path.display().to_string(), RuleSet::compile(&documents::rules(path)?)));
    }
    if sets.is_empty() {
        sets.push(("default".to_owned(), RuleSet::compile(&Profile::Classic.rules())));
    }
    for (at, (name, rules)) in sets.into_iter().enumerate() {
        warn_of(&name, &rules, args);
        let rules = Arc::new(rules);
        let mut usage = Usage::open(&args.usage)?;
        let mut run = Run::new(args, &structure, &limits, rules.clone(), usage.columns())?;
        if at == 0 {
            run.refused.iter().for_each(|why| tracing::warn!("{}: {why}; it is not scaled", args.structure.display()));
        }
        let mut summary = Summary::new(&name, &rules);
        let mut steps = Steps::default();
        let mut row = usage.row();
        while usage.read(&mut row)? {
            steps.add(row.timestamp);
            run.window(&row);
            if args.summary {
                summary.add(&run, args.window);
            } else {
                run.write(&mut *out).context("writing the output failed")?;
            }
        }
        if let Some(median) = steps.differ_from(args.window).filter(|_| at == 0) {
            let (usage, window) = (args.usage.display(), args.window);
            tracing::warn!(
                "the rows of {usage} are {} s apart, and --window is {window} s: sums over time, and what is said of rules, go by --window",
                rounded(median, 3)
            );
        }
        if args.summary {
            summary.write(&run, &mut *out).context("writing the output failed")?;
        }
    }
    out.flush().context("writing the output failed")
}

fn warn_of(name: &str, rules: &RuleSet, args: &ReplayArgs) {
    for problem in rules.problems() {
        tracing::warn!(rules = name, "{problem}; it is left out");
    }
    for need in rules.unreachable(&PerResource::from_fn(|_: Resource| args.window), args.event_timeout) {
        let (rule, timeout, window) = (&need.rule, args.event_timeout, args.window);
        if let Some(n) = need.windows {
            tracing::warn!(
                rules = name,
                "{rule} counts {n} windows of {window} s, but events last only {timeout} s: it may never fire"
            );
        } else {
            tracing::warn!(rules = name, "{rule} counts events that no active rule makes: it can never fire");
        }
    }
}

/// As [`seconds`], or 0.
fn seconds_or_none(text: &str) -> Result<f64, String> {
    length(text).filter(|length| *length >= 0.0).ok_or_else(|| wrong(text))
}

/// A length of time: `100ms`, `10s`, `2m`, `1h`, or plain seconds; above 0.
fn seconds(text: &str) -> Result<f64, String> {
    length(text).filter(|length| *length > 0.0).ok_or_else(|| wrong(text))
}

fn length(text: &str) -> Option<f64> {
    duration::seconds(text).or_else(|| text.trim().parse().ok()).filter(|length| length.is_finite())
}

fn wrong(text: &str) -> String {
    format!("{text:?} is no length of time, expected for example 10s, 100ms, 0.1 or 2m, above 0")
}

#[cfg(test)]
mod tests {
    use super::{seconds, seconds_or_none};

    #[test]
    fn lengths_of_time() {
        assert_eq!(seconds("10s"), Ok(10.0));
        assert_eq!(seconds("100ms"), Ok(0.1));
        assert_eq!(seconds("0.5"), Ok(0.5));
        assert_eq!(["0", "0s", "0ms", "2s"].map(seconds_or_none), [Ok(0.0), Ok(0.0), Ok(0.0), Ok(2.0)]);
        assert_eq!(seconds("2m"), Ok(120.0));
        for wrong in ["", "s", "0s", "-1s", "10 parsecs", "1e999"] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }
}
