//! `check` on the machine that the tests run on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

use headroom_agent::check::decide::{Level, Outcome};
use headroom_agent::check::{Style, Try, report, run};

fn refused() -> Result<Option<String>, String> {
    Err("tried nothing".to_owned())
}

#[test]
fn the_json_says_what_the_table_says() {
    let tries = Try { ebpf: &refused, config: &|_| Err("not read".to_owned()) };
    let report = report(None, &tries);
    // Where limits can be written at all, the agent works without eBPF.
    assert_eq!(report.outcome, Outcome::Cgroupfs, "{report:#?}");
    let ebpf = report.findings.iter().find(|finding| finding.subject == "eBPF").unwrap();
    assert_eq!((ebpf.level, ebpf.found.as_str()), (Level::Less, "tried nothing"));

    let mut json = Vec::new();
    run(None, &tries, Style::Json, &mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["outcome"], "cgroupfs");
    assert_eq!(json["findings"].as_array().unwrap().len(), report.findings.len());

    let mut table = Vec::new();
    run(None, &tries, Style::Table { colour: false }, &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    println!("{table}");
    for finding in &report.findings {
        assert!(table.contains(finding.subject), "{finding:?}\n{table}");
    }
}

#[test]
fn a_config_that_is_wrong_is_named() {
    let config = |path: &Path| Err(format!("{}: line 3: unknown key", path.display()));
    let report = report(Some(Path::new("agent.toml")), &Try { ebpf: &refused, config: &config });
    assert_eq!(report.outcome, Outcome::No);
    assert_eq!((report.findings[0].subject, report.findings[0].found.as_str()), ("config", "agent.toml: line 3: unknown key"));
}

/// What is found with a configuration in a directory: of each subject whether it is as it should be, and what was found.
fn found(directory: &Path, config: &str) -> BTreeMap<&'static str, (Level, String)> {
    let file = directory.join("agent.toml");
    std::fs::write(&file, config.replace("DIR", &directory.display().to_string())).unwrap();
    let report = report(Some(&file), &Try { ebpf: &refused, config: &headroom_agent::daemon::check_config });
    report.findings.into_iter().map(|finding| (finding.subject, (finding.level, finding.found))).collect()
}

#[test]
fn the_places_that_a_config_names_are_tried() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "0123456789abcdef").unwrap();
    let config =
        "agent.state_dir = \"DIR/not/yet\"\napi = { listen = \"127.0.0.1:0\", socket = \"DIR/s\", token_file = \"DIR/token\" }";
    let good = found(directory.path(), config);
    for subject in ["config", "state dir", "token", "API port", "API socket"] {
        assert_eq!(good[subject].0, Level::Ok, "{subject}: {good:?}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left behind");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let _socket = UnixListener::bind(directory.path().join("s")).unwrap();
    std::fs::write(&token, "short").unwrap();
    let text = format!(
        "agent.state_dir = \"DIR/token/x\"\napi = {{ listen = \"{}\", socket = \"DIR/{}\", token_file = \"DIR/token\" }}",
        taken.local_addr().unwrap(),
        "s".repeat(108)
    );
    // Who listens there says nothing.
    let silent = std::thread::spawn(move || drop(taken.accept()));
    let bad = found(directory.path(), &text);
    silent.join().unwrap();
    for (subject, part) in [
        ("state dir", "token: is no directory"),
        ("token", "at least 16"),
        ("API port", "no headroom-agent"),
        ("API socket", "no more than 107"),
    ] {
        assert!(bad[subject].0 == Level::Bad && bad[subject].1.contains(part), "{subject}: {bad:?}");
    }
}

#[test]
fn a_pipe_in_a_files_place_is_refused_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let bad = found(
        directory.path(),
        "agent.state_dir = \"DIR/pipe\"\napi = { listen = \"off\", socket = \"DIR/pipe\", token_file = \"DIR/pipe\" }",
    );
    for (subject, part) in [("state dir", "is no directory"), ("token", "is a pipe"), ("API socket", "is no socket")] {
        assert!(bad[subject].0 == Level::Bad && bad[subject].1.contains(part), "{subject}: {bad:?}");
    }
    let rules = found(directory.path(), "guardian.rules = \"DIR/pipe\"");
    assert!(rules["config"].1.contains("rules file") && rules["config"].1.contains("is a pipe"), "{rules:?}");
    let itself = report(Some(&pipe), &Try { ebpf: &refused, config: &headroom_agent::daemon::check_config });
    assert!(itself.findings[0].found.contains("settings file"), "{itself:?}");
}
