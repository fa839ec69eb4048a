//! The packages of the server that stands for `CouchDB` in central's tests: fetched by npm as the lock file says, below `target/couchdb`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, repo};

/// Where its sources are.
const SOURCES: &str = "central/tests/couchdb";
/// Where its packages are.
const HOME: &str = "target/couchdb";
/// What says which packages.
const LOCK: &str = "package-lock.json";
/// Beside the packages when all of them are there: the lock file that they were fetched by.
const WHOLE: &str = "fetched.json";

/// What the tests with `CouchDB` run, with the packages of Debian's that have it.
const TOOLS: [(&str, &str); 3] = [("node", "nodejs"), ("npm", "npm"), ("curl", "curl")];

/// What of them is not on this machine, and what brings it.
pub(crate) fn missing() -> Vec<String> {
    let lacks = |(tool, _): &(&str, &str)| process::which(tool).is_none();
    TOOLS.into_iter().filter(lacks).map(|(tool, package)| format!("no {tool}: apt install {package}")).collect()
}

/// The program, for node.
pub(crate) fn server() -> PathBuf {
    repo::root().join(SOURCES).join("server.js")
}

/// Its packages, for node's `NODE_PATH`.
pub(crate) fn modules() -> PathBuf {
    repo::root().join(HOME).join("node_modules")
}

/// Fetches the packages, where they are not there as the lock file says. Two at a time wait for each other.
pub(crate) fn fetch() -> Result<()> {
    let (sources, home) = (repo::root().join(SOURCES), repo::root().join(HOME));
    fs::create_dir_all(&home).with_context(|| format!("{}: cannot be made", home.display()))?;
    let lock = File::create(home.join("lock"))?;
    lock.lock()?;
    let wanted = fs::read(sources.join(LOCK)).with_context(|| format!("{SOURCES}/{LOCK}"))?;
    let whole = home.join(WHOLE);
    if fs::read(&whole).is_ok_and(|fetched| fetched == wanted) {
        return Ok(());
    }
    for file in ["package.json", LOCK] {
        fs::copy(sources.join(file), home.join(file))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&home);
    process::run(&mut npm).context("fetching what stands for CouchDB in tests")?;
    fs::write(whole, wanted)?;
    Ok(())
}
