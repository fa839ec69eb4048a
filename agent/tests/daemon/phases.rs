//! The five phases that the policy is known by, and that what is accounted is what the kernel counted.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use headroom_agent::cgroup::CpuTime;

use crate::agent::{Agent, BINARY, limit};
use crate::bed::{Bed, Config};
use crate::files::{self, Watch};
use crate::policy::assert_follows;
use crate::support::TestCgroup;

const MIN: u32 = 20;
const MAX: u32 = 190;
const BOUNDARY: u32 = 30;

#[test]
fn limits_follow_usage_through_the_five_phases() {
    let bed = Bed::new("phases");
    let mut config = bed.config();
    config.set("guardian.window", "cpu", "'300ms'");
    five_phases(&bed, &config, Bed::run);
}

#[test]
fn limits_follow_usage_with_the_cgroupfs_source() {
    let bed = Bed::new("cgroupfs");
    let mut config = bed.config();
    config.set("guardian.window", "cpu", "'300ms'").set("sampler", "source", "'cgroupfs'");
    five_phases(&bed, &config, |bed, config| {
        let agent = bed.run(config);
        assert_eq!(agent.status()["host"]["source"], "cgroupfs");
        agent
    });
}

#[test]
fn without_bpf_rights_it_falls_back_and_says_so() {
    let bed = Bed::new("nobpf");
    let config = bed.config();
    config.write();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-bpf,-perfmon,-sys_admin", "--inh-caps=-all", BINARY]);
    let agent = Agent::start(command, bed.dir());
    let host = &agent.status()["host"];
    assert_eq!(host["source"], "cgroupfs");
    let reason = host["source_reason"].as_str().unwrap();
    assert!(reason.contains("CAP_BPF") || reason.contains("CAP_PERFMON"), "{reason}");
    assert_eq!(agent.log().matches("not counted by eBPF").count(), 1, "{}", agent.log());
}

fn five_phases(bed: &Bed, config: &Config, run: impl Fn(&Bed, &Config) -> Agent) {
    let container = bed.container("cont0");
    files::prefer(&container);
    let mut load = container.burn(2, 0.0);
    // What starting it took is not for the agent to count.
    thread::sleep(Duration::from_millis(300));
    let before = container.cpu_time().unwrap();
    let watch = Watch::of(&[&container]);
    let mut config = config.clone();
    let agent = run(bed, config.guard("cont0", "true", [MIN, MAX, BOUNDARY]));
    let at = |shares: f64| {
        agent.until(&format!("a limit of {shares}"), |_| files::shares(&container) == Some(shares));
        assert_shown(&agent, shares);
    };

    // Idle: down to min + 2 * boundary, the floor.
    at(80.0);
    // Heavy: by the rule's amount, and what is left of it, to max.
    load.set_duty(1.0);
    at(190.0);
    // It settles: the limit fits the usage, which then lies within the band: no change.
    load.set_duty(0.3);
    agent.until("it fits the usage", |_| files::shares(&container).unwrap() < f64::from(MAX));
    stay_while_it_fits(&container);
    // Idle again.
    load.set_duty(0.0);
    at(80.0);

    let decided = agent.decisions("cont0");
    let told: Vec<_> = decided.iter().map(|d| (d.action.as_str(), d.outcome.as_str(), d.from, d.to)).collect();
    assert_eq!(told[0], ("FirstLimit", "applied", None, Some(190.0)));
    assert_eq!(told[1], ("CpuRescaleDown", "applied", Some(190.0), Some(80.0)));
    assert_eq!(told[2], ("CpuRescaleUp", "applied", Some(80.0), Some(155.0)));
    decided.iter().skip(1).for_each(|decided| assert_follows(decided, [MIN, MAX, BOUNDARY]));

    // What was used is the kernel's own number, whoever decided by what.
    agent.until("the last reading is of now", |agent| {
        let (used, kernel) = (area(agent, "used"), share_seconds(before, &container));
        (used - kernel).abs() < 0.5
    });
    assert_areas(&agent, &watch.end());
}

/// `/status` shows what stands.
fn assert_shown(agent: &Agent, shares: f64) {
    agent.until("the status says so", |agent| {
        let cpu = &agent.container("cont0")["resources"]["cpu"];
        limit(&cpu["limit"]) == Some(shares) && limit(&cpu["applied"]) == Some(shares) && limit(&cpu["effective"]) == Some(shares)
    });
}

/// A limit that does not change for two seconds in which the kernel counts a usage within the band. Each change needs a
/// usage that left it: a busy machine does not give a load what it asks for, and counts as used what was taken from it.
fn stay_while_it_fits(container: &TestCgroup) {
    let end = Instant::now() + Duration::from_mins(1);
    let mut limit = files::shares(container).unwrap();
    let (mut fits_since, mut has_left) = (Instant::now(), false);
    while fits_since.elapsed() < Duration::from_secs(2) {
        assert!(Instant::now() < end, "two seconds of a usage that fits the limit of {limit}");
        let (from, start) = (container.cpu_time().unwrap(), Instant::now());
        thread::sleep(Duration::from_millis(100));
        let usage = share_seconds(from, container) / start.elapsed().as_secs_f64();
        let now = files::shares(container).unwrap();
        let upper = limit - f64::from(BOUNDARY);
        if !(upper - f64::from(BOUNDARY)..upper).contains(&usage) {
            (fits_since, has_left) = (Instant::now(), true);
        }
        if Some(now) != Some(limit) {
            assert!(has_left, "{limit} to {now}, and the usage was never beyond the band");
            (limit, fits_since, has_left) = (now, Instant::now(), false);
        }
    }
}

fn area(agent: &Agent, which: &str) -> f64 {
    agent.container("cont0")["resources"]["cpu"]["areas"][which].as_f64().unwrap()
}

/// 100 shares are a core.
fn share_seconds(before: CpuTime, container: &TestCgroup) -> f64 {
    (container.cpu_time().unwrap().total_us - before.total_us) as f64 / 1e4
}

/// The areas under the limit and under max, against the limits that stood in the files.
fn assert_areas(agent: &Agent, seen: &[files::Seen]) {
    let guarded: Vec<_> = seen.iter().filter_map(|seen| Some((seen.at, seen.shares[0]?))).collect();
    let pairs = || guarded.iter().zip(&guarded[1..]).map(|(a, b)| ((b.0 - a.0).as_secs_f64(), a.1));
    let allocated: f64 = pairs().map(|(seconds, shares)| seconds * shares).sum();
    let reserved: f64 = pairs().map(|(seconds, _)| seconds * f64::from(MAX)).sum();
    for (which, by_files) in [("allocated", allocated), ("reserved", reserved)] {
        let told = area(agent, which);
        assert!((told - by_files).abs() < 0.05 * by_files + 150.0, "{which}: {told}, by the files {by_files}");
    }
    assert!(area(agent, "used") < area(agent, "allocated"));
    assert!(guarded.iter().all(|(_, shares)| (f64::from(MIN)..=f64::from(MAX)).contains(shares)));
}
