//! The agent itself in a container, as `docs/engines.md` has it: it guards the one beside it, and puts back what it found.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::agent::BINARY;
use crate::bed::{quietly, quota, sh};
use crate::docs::section;
use crate::engine::DOCKER;

const LONGEST: Duration = Duration::from_mins(1);

/// Removed when it goes, whatever became of the test.
struct Headroom;

impl Drop for Headroom {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = Command::new("docker").args(["logs", "headroom"]).output().unwrap();
            eprintln!("--- the agent's log\n{}---", String::from_utf8_lossy(&log.stderr));
        }
        quietly("docker rm -f headroom");
    }
}

/// What its status says of a container; null while it does not know it.
fn status_of(name: &str) -> Value {
    let output = Command::new("docker").args(["exec", "headroom", "/headroom-agent", "status", "--json"]).output().unwrap();
    let Ok(status) = serde_json::from_slice::<Value>(&output.stdout) else { return Value::Null };
    assert_eq!(status["host"]["source"], "ebpf", "{status}");
    let containers = status["containers"].as_array().unwrap();
    containers.iter().find(|container| container["container"]["name"] == name).cloned().unwrap_or_default()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + LONGEST;
    while !done() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// What `cargo xtask dist` leaves: here the program that is tested, with the libraries that it asks for.
fn dist(dir: &Path) {
    let libraries = Command::new("ldd").arg(BINARY).output().unwrap().stdout;
    let libraries = String::from_utf8(libraries).unwrap();
    let files = libraries.split_whitespace().filter(|word| word.starts_with('/')).map(|file| (file, file));
    for (from, to) in files.chain([(BINARY, "/headroom-agent")]) {
        let to = dir.join("target/dist").join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn docker() {
    let bed = DOCKER.bed();
    let section = section("The agent in a container");
    dist(bed.dir.path());
    sh(&format!("cd {}; {}", bed.dir.path().display(), section.commands[0]));
    fs::create_dir_all("/etc/headroom").unwrap();
    fs::write("/etc/headroom/agent.toml", &section.settings).unwrap();
    let web = DOCKER.start("web", true);
    let _headroom = Headroom;
    sh(&section.commands[1]);

    until("web is guarded", || status_of("web")["guard"] == "on");
    sh(&section.commands[2]);
    assert_eq!(status_of("headroom")["guard"], "off");
    let found = status_of("web");
    assert_eq!(found["notes"], Value::Array(Vec::new()));
    let path = found["container"]["path"].as_str().unwrap();
    until("idle", || quota(path) == Some(40.0));
    web.spin(1);
    until("busy", || quota(path) == Some(100.0));
    web.rest();
    until("idle again", || quota(path) == Some(40.0));
    sh(&section.commands[3]);
    assert_eq!(quota(path), None, "what was found is put back");

    // Killed, it leaves the limit to whoever lifts it.
    sh(&section.commands[1]);
    until("idle once more", || quota(path) == Some(40.0));
    sh("docker rm -f headroom");
    assert_eq!(quota(path), Some(40.0));
    sh(&section.commands[4]);
    assert_eq!(quota(path), Some(100.0), "lifted to max");
}
