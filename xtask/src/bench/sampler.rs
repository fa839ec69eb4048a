//! What counting costs in the kernel, and what reading the counts does.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::ground::{Ground, Running};
use super::{Built, Row};

pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    let _ground = Ground::new()?;
    let group = format!("{}/sampler", Ground::name());
    let mut command = Command::new(built.example("bench_sampler"));
    let said = Running::start(command.args([&group, "5"]).stdin(Stdio::null()).stdout(Stdio::piped()))?.output()?;
    let said: Value = serde_json::from_str(&said)?;
    let value = |what: &str| said[what]["value"].as_f64().with_context(|| format!("bench_sampler did not tell {what:?}"));
    Ok(vec![
        Row::at_most(50.0, "eBPF cost per scheduler event, net", value("charge, net")?, "ns"),
        Row::told("eBPF cost per scheduler event", value("charge")?, "ns"),
        Row::told("empty program on the same hook", value("empty")?, "ns"),
        Row::at_least(50.0, "usage of 1000 cgroups, against pread", value("reading, ratio")?, "x"),
        Row::told("usage of 1000 cgroups, mapped", value("reading 1000, mapped")? / 1e3, "us"),
        Row::told("usage of 1000 cgroups, pread", value("reading 1000, pread")? / 1e3, "us"),
        Row::at_most(1.0, "distance from the kernel's accounting, 5 s", value("distance")?, "%"),
    ])
}
