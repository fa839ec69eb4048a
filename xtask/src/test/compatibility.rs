//! `docs/compatibility.md`: what was seen to work where, written from what the tests said. Nothing stands in it that did not run.

mod features;
mod ground;
mod page;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Step;
use crate::repo;
pub(super) use ground::Ground;

/// What each ground said last, one file each: a run on one kernel does not forget the others.
const SEEN: &str = "target/compatibility";
const PAGE: &str = "docs/compatibility.md";

/// What the tests said on a ground.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    kernel: String,
    cgroup: String,
    /// `machine`, `VM`, `VM with systemd` or `VM with engines`.
    place: String,
    /// `2026-11-22`.
    day: String,
    /// The commit that was tested; with a `+` where files were changed since.
    commit: String,
    tests: Vec<Test>,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Test {
    program: String,
    name: String,
    passed: bool,
}

/// Keeps what these steps said and writes the page anew.
pub(super) fn record(steps: &[Step]) -> Result<()> {
    let kept = repo::root().join(SEEN);
    fs::create_dir_all(&kept)?;
    for (ground, tests) in by_ground(steps) {
        let seen = Seen { tests, ..ground.describe()? };
        fs::write(kept.join(file_of(ground)), serde_json::to_vec_pretty(&seen)?)?;
    }
    let mut files: Vec<PathBuf> = fs::read_dir(&kept)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let read = |file: &PathBuf| -> Result<Seen> {
        serde_json::from_slice(&fs::read(file)?).with_context(|| format!("{}: remove it and run the tests again", file.display()))
    };
    let seen: Vec<Seen> = files.iter().map(read).collect::<Result<_>>()?;
    fs::write(repo::root().join(PAGE), page::of(&seen))?;
    eprintln!("test: {PAGE} says what was seen");
    Ok(())
}

/// Sorted by name, files are in the order of [`Ground::every`].
fn file_of(ground: Ground) -> String {
    let place = Ground::every().iter().position(|known| *known == ground).unwrap_or_default();
    format!("{place}-{}.json", ground.to_string().replace('/', "-"))
}

/// The tests of all steps on one ground, for those that have one.
fn by_ground(steps: &[Step]) -> Vec<(Ground, Vec<Test>)> {
    let mut grounds: Vec<(Ground, Vec<Test>)> = Vec::new();
    for step in steps {
        let Some(ground) = step.ground.filter(|_| !step.outcome.programs().is_empty()) else { continue };
        let programs = step.outcome.programs().iter();
        let tests = programs.flat_map(|p| {
            p.tests.iter().map(|(name, passed)| Test { program: p.name.clone(), name: name.clone(), passed: *passed })
        });
        match grounds.iter_mut().find(|(known, _)| *known == ground) {
            Some((_, all)) => all.extend(tests),
            None => grounds.push((ground, tests.collect())),
        }
    }
    grounds
}
