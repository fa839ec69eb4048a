//! Containers that stop, start and are replaced by others of the same name: nothing of the old one is left, nothing of it reaches another.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::bed::{Bed, directories, limits, quota};
use crate::engine::{DOCKER, Engine, LXC, LXD, PODMAN};

/// Idle, `other` has 50 and what has the label 70; two CPUs have room for both at their max.
const GUARD: &str = "[[container]]\nname = 'other'\nguard = true\ncpu = { min = 10, max = 60, boundary = 20 }\n\
                     [[container]]\nlabel = 'tier'\nguard = true\ncpu = { min = 20, max = 120, boundary = 25 }\n";

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn docker() {
    leaves_nothing(&DOCKER);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn podman() {
    leaves_nothing(&PODMAN);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxc() {
    leaves_nothing(&LXC);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxd() {
    leaves_nothing(&LXD);
}

fn leaves_nothing(engine: &'static Engine) {
    let bed = engine.bed();
    let agent = bed.deciding_agent(GUARD);
    let other = engine.start("other", false);
    let web = engine.start("web", true);
    at_rest(&agent, "other", 50.0);
    let first = at_rest(&agent, "web", 70.0);

    // Stopped: gone. Started: another one, guarded from the start.
    web.stop();
    is_gone(&agent, &bed, "web", 1);
    web.start();
    let second = at_rest(&agent, "web", 70.0);
    assert_ne!(first["cgroup_id"], second["cgroup_id"]);
    agent.until("its record is the new one's", |_| records_of(&bed, "web") == [second["cgroup_id"].clone()]);
    // By now it is past what its own start took, which is much where the machine is emulated.
    let of_other = agent.decisions("other");

    // While its limit moves it is replaced by one of its name that nobody asked for.
    web.spin(2);
    agent.until("its limit is raised", |_| quota(path(&second)) > Some(70.0));
    drop(web);
    let stranger = engine.start("web", false);
    agent.until("the other one is found", |agent| {
        let found = agent.container("web");
        found["guard"] == "off" && found["container"]["cgroup_id"] != second["cgroup_id"]
    });
    let third = agent.container("web")["container"].clone();
    let before = limits(path(&third));
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!((quota(path(&third)), quota(path(&agent.container("other")["container"]))), (None, Some(50.0)));
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(limits(path(&third)), before);
    assert!(records_of(&bed, "web").is_empty());
    assert_eq!(metric(&agent, "headroom_foreign_changes_total{container=\"web\"}"), None);

    // And by one that is to be guarded again.
    drop(stranger);
    let web = engine.start("web", true);
    let fourth = at_rest(&agent, "web", 70.0);
    assert_eq!(records_of(&bed, "web"), [fourth["cgroup_id"].clone()]);
    assert_eq!(metric(&agent, "headroom_foreign_changes_total{container=\"web\"}"), Some(0.0));
    drop(web);
    is_gone(&agent, &bed, "web", 1);
    assert_eq!(agent.decisions("other"), of_other, "nothing of it has reached the other one");
    drop(other);
    is_gone(&agent, &bed, "other", 0);
    assert_eq!(agent.status()["containers"], json!([]));
}

/// A cgroup of LXC's in which nothing runs, in each hierarchy; gone when this is dropped.
struct LeftOver(Vec<PathBuf>);

impl LeftOver {
    fn new(directories: Vec<PathBuf>) -> Self {
        for dir in &directories {
            fs::create_dir(dir).unwrap();
        }
        Self(directories)
    }
}

impl Drop for LeftOver {
    fn drop(&mut self) {
        for dir in &self.0 {
            drop(fs::remove_dir(dir));
        }
    }
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxc_beside_what_was_left_over() {
    let bed = LXC.bed();
    let guard = "[[container]]\nname = 'web'\nguard = true\ncpu = { min = 20, max = 120, boundary = 25 }\n";
    let agent = bed.deciding_agent(guard);
    let web = LXC.start("web", false);
    let first = at_rest(&agent, "web", 70.0);
    let made = directories(path(&first));
    web.stop();
    is_gone(&agent, &bed, "web", 0);

    // While nothing else is called so it is `web`.
    let left_over = LeftOver::new(made);
    let empty = at_rest(&agent, "web", 70.0);
    assert_eq!(empty["path"], first["path"]);

    web.start();
    agent.until("what runs is web", |agent| agent.container("web")["container"]["path"] != first["path"]);
    let second = at_rest(&agent, "web", 70.0);
    assert_eq!(path(&second), format!("{}-1", path(&first)), "as LXC calls the second");
    web.spin(2);
    agent.until("its limit is raised", |_| quota(path(&second)) > Some(70.0));
    assert_eq!(quota(path(&empty)), Some(70.0), "it keeps its limit, as what lost its rule does");

    // A new agent finds both, and has them the same.
    drop(agent);
    let agent = bed.deciding_agent(guard);
    agent.until_guarded("web");
    assert_eq!(agent.container("web")["container"]["cgroup_id"], second["cgroup_id"]);

    drop(web);
    agent.until("the name is free", |agent| agent.container("web")["container"]["cgroup_id"] == empty["cgroup_id"]);
    drop(left_over);
    is_gone(&agent, &bed, "web", 0);
}

/// Waits until an idle container has this limit; gives who it is.
fn at_rest(agent: &Agent, name: &str, shares: f64) -> Value {
    agent.until_guarded(name);
    agent.until(&format!("{name} has {shares}"), |agent| {
        let found = agent.container(name);
        found["resources"]["cpu"]["applied"]["at"] == shares && quota(path(&found["container"])) == Some(shares)
    });
    agent.container(name)["container"].clone()
}

/// Of a container that is gone there is nothing in the status, the metrics, and the records, of which there are `left`.
fn is_gone(agent: &Agent, bed: &Bed, name: &str, left: usize) {
    agent.until(&format!("{name} is gone"), |agent| agent.container(name).is_null());
    assert!(!agent.send("GET", "/metrics", "").body.contains(&format!("container=\"{name}\"")));
    agent.until("its record is gone", |_| bed.records().len() == left && records_of(bed, name).is_empty());
}

fn path(identity: &Value) -> &str {
    identity["path"].as_str().unwrap()
}

/// The cgroups of the records that are of a container called so.
fn records_of(bed: &Bed, name: &str) -> Vec<Value> {
    bed.records().into_iter().filter(|record| record["name"] == name).map(|record| record["cgroup_id"].clone()).collect()
}

fn metric(agent: &Agent, series: &str) -> Option<f64> {
    let page = agent.send("GET", "/metrics", "").body;
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}
