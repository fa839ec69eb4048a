//! `cargo xtask tidy`: the rules of the house that no compiler holds. Each is a pure function of a file's path and text.

mod docs;
mod layers;
mod shape;
mod source;
mod words;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{process, repo};
use source::Source;

/// A rule that a place breaks.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0: the file as a whole.
    line: usize,
    why: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { path, line: 0, why } => write!(f, "{path}: {why}"),
            Self { path, line, why } => write!(f, "{path}:{line}: {why}"),
        }
    }
}

type Rule = fn(&Source<'_>) -> Vec<Finding>;

/// Every rule that looks at one file.
const RULES: [Rule; 10] = [
    shape::length,
    shape::no_mod_rs,
    shape::lints,
    layers::aya,
    layers::cgroupfs,
    layers::settings,
    layers::model,
    layers::prints,
    layers::unsafe_code,
    words::places,
];

/// Runs `cargo xtask tidy`.
pub(crate) fn run() -> Result<ExitCode> {
    let findings = check()?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if findings.is_empty() {
        eprintln!("tidy: clean");
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every place in the repository that breaks a rule, in order.
fn check() -> Result<Vec<Finding>> {
    let root = repo::root();
    let files = files(&root)?;
    let mut findings = Vec::new();
    for path in &files {
        // What is not text (the compiled eBPF object, pictures) has no rules.
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        let source = Source { path, text: &text };
        findings.extend(RULES.iter().flat_map(|rule| rule(&source)));
        findings.extend(docs::links(
            &source,
            |target| std::fs::read_to_string(root.join(target)).ok(),
            |target| root.join(target).exists(),
        ));
    }
    findings.sort();
    Ok(findings)
}

/// What git tracks, and what it would if it were added; deleted files are left out.
fn files(root: &Path) -> Result<Vec<String>> {
    let listed = process::output(Command::new("git").arg("-C").arg(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
    ]))
    .context("tidy looks at what git tracks")?;
    let names = String::from_utf8_lossy(&listed);
    Ok(names.split('\0').filter(|name| !name.is_empty() && root.join(name).is_file()).map(str::to_owned).collect())
}
