//! A container with a whole system in it, and one with an engine in it that has containers of its own: what happens in there is the outer
//! container's, counted as the kernel counts it, and one limit holds for all of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::accuracy::Count;
use crate::agent::Agent;
use crate::bed::{limits, quota};
use crate::engine::LXC_WITH_SYSTEMD;

/// Asks for whatever there is. Idle it has min + 2 * boundary.
const GUARD: &str = "sampler.audit_interval = '1s'\ndiscovery.engines = ['lxc', 'docker', 'podman', 'systemd']\n\
                     [[container]]\nname = '*'\nguard = true\ncpu = { min = 20, max = 190, boundary = 25 }\n";
const FLOOR: f64 = 70.0;
const OUTER: &str = "lxc.payload.outer";
const SPIN: &str = "while :; do :; done & while :; do :; done";

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn systemd_in_lxc() {
    let bed = LXC_WITH_SYSTEMD.bed();
    let outer = LXC_WITH_SYSTEMD.start("outer", false);
    let agent = bed.deciding_agent(GUARD);
    is_at_rest(&agent);

    let count = Count::of(OUTER);
    outer.run(&format!("systemd-run --unit=busy -p CPUQuota=180% -p CPUWeight=50 sh -c \"{SPIN}\""));
    let services = below(OUTER);
    assert!(services.contains_key("lxc.payload.outer/system.slice/busy.service"), "{services:?}");
    is_followed(&agent, count);
    assert_eq!(names(&agent), ["outer"]);
    assert_eq!(below(OUTER), services, "what systemd has set is as it was");

    outer.run("systemctl stop busy");
    agent.until("it is at rest again", |_| quota(OUTER) == Some(FLOOR));
    drop(outer);
    agent.until("all is gone", |agent| agent.status()["containers"] == json!([]) && bed.records().is_empty());
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn engine_in_container() {
    let bed = LXC_WITH_SYSTEMD.bed();
    let outer = LXC_WITH_SYSTEMD.start("outer", false);
    let agent = bed.deciding_agent(GUARD);
    is_at_rest(&agent);

    let image = bed.image("", &[]);
    fs::copy(image, "/var/lib/lxc/outer/rootfs/image.tar").unwrap();
    outer.run(
        "systemd-run --unit=inner dockerd --bridge=none --iptables=false --ip6tables=false --ip-forward=false \
         --exec-opt native.cgroupdriver=cgroupfs && timeout 120 sh -c \"until docker version; do sleep 0.1; done\"",
    );
    outer.run(&format!("docker import /image.tar busybox && docker run -d --name inner busybox sh -c \"{SPIN}\""));
    let id = output("lxc-attach -n outer -- docker inspect --format {{.Id}} inner");
    let (name, path) = (format!("outer:{}", &id[..12]), format!("{OUTER}/docker/{id}"));
    agent.until("the inner one is left alone", |agent| agent.notes(&name).contains("it lies in outer"));
    let inner = agent.container(&name);
    assert_eq!((&inner["guard"], &inner["container"]["engine"]), (&json!("off"), &json!("docker")), "{inner}");
    assert_eq!(
        (inner["container"]["path"].as_str(), names(&agent)),
        (Some(path.as_str()), vec!["outer".to_owned(), name.clone()])
    );

    let set = limits(&path);
    is_followed(&agent, Count::of(OUTER));
    Count::of(&path).assert_right();
    assert_eq!(limits(&path), set, "what the inner engine has set is as it was");
    assert!(agent.decisions(&name).is_empty(), "{:?}", agent.decisions(&name));

    outer.run("docker rm -f inner");
    agent.until("it is at rest again", |agent| quota(OUTER) == Some(FLOOR) && names(agent) == ["outer"]);
    drop(outer);
    agent.until("all is gone", |agent| agent.status()["containers"] == json!([]) && bed.records().is_empty());
}

/// The outer container is found, alone, and has the limit of an idle one.
fn is_at_rest(agent: &Agent) {
    agent.until_guarded("outer");
    let found = &agent.container("outer")["container"];
    assert_eq!((&found["engine"], &found["path"]), (&json!("lxc"), &json!(OUTER)), "{found}");
    assert_eq!((names(agent), &agent.status()["host"]["source"]), (vec!["outer".to_owned()], &json!("ebpf")));
    agent.until("it is at rest", |_| quota(OUTER) == Some(FLOOR));
}

/// The load in the outer container raises its limit, and is counted as the kernel counts it, by the agent and by us.
fn is_followed(agent: &Agent, count: Count) {
    agent.until("the limit is raised", |_| quota(OUTER) > Some(FLOOR));
    let corrected = agent.status()["counters"]["usage_corrected"].clone();
    count.assert_right();
    let counters = &agent.status()["counters"];
    eprintln!("the agent's own count was at most {} from the kernel's", counters["usage_drift_max"]);
    assert_eq!(counters["usage_corrected"], corrected, "{counters}");
}

fn names(agent: &Agent) -> Vec<String> {
    let status = agent.status();
    status["containers"].as_array().unwrap().iter().map(|one| one["container"]["name"].as_str().unwrap().to_owned()).collect()
}

/// Every group below a container, in whatever hierarchy, with its limits.
fn below(path: &str) -> BTreeMap<String, BTreeMap<PathBuf, String>> {
    let dirs = output(&format!("find /sys/fs/cgroup -path '*/{path}/*' -type d"));
    let paths = dirs.lines().map(|dir| dir[dir.find(path).unwrap()..].to_owned());
    paths.map(|path| (path.clone(), limits(&path))).collect()
}

fn output(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
