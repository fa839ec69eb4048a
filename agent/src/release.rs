//! Lifts the limits of guarded containers to their structure's `max` when no agent does it: after a death, or by hand.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use headroom_model::limit::Limit;
use headroom_model::resource::Resource;

use crate::cgroup::{CgroupError, Change, Hierarchies};
use crate::config::{self, Config, OnDeath};
use crate::host::facts::HostFacts;
use crate::scaler::originals::{Original, Originals, Record};
use crate::scaler::{memory_change, memory_changes};

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
    let (state_dir, on_death) = settings(args, out)?;
    let originals = Originals::open(&state_dir)?;
    let Some(_alone) = originals.lock()? else {
        bail!("an agent runs on {}: it would put its limits right again; stop it first", state_dir.display());
    };
    let (records, bad) = originals.load(&HostFacts::read()?.boot_id)?;
    let mut failed = bad.len();
    for path in bad {
        writeln!(out, "{}: not understood, moved aside; its container is not released", path.display())?;
    }
    let hierarchies = Hierarchies::probe().context("cannot release")?;
    // What somebody said is not to be guarded any more is not ours; what nothing asks for any more is, as long as it stands as it was left.
    let is_ours = |record: &&Record| record.guarded || record.has_left();
    let held = |record: &Record| args.on_death && on_death.map_or(record.hold, |on_death| on_death == OnDeath::Hold);
    let guarded: Vec<_> = records.iter().filter(is_ours).filter(|record| !held(record)).collect();
    if guarded.len() < records.iter().filter(is_ours).count() {
        writeln!(out, "on_death = \"hold\": limits stay as they are")?;
    } else if guarded.is_empty() && failed == 0 {
        writeln!(out, "nothing is guarded: there is nothing to release")?;
    }
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
        bail!("{failed} of {} containers could not be released", guarded.len().max(failed));
    }
    Ok(())
}

/// Where the running agent kept what it found, and what `on_death` says, if the configuration can be read. After a death a configuration that cannot be read must not leave containers throttled.
fn settings(args: &Args, out: &mut dyn Write) -> Result<(PathBuf, Option<OnDeath>)> {
    match Config::load(&args.config) {
        Ok(config) => Ok((config.agent.state_dir, Some(config.agent.on_death))),
        Err(e) if args.on_death => {
            let usual = config::usual_state_dir();
            writeln!(out, "{e}\nreleasing what is kept in {}", usual.display())?;
            Ok((usual, None))
        }
        Err(e) => Err(e.into()),
    }
}

fn release(hierarchies: &Hierarchies, record: &Record) -> Result<String> {
    let cgroup = match hierarchies.open(&record.path) {
        Ok(cgroup) if cgroup.id() == record.cgroup_id => cgroup,
        Ok(_) => return Ok("made anew since; not ours to touch".into()),
        Err(CgroupError::Gone { .. }) => return Ok("gone".into()),
        Err(e) => return Err(e.into()),
    };
    let mut done = Vec::new();
    for (&resource, original) in &record.resources {
        let is_guarded = record.guarded && original.guarded;
        let to = if is_guarded { Limit::At(original.max) } else { original.limit };
        let (now, changes) = match resource {
            Resource::Cpu => (cgroup.cpu_limit()?.quota, vec![Change::Cpu { quota: to }]),
            Resource::Mem => {
                let memory = cgroup.memory()?;
                let Some(version) = hierarchies.memory_version() else { continue };
                let mut changes = match to {
                    Limit::At(mib) => memory_changes(version, mib, memory.max, original.max),
                    Limit::Unlimited => vec![memory_change(version, to)],
                };
                if !is_guarded {
                    changes.extend(original.hard_to_put_back(memory.max).map(Change::MemoryMax));
                }
                (memory.high.min(memory.max), changes)
            }
            Resource::DiskRead | Resource::DiskWrite => {
                let Some(device) = original.device else { continue };
                let disks = cgroup.disk()?;
                let now = disks.iter().find(|disk| disk.device == device).map_or(Limit::Unlimited, |disk| disk.limit(resource));
                (now, vec![Change::disk(resource, device, to)])
            }
            Resource::Net | Resource::Energy => continue,
        };
        if !record.is_ours(original, now) {
            continue;
        }
        if resource == Resource::Cpu
            && let Some(cpus) = &record.cpuset
            && cgroup.cpuset().map_or(true, |sets| sets.configured != *cpus)
        {
            cgroup.apply(&[Change::Cpuset(cpus.clone())])?;
            done.push("its CPUs given back".to_owned());
        }
        if is_guarded && !is_below(now, original) {
            done.push(format!("{resource} is at its max or above already"));
        } else if now != to {
            cgroup.apply(&changes)?;
            let how = if is_guarded { "lifted to" } else { "put back to" };
            let unit = if to == Limit::Unlimited { "" } else { resource.unit() };
            done.push(format!("{resource} {how} {to} {unit}").trim_end().to_owned());
        }
    }
    Ok(if done.is_empty() { "nothing of it was moved".into() } else { done.join(", ") })
}

fn is_below(now: Limit, original: &Original) -> bool {
    now.amount().is_some_and(|now| now < original.max)
}
