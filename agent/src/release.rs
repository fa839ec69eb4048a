//! Lifts the limits of guarded containers to their structure's `max` when no agent does it: after a death, or by hand.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use headroom_model::limit::Limit;
use headroom_model::resource::Resource;

use crate::cgroup::{CgroupError, Change, Hierarchies};
use crate::config::{Config, OnDeath};
use crate::host::facts::HostFacts;
use crate::scaler::memory_changes;
use crate::scaler::originals::{Original, Originals, Record};

/// `release`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration, which says where the state directory is.
    #[arg(long, default_value = "/etc/headroom/agent.toml")]
    config: PathBuf,
    /// Do nothing where the configuration says `on_death = "hold"`: what the service manager calls.
    #[arg(long)]
    on_death: bool,
}

/// Lifts every guarded limit, and says what it did. What cannot be lifted is named and does not keep the rest from it.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<()> {
    let config = Config::load(&args.config)?;
    if args.on_death && config.agent.on_death == OnDeath::Hold {
        writeln!(out, "on_death = \"hold\": limits stay as they are")?;
        return Ok(());
    }
    let (records, bad) = Originals::open(&config.agent.state_dir)?.load(&HostFacts::read()?.boot_id)?;
    for path in bad {
        writeln!(out, "{}: not understood, moved aside; its container is not released", path.display())?;
    }
    let hierarchies = Hierarchies::probe().context("cannot release")?;
    let mut failed = 0;
    // What was guarded once and is not now is somebody else's.
    let guarded: Vec<_> = records.iter().filter(|record| record.guarded).collect();
    for record in &guarded {
        match release(&hierarchies, record) {
            Ok(done) => writeln!(out, "{}: {done}", record.name)?,
            Err(e) => {
                failed += 1;
                writeln!(out, "{}: {e}", record.name)?;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} containers could not be released", guarded.len());
    }
    Ok(())
}

fn release(hierarchies: &Hierarchies, record: &Record) -> Result<String> {
    let cgroup = match hierarchies.open(&record.path) {
        Ok(cgroup) if cgroup.id() == record.cgroup_id => cgroup,
        Ok(_) => return Ok("made anew since; not ours to touch".into()),
        Err(CgroupError::Gone { .. }) => return Ok("gone".into()),
        Err(e) => return Err(e.into()),
    };
    let mut done = Vec::new();
    if let Some(cpus) = &record.cpuset {
        cgroup.apply(&[Change::Cpuset(cpus.clone())])?;
        done.push("its cores given back".to_owned());
    }
    for (&resource, original) in &record.resources {
        let (now, changes) = match resource {
            Resource::Cpu => (cgroup.cpu_limit()?.quota, vec![Change::Cpu { quota: Limit::At(original.max) }]),
            Resource::Mem => {
                let memory = cgroup.memory()?;
                let Some(version) = hierarchies.memory_version() else { continue };
                (memory.high.min(memory.max), memory_changes(version, original.max, memory.max, original.max))
            }
            _ => continue,
        };
        if is_below(now, original) {
            cgroup.apply(&changes)?;
            done.push(format!("{resource} lifted to {} {}", original.max, resource.unit()));
        } else {
            done.push(format!("{resource} is at its max or above already"));
        }
    }
    Ok(done.join(", "))
}

fn is_below(now: Limit, original: &Original) -> bool {
    now.amount().is_some_and(|now| now < original.max)
}
