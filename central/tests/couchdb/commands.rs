//! `init`, `export`, `migrate`, and what they refuse.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::*;

/// Runs it with the settings file of a directory.
fn run(directory: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroom-central"));
    command.args(line.split_whitespace()).arg("--config").arg(directory.join("central.toml")).env("NO_COLOR", "1");
    command.output().unwrap()
}

fn done(directory: &Path, line: &str) -> String {
    let output = run(directory, line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(directory: &Path, line: &str) -> String {
    let output = run(directory, line);
    assert_eq!(output.status.code(), Some(1), "{line}");
    String::from_utf8(output.stderr).unwrap()
}

fn exported(directory: &Path) -> Value {
    serde_json::from_str(&done(directory, "export")).unwrap()
}

/// A directory with settings that name this store.
fn place(store: &str, databases: &Databases<'_>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    set(directory.path(), store, databases);
    directory
}

fn set(directory: &Path, store: &str, databases: &Databases<'_>) {
    let state = directory.join("state");
    let text = format!("store = '{store}'\nstate_dir = '{}'\n{}", state.display(), settings(databases));
    fs::write(directory.join("central.toml"), text).unwrap();
}

fn documents(directory: &Path) -> String {
    let file = directory.join("documents.json");
    let documents = json!({
        "structures": [{"subtype": "container", "name": "a/b ü", "host": "host0", "theirs": {"kept": [1, 2.5, null]},
                        "resources": {"cpu": {"max": "200", "min": 50}}}],
        "users": [{"type": "user", "subtype": "user", "name": "_ann", "clusters": [], "resources": {"cpu": {"max": 800, "min": 0}}}],
    });
    fs::write(&file, documents.to_string()).unwrap();
    file.display().to_string()
}

#[test]
fn init_and_export_work_on_couchdb() {
    let databases = Databases::new();
    let directory = place("couchdb", &databases);
    let directory = directory.path();
    assert!(refused(directory, "export").contains("has not all databases"));
    done(directory, &format!("init --file {}", documents(directory)));
    let all = exported(directory);
    assert_eq!((all["structures"].as_array().unwrap().len(), &all["users"][0]["name"]), (1, &json!("_ann")));
    assert_eq!(all["structures"][0]["theirs"], json!({"kept": [1, 2.5, null]}));
    assert!(all["rules"].as_array().unwrap().len() > 3 && all["services"].as_array().unwrap().len() > 3, "the profile's");
    // People see them under their names.
    let (status, seen) = databases.curl("GET", "structures/a%2Fb%20%C3%BC", None);
    assert_eq!((status, &seen["host"]), (200, &json!("host0")));
    // Again: nothing is there twice.
    done(directory, &format!("init --file {}", documents(directory)));
    assert_eq!(exported(directory), all);
}

#[test]
fn migrate_goes_both_ways_and_refuses_to_mix() {
    let databases = Databases::new();
    let directory = place("embedded", &databases);
    let directory = directory.path();
    assert!(refused(directory, "migrate --from embedded --to couchdb").contains("no State Database"));
    done(directory, &format!("init --file {}", documents(directory)));
    let before = exported(directory);
    assert!(refused(directory, "migrate --from embedded --to embedded").contains("the same store"));
    done(directory, "migrate --from embedded --to couchdb");
    set(directory, "couchdb", &databases);
    assert_eq!(exported(directory), before);
    // Not twice, and a request goes too.
    assert_eq!(databases.curl("PUT", "requests/r1", Some(&json!({"name": "x", "n": 1.5}))).0, 201);
    let refusal = refused(directory, "migrate --from embedded --to couchdb");
    assert!(refusal.contains("documents already") && refusal.contains("--replace"), "{refusal}");
    assert!(refused(directory, "migrate --from couchdb --to embedded").contains("documents already"));
    edit(&databases, "users/:_ann", |ann| ann["clusters"] = json!(["app1"]));
    let changed = exported(directory);
    assert_ne!(changed, before);
    done(directory, "migrate --from couchdb --to embedded --replace");
    set(directory, "embedded", &databases);
    assert_eq!(exported(directory), changed);
    // And back again, into what has one document too many.
    assert_eq!(databases.curl("PUT", "rules/extra", Some(&json!({"name": "extra"}))).0, 201);
    done(directory, "migrate --from embedded --to couchdb --replace");
    set(directory, "couchdb", &databases);
    assert_eq!(exported(directory), changed);
    let (_, request) = databases.curl("GET", "requests/r1", None);
    assert_eq!(request["n"], json!(1.5));
}

#[test]
fn what_is_served_is_not_migrated() {
    let databases = Databases::new();
    let directory = tempfile::tempdir().unwrap();
    let central = start(directory.path(), &databases);
    assert!(refused(directory.path(), "migrate --from couchdb --to embedded").contains("another headroom-central serves"));
    central.end();
    done(directory.path(), "migrate --from couchdb --to embedded");
}
