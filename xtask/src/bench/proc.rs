//! What the kernel says of a process.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;

/// CPU time so far of the threads of each name, in s, by the kernel's scheduler.
pub(super) fn cpu_times(process: Pid) -> Result<BTreeMap<String, f64>> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?.path();
        // A thread may end between the listing and the reading.
        let (Ok(name), Ok(stat)) = (fs::read_to_string(task.join("comm")), fs::read_to_string(task.join("schedstat"))) else {
            continue;
        };
        let name = name.trim().to_owned();
        let ns: f64 = stat.split(' ').next().context("schedstat is empty")?.parse()?;
        *times.entry(name).or_default() += ns / 1e9;
    }
    ensure!(!times.is_empty(), "process {process} has no threads any more");
    Ok(times)
}

/// The same of all threads together.
pub(super) fn cpu_s(process: Pid) -> Result<f64> {
    Ok(cpu_times(process)?.values().sum())
}

/// A line of `/proc/<pid>/status` that is in kB, in MiB.
pub(super) fn memory_mib(process: Pid, key: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).with_context(|| format!("no {key}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_has_used_both() {
        let me = Pid::this();
        assert!(cpu_s(me).unwrap() > 0.0);
        assert!(memory_mib(me, "VmRSS").unwrap() > 1.0 && memory_mib(me, "VmNone").is_err());
    }
}
