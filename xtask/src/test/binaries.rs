//! The test programs of the workspace: built once by cargo, run here and, as they are, in VMs.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::show::{Show, Tee};
use super::tally::Program;
use super::{Outcome, within};
use crate::repo;

/// How long one test program may take, in seconds.
pub(super) const LONGEST: u32 = 2700;

/// The package whose integration tests meet the kernel.
const AGENT: &str = "headroom-agent";

/// The integration test that starts agents beside central: on this machine only, whose kernel has been met by then.
const FLEET: (&str, &str) = ("headroom-central", "fleet");

/// The integration test of the agent that starts engines.
const ENGINES: &str = "engines";

/// The tests of central with `CouchDB`: the program, and how their names begin.
const COUCHDB: [(&str, &str); 3] = [("couchdb", ""), ("store", "couch"), ("fleet", "centrals")];

/// A test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Binary {
    /// The package it tests.
    package: String,
    /// The library, program or file of `tests/` it was built from.
    target: String,
    is_integration: bool,
    executable: PathBuf,
    /// The package's directory: where tests run.
    directory: PathBuf,
}

impl Binary {
    /// For people: `headroom-agent sampler_accuracy`.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.package, self.target)
    }

    /// Whether it meets the kernel: it makes cgroups, loads eBPF or starts the agent. These run one test at a time, and in VMs too.
    pub(super) fn meets_kernel(&self) -> bool {
        self.is_integration && self.package == AGENT
    }

    /// Whether its tests would be each other's noise.
    fn is_alone(&self) -> bool {
        self.meets_kernel() || (self.is_integration && (self.package.as_str(), self.target.as_str()) == FLEET)
    }

    /// Whether its ignored tests are those that need engines.
    pub(super) fn meets_engines(&self) -> bool {
        self.meets_kernel() && self.target == ENGINES
    }

    /// How it is run, here and in a guest.
    pub(super) fn command(&self) -> Command {
        let mut plain = Command::new(&self.executable);
        if self.is_alone() {
            plain.arg("--test-threads=1");
        }
        self.held(&plain)
    }

    /// The same, without what needs `CouchDB`.
    fn command_without_couchdb(&self) -> Command {
        let mut command = self.command();
        let is_central = self.is_integration && self.package == FLEET.0;
        for (_, test) in COUCHDB.iter().filter(|(target, _)| is_central && self.target == *target) {
            command.args(["--skip", test]);
        }
        command
    }

    /// How those of its ignored tests that libtest chooses are run by a script that has the engines in `packages`.
    pub(super) fn command_among(&self, script: &Path, packages: &Path, chosen: &[String]) -> Command {
        let mut plain = Command::new(script);
        plain.arg(packages).arg(&self.executable).args(["--ignored", "--test-threads=1"]).args(chosen);
        self.held(&plain)
    }

    fn held(&self, plain: &Command) -> Command {
        let mut command = within(LONGEST, plain);
        command.current_dir(&self.directory).env("CARGO_MANIFEST_DIR", &self.directory).env("CARGO_PKG_NAME", &self.package);
        command
    }
}

/// Builds every test program of the workspace.
pub(super) fn build() -> Result<Vec<Binary>> {
    eprintln!("test: building");
    let mut cargo = repo::cargo();
    cargo.args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let built = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cargo could not be started")?;
    ensure!(built.status.success(), "the tests did not build (see above)");
    Ok(parse(&String::from_utf8_lossy(&built.stdout)))
}

/// cargo's messages, one JSON object a line; those of programs built for testing.
fn parse(messages: &str) -> Vec<Binary> {
    let mut binaries: Vec<_> = messages.lines().filter_map(|line| of_message(&serde_json::from_str(line).ok()?)).collect();
    binaries.sort_by_key(Binary::name);
    binaries
}

fn of_message(message: &Value) -> Option<Binary> {
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let directory = PathBuf::from(message["manifest_path"].as_str()?).parent()?.to_owned();
    Some(Binary {
        package: package(message["package_id"].as_str()?)?,
        target: message["target"]["name"].as_str()?.to_owned(),
        is_integration: message["target"]["kind"].as_array()?.iter().any(|kind| kind == "test"),
        executable: message["executable"].as_str()?.into(),
        directory,
    })
}

/// `path+file:///x/agent#headroom-agent@0.1.0`, or `path+file:///x/xtask#0.1.0` where the directory has the package's name.
fn package(id: &str) -> Option<String> {
    let (source, fragment) = id.rsplit_once('#')?;
    let name = fragment.split_once('@').map_or_else(|| source.rsplit('/').next(), |(name, _)| Some(name))?;
    Some(name.to_owned())
}

/// Runs each on this machine, one after the other, its output shown as it comes.
pub(super) fn run_here(binaries: &[Binary], with_couchdb: bool) -> Result<Outcome> {
    let run = |binary: &Binary| {
        eprintln!("test: {}", binary.name());
        let mut command = if with_couchdb { binary.command() } else { binary.command_without_couchdb() };
        tee(binary.name(), Show::AsItComes, &mut command).with_context(|| binary.executable.display().to_string())
    };
    binaries.iter().map(run).collect::<Result<_>>().map(Outcome::Tests)
}

/// The examples in the documentation; cargo builds and runs these itself.
pub(super) fn run_doc_tests() -> Result<Outcome> {
    let mut cargo = repo::cargo();
    cargo.args(["test", "--workspace", "--doc"]);
    Ok(Outcome::Tests(vec![tee("cargo test --doc".to_owned(), Show::AsItComes, &mut cargo)?]))
}

/// Runs a test program.
pub(super) fn tee(name: String, show: Show, command: &mut Command) -> Result<Program> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = Tee::new(show, io::stdout());
    if let Some(mut stdout) = child.stdout.take() {
        io::copy(&mut stdout, &mut output)?;
    }
    output.end()?;
    let status = child.wait()?;
    Ok(Program::of_run(name, &String::from_utf8_lossy(&output.kept), status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///x/agent#headroom-agent@0.1.0","manifest_path":"/x/agent/Cargo.toml","target":{"kind":["test"],"name":"sampler_accuracy"},"profile":{"test":true},"executable":"/x/target/debug/deps/sampler_accuracy-1"}
{"reason":"compiler-artifact","package_id":"path+file:///x/xtask#0.1.0","manifest_path":"/x/xtask/Cargo.toml","target":{"kind":["bin"],"name":"xtask"},"profile":{"test":true},"executable":"/x/target/debug/deps/xtask-1"}
{"reason":"compiler-artifact","package_id":"path+file:///x/agent#headroom-agent@0.1.0","manifest_path":"/x/agent/Cargo.toml","target":{"kind":["lib"],"name":"headroom_agent"},"profile":{"test":false},"executable":null}
{"reason":"build-finished","success":true}"#;

    #[test]
    fn test_programs_are_found_in_cargos_messages() {
        let binaries = parse(MESSAGES);
        let names: Vec<_> = binaries.iter().map(Binary::name).collect();
        assert_eq!(names, ["headroom-agent sampler_accuracy", "xtask xtask"]);
        assert!(binaries[0].meets_kernel() && !binaries[1].meets_kernel());
        assert_eq!(binaries[0].directory, PathBuf::from("/x/agent"));
    }

    #[test]
    fn without_couchdb_what_needs_it_is_skipped() {
        let binary = |target: &str| Binary {
            package: "headroom-central".to_owned(),
            target: target.to_owned(),
            is_integration: true,
            executable: PathBuf::from("/x"),
            directory: PathBuf::from("/"),
        };
        let skips = |target: &str| {
            let command = binary(target).command_without_couchdb();
            command.get_args().skip_while(|word| *word != "--skip").nth(1).map(|word| word.to_string_lossy().into_owned())
        };
        let expected = [Some(""), Some("couch"), Some("centrals"), None].map(|name| name.map(str::to_owned));
        assert_eq!([skips("couchdb"), skips("store"), skips("fleet"), skips("ctl")], expected);
    }

    #[test]
    fn what_meets_the_kernel_runs_one_test_at_a_time() {
        let binaries = parse(MESSAGES);
        let serial = |binary: &Binary| binary.command().get_args().any(|argument| argument == "--test-threads=1");
        assert!(serial(&binaries[0]) && !serial(&binaries[1]));
    }
}
