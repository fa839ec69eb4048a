//! Each engine, from nothing to a guarded container and back.

use std::fs;

use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::bed::{Bed, members, quietly, quota, sh};
use crate::docs::{Section, section};
use crate::engine::{DOCKER, LXC, LXD, PODMAN};

/// A container that the agent guards by the section's settings.
struct Guarded {
    agent: Agent,
    bed: Bed,
    section: Section,
    path: String,
}

impl Guarded {
    /// Runs the section's first commands and the agent, which has to find `name`, know it, and set its first limit: `max`.
    fn start(bed: Bed, heading: &str, engine: &str, name: &str) -> Self {
        let section = section(heading);
        sh(&section.commands[0]);
        let agent = bed.agent(&section.settings);
        agent.until_guarded(name);
        let found = agent.container(name);
        let identity = &found["container"];
        assert_eq!((&identity["engine"], &identity["application"]), (&json!(engine), &json!("shop")), "{found}");
        assert_eq!(found["notes"], json!([]));
        let path = identity["path"].as_str().unwrap().to_owned();
        assert_eq!(quota(&path), Some(100.0), "the first limit is max");
        Self { agent, bed, section, path }
    }

    /// Runs the next commands, by which the same container is called `new`, and stays what it is.
    fn is_renamed(&self, old: &str, new: &str) {
        let before = self.agent.container(old);
        sh(&self.section.commands[1]);
        self.agent.until_guarded(new);
        let after = self.agent.container(new);
        assert_eq!(self.agent.container(old), Value::Null, "nothing is left under the old name");
        for same in ["cgroup_id", "path", "application"] {
            assert_eq!(after["container"][same], before["container"][same], "{same}");
        }
        assert_eq!((quota(&self.path), &after["resources"]["cpu"]["limit"]["at"]), (Some(100.0), &json!(100.0)));
        self.agent.until("the record has the new name", |_| {
            let records = self.bed.records();
            records.len() == 1 && records[0]["name"] == new
        });
        let record = &self.bed.records()[0];
        assert_eq!(
            record["resources"]["cpu"]["limit"], "unlimited",
            "what was found before the first touch stays known: {record}"
        );
        // Decided once, under the old name.
        assert!(self.agent.decisions(new).is_empty(), "{:?}", self.agent.decisions(new));
    }

    /// Runs the engine's own update, which is noticed, and put right.
    fn is_updated(&self, name: &str) {
        sh(&self.section.commands[2]);
        self.agent.until("it is counted", |agent| agent.container(name)["foreign_changes"] == 1);
        let found = self.agent.container(name);
        let path = found["container"]["path"].as_str().unwrap();
        self.agent.until("it is put right", |_| quota(path) == Some(100.0));
    }

    /// Runs the last commands, after which nothing is left.
    fn goes_away(self) {
        sh(self.section.commands.last().unwrap());
        let none = |agent: &Agent| agent.status()["containers"] == json!([]);
        self.agent.until(&format!("it is gone: {}", self.path), none);
        self.agent.until("its record is gone", |_| self.bed.records().is_empty());
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // A failed test leaves it to the next one otherwise.
        quietly(self.section.commands.last().unwrap());
    }
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn docker() {
    let guarded = Guarded::start(DOCKER.bed(), "Docker", "docker", "web");
    guarded.is_renamed("web", "shop-web");
    guarded.is_updated("shop-web");
    // The old name is another container's now.
    sh("docker run -d --name web busybox sleep 3600");
    guarded.agent.until("the other one is found", |agent| agent.container("web")["guard"] == "off");
    assert_eq!(guarded.agent.container("web")["container"]["application"], Value::Null);
    sh("docker rm -f web");
    guarded.goes_away();
}

/// What runs when the test is over, also where it fails.
struct Finally(String);

impl Drop for Finally {
    fn drop(&mut self) {
        quietly(&self.0);
    }
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn by_hand() {
    let (bed, section) = (Bed::new(), section("Cgroups made by hand"));
    let _removal = Finally(section.commands[1].clone());
    sh(&section.commands[0]);
    let agent = bed.agent(&section.settings);
    agent.until("the job has begun", |_| !members("jobs/nightly-1").is_empty());
    let pid = members("jobs/nightly-1")[0];
    // Elsewhere init does that: to v1, who died and was not looked at is in the cgroup still.
    std::thread::spawn(move || waitpid(Pid::from_raw(pid), None));
    agent.until_guarded("nightly-1");
    let found = agent.container("nightly-1");
    assert_eq!((&found["container"]["path"], &found["notes"]), (&json!("jobs/nightly-1"), &json!([])));
    assert_eq!(quota("jobs/nightly-1"), Some(200.0), "the first limit is max");
    sh(&section.commands[1]);
    agent.until("it is gone", |agent| agent.status()["containers"] == json!([]));
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn a_data_root_elsewhere() {
    let mut bed = Bed::new();
    let root = bed.dir.path().join("docker");
    let state = bed.dir.path().join("docker-state");
    drop(fs::remove_file("/etc/docker/daemon.json"));
    let text = |path: &std::path::Path| path.display().to_string();
    let arguments = [
        "--data-root",
        &text(&root),
        "--exec-root",
        &text(&state),
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--exec-opt",
        "native.cgroupdriver=cgroupfs",
    ];
    bed.daemon("dockerd", &arguments, "docker version");
    let image = bed.image("", &[]);
    sh(&format!("docker import {} busybox; docker run -d --name web busybox sleep 3600", image.display()));
    let id = fs::read_dir(root.join("containers")).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    {
        let agent = bed.agent("");
        let found = agent.container(&id[..12]);
        assert!(
            found["notes"].to_string().contains("called by its id")
                && found["notes"].to_string().contains("discovery.roots.docker")
        );
        assert_eq!(agent.log().matches("is called by its id").count(), 1);
    }
    let agent = bed.agent(&format!("discovery.roots.docker = ['{}']", root.display()));
    assert_eq!(agent.container("web")["container"]["engine_id"], id);
    sh("docker rm -f web");
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn podman() {
    let guarded = Guarded::start(PODMAN.bed(), "Podman", "podman", "web");
    guarded.is_renamed("web", "shop-web");
    guarded.is_updated("shop-web");
    guarded.goes_away();
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxc() {
    let guarded = Guarded::start(LXC.bed(), "LXC", "lxc", "web");
    // LXC renames what is stopped only: that is another container.
    sh(&guarded.section.commands[1]);
    guarded.agent.until_guarded("shop-web");
    guarded.is_updated("shop-web");
    guarded.agent.until("the old one is gone", |agent| agent.container("web") == Value::Null);
    assert_eq!(guarded.agent.container("shop-web")["container"]["application"], "shop");
    guarded.goes_away();
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxd() {
    let bed = LXD.bed();
    sh("lxc launch busybox web");

    let guarded = Guarded::start(bed, "LXD", "lxd", "team_web");
    let other = guarded.agent.container("web");
    assert_eq!((&other["container"]["engine"], &other["guard"]), (&json!("lxd"), &json!("off")));
    sh("lxc delete -f web");
    sh(&guarded.section.commands[1]);
    let application = |agent: &Agent| agent.container("team_web")["container"]["application"] == "store";
    guarded.agent.until("the new label is seen", application);
    assert_eq!((quota(&guarded.path), guarded.bed.records().len()), (Some(100.0), 1));
    guarded.is_updated("team_web");
    guarded.goes_away();
}
