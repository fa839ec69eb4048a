//! Who may know what: the invariants of ARCHITECTURE.md that names in the source give away.

use super::Finding;
use super::source::Source;

/// Only the eBPF source names aya.
pub(super) fn aya(source: &Source<'_>) -> Vec<Finding> {
    let allowed = source.path.strip_prefix("agent/src/sampler/ebpf").is_some_and(|rest| rest.starts_with(['.', '/', '_']));
    if !source.is_shipped_rust() || allowed || of_tooling(source) {
        return Vec::new();
    }
    source.findings(&["aya", "aya_obj", "aya_log"], "only agent/src/sampler/ebpf knows how eBPF is loaded")
}

/// Only `cgroup` writes under cgroupfs. Others may read there; a file that names cgroupfs and opens files for writing does not.
pub(super) fn cgroupfs(source: &Source<'_>) -> Vec<Finding> {
    const WRITING: [&str; 6] = ["fs::write", "OpenOptions", "File::create", "create_dir", "create_dir_all", "remove_dir"];
    if !source.is_shipped_rust() || source.is_of("agent/src/cgroup") || of_tooling(source) {
        return Vec::new();
    }
    let why = "only agent/src/cgroup changes what is below cgroupfs";
    let mut findings = source.findings(&["cgroups_rs"], why);
    if source.code().any(|(_, line)| line.contains("/sys/fs/cgroup")) {
        findings.extend(source.findings(&WRITING, why));
    }
    findings
}

/// Only `config` reads files of settings and the environment.
pub(super) fn settings(source: &Source<'_>) -> Vec<Finding> {
    const READING: [&str; 5] = ["env::var", "env::vars", "env::var_os", "env::vars_os", "toml::from_str"];
    let config = ["agent", "central"].iter().any(|package| source.is_of(&format!("{package}/src/config")));
    if !source.is_shipped_rust() || config || of_tooling(source) {
        return Vec::new();
    }
    source.findings(&READING, "only the package's `config` reads the environment and files of settings")
}

/// The policy takes numbers and a timestamp: no clock, no I/O, no threads.
pub(super) fn model(source: &Source<'_>) -> Vec<Finding> {
    const OUTSIDE: [&str; 10] = [
        "Instant",
        "SystemTime",
        "std::fs",
        "fs::File",
        "std::io",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "tokio",
    ];
    if !source.is_shipped_rust() || !source.path.starts_with("model/src/") {
        return Vec::new();
    }
    source.findings(&OUTSIDE, "the model has no clock, no I/O and no threads: the caller passes in what it needs")
}

/// Libraries log and return; they do not print.
pub(super) fn prints(source: &Source<'_>) -> Vec<Finding> {
    let program = source.path.ends_with("/src/main.rs") || source.path.contains("/src/bin/") || of_tooling(source);
    if !source.is_shipped_rust() || program {
        return Vec::new();
    }
    source.findings(
        &["print!", "println!", "eprint!", "eprintln!", "dbg!"],
        "log it, or write it to a stream that the caller gives",
    )
}

/// `unsafe` only where eBPF is loaded and mapped.
pub(super) fn unsafe_code(source: &Source<'_>) -> Vec<Finding> {
    let allowed = source.path.starts_with("agent/src/sampler/ebpf") || source.path.starts_with("agent-ebpf/");
    if !source.is_shipped_rust() || allowed {
        return Vec::new();
    }
    source.findings(&["unsafe"], "unsafe code is for agent/src/sampler/ebpf and agent-ebpf only")
}

/// The chores and the kernel side, whose work is just that.
fn of_tooling(source: &Source<'_>) -> bool {
    source.path.starts_with("xtask/") || source.path.starts_with("agent-ebpf/")
}

#[cfg(test)]
mod tests;
