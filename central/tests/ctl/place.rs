//! `headroom-central` and its state directory.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::bed::Central;

fn central(args: &[&str], state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroom-central"));
    command.args(args).arg("--state-dir").arg(state).env("NO_COLOR", "1");
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn nothing_is_made_where_there_is_nothing_to_export() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let output = central(&["export"], &missing).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(told(&output).contains("there is no State Database in"), "{}", told(&output));
    assert!(!missing.exists());
}

#[test]
fn what_is_exported_is_read_again_and_may_be_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let (file, state) = (directory.path().join("users.json"), directory.path().join("state"));
    // More than a pipe holds.
    let users: Vec<_> =
        (0..2000).map(|i| serde_json::json!({"type": "user", "name": format!("user{i}"), "note": "x".repeat(50)})).collect();
    fs::write(&file, serde_json::json!({ "users": users }).to_string()).unwrap();
    let init = |state: &Path, file: &Path| central(&["init", "--file", &file.display().to_string()], state).output().unwrap();
    assert!(init(&state, &file).status.success());
    let exported = central(&["export"], &state).output().unwrap();
    assert!(exported.status.success() && exported.stdout.ends_with(b"}\n"));
    let (copy, other) = (directory.path().join("copy.json"), directory.path().join("other"));
    fs::write(&copy, &exported.stdout).unwrap();
    assert!(init(&other, &copy).status.success());
    assert_eq!(central(&["export"], &other).output().unwrap().stdout, exported.stdout);
    let mut cut = central(&["export"], &state).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(cut.stdout.take());
    let cut = cut.wait_with_output().unwrap();
    assert!(cut.status.success() && told(&cut).is_empty(), "{cut:?}");
}

#[test]
fn one_serves_a_directory_and_the_next_when_it_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let first = Central::start(directory.path(), "");
    let second = || central(&["serve", "--listen", "127.0.0.1:0"], &state).output().unwrap();
    let output = second();
    assert!(!output.status.success(), "{output:?}");
    assert!(told(&output).contains("another headroom-central serves what is in"), "{}", told(&output));
    // What only looks or adds goes on beside it.
    assert!(central(&["export"], &state).output().unwrap().status.success());
    assert!(central(&["token", "list"], &state).output().unwrap().status.success());
    first.kill9();
    Central::start(directory.path(), "").end();
}
