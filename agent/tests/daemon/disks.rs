//! Limits on a real disk under real writers, by the same policy as all others.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use headroom_agent::cgroup::{Controller, Device, Version};
use serde_json::json;

use crate::agent::{Agent, Decided};
use crate::bed::{Bed, Config};
use crate::disk::{Disk, MIB, Writer, written};
use crate::files::{directories, read, version, write};
use crate::support::TestCgroup;

/// What may be over a limit, on average over seconds: the kernel hands bandwidth out in slices.
const SLACK: f64 = 1.25;

/// The write limit by the kernel's own file, in MiB/s; `None` for none.
fn limit(container: &TestCgroup, device: Device) -> Option<f64> {
    let text = match version(container, Controller::Io) {
        Version::V1 => read(container, Controller::Io, "blkio.throttle.write_bps_device"),
        Version::V2 => read(container, Controller::Io, "io.max"),
    };
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{device} ")))?;
    let bytes = line.split_whitespace().find_map(|field| field.strip_prefix("wbps=").or((!line.contains('=')).then_some(field)));
    bytes?.parse::<f64>().ok().map(|bytes| bytes / MIB)
}

/// Sets it, as another program would.
fn set(container: &TestCgroup, device: Device, mib: u32) {
    let bytes = f64::from(mib) * MIB;
    match version(container, Controller::Io) {
        Version::V1 => write(container, Controller::Io, "blkio.throttle.write_bps_device", &format!("{device} {bytes}")),
        Version::V2 => write(container, Controller::Io, "io.max", &format!("{device} wbps={bytes}")),
    }
}

/// Doubled where it is short, lowered after four low windows of half a second.
fn config(bed: &Bed, host: u32) -> Config {
    let mut config = bed.config();
    config.set("guardian", "guardable", "['disk_write']").set("guardian", "profile", "'responsive'");
    // Disks are read from the kernel's files either way, and the kernel's types take an emulated machine a minute.
    config.set("agent", "realtime_priority", "0");
    config.set("sampler", "source", "'cgroupfs'").set("guardian.window", "disk_write", "'500ms'").set(
        "host.max",
        "disk_write",
        &host.to_string(),
    );
    config
}

fn guard<'a>(config: &'a mut Config, name: &str, [min, max]: [u32; 2]) -> &'a mut Config {
    let table = format!("[container.disk_write]\nmin = {min}\nmax = {max}\nboundary = 2");
    config.container(&format!("name = '{name}'\nguard = true")).resource(&table)
}

fn of(agent: &Agent, name: &str, action: &str) -> Vec<Decided> {
    agent.decisions(name).into_iter().filter(|d| d.action == action && d.outcome == "applied").collect()
}

#[test]
fn a_limit_follows_its_writer() {
    let (bed, disk) = (Bed::new("writer"), Disk::any());
    let cont0 = bed.container("cont0");
    let mut config = config(&bed, 48);
    guard(&mut config, "cont0", [2, 32]);
    let mut agent = bed.run(&config);
    agent.until("what is missing is said", |agent| {
        agent.notes("cont0").contains("disk_write: not guarded: it has used no disk yet")
    });
    let writer = Writer::start(&cont0, &disk, "direct");
    agent.until("its disk is found", |_| limit(&cont0, disk.device) == Some(32.0));
    agent.until("nothing is missing any more", |agent| agent.notes("cont0") == "[]");
    let kept = bed.records()["cont0"]["resources"]["disk_write"].clone();
    assert_eq!((&kept["limit"], &kept["device"]), (&json!("unlimited"), &json!(disk.device.to_string())));

    drop(writer);
    agent.until("idle, it comes down to min and two bands", |_| limit(&cont0, disk.device) == Some(6.0));
    let writer = Writer::start(&cont0, &disk, "direct");
    agent.until("busy, it goes up", |_| limit(&cont0, disk.device) == Some(32.0));
    agent.until("all is told", |agent| of(agent, "cont0", "Disk_WriteRescaleUp").len() >= 3);
    let raised = of(&agent, "cont0", "Disk_WriteRescaleUp");
    let steps: Vec<_> = raised.iter().map(|d| (d.from, d.to)).collect();
    // Each doubles it, up to max. (Where an emulated disk stands still for a while, it is lowered in between.)
    assert!(steps.iter().all(|(from, to)| *to == from.map(|from| (2.0 * from).min(32.0))), "{steps:?}");
    assert_eq!((steps[0].0, steps[steps.len() - 1].1), (Some(6.0), Some(32.0)), "{steps:?}");
    // It was judged by what reached the disk, which the limit in force let through.
    for decided in &raised {
        let [from, usage] = [decided.from.unwrap(), decided.usage()];
        assert!(usage > from - 2.0 && usage < from * SLACK + 2.0, "{decided:?}");
    }
    let shown = agent.container("cont0")["resources"]["disk_write"].clone();
    assert_eq!((&shown["guard"], &shown["limit"]["at"]), (&json!(true), &json!(32.0)));
    assert_eq!(agent.status()["host"]["free"]["disk_write"], 16.0);
    drop(writer);
    agent.until("it comes down again", |_| limit(&cont0, disk.device) == Some(6.0));
    assert!(agent.end().0.success());
    assert_eq!(limit(&cont0, disk.device), Some(6.0), "an end without restore_on_exit leaves limits");
    cont0.remove();
}

#[test]
fn writers_together_never_get_more_than_the_host_has() {
    const HOST: u32 = 24;
    let (bed, disk) = (Bed::new("writers"), Disk::any());
    let both = ["a", "b"].map(|name| bed.container(name));
    let mut config = config(&bed, HOST);
    guard(&mut config, "*", [2, 20]);
    let agent = bed.run(&config);
    let mut writers = both.each_ref().map(|container| Some(Writer::start(container, &disk, "direct")));
    let limits = || both.each_ref().map(|container| limit(container, disk.device));
    agent.until("both are limited", |_| limits().iter().all(Option::is_some));
    let mut most = 0.0_f64;
    let mut look = || loop {
        // What one gives back another may have before both files are read: only what stands is one moment's.
        let (first, second) = (limits(), limits());
        if first == second {
            let sum = first.iter().flatten().sum::<f64>();
            most = most.max(sum);
            return sum;
        }
    };
    let begun = (Instant::now(), both.each_ref().map(|container| written(container, disk.device)));
    while begun.0.elapsed() < Duration::from_secs(5) {
        look();
        thread::sleep(Duration::from_millis(20));
    }
    let moved: f64 = both.iter().zip(begun.1).map(|(container, before)| written(container, disk.device) - before).sum();
    let rate = moved / begun.0.elapsed().as_secs_f64();
    assert!(rate < f64::from(HOST) * SLACK, "{rate} MiB/s");
    println!("{rate:.1} MiB/s of {HOST}, at limits {:?}", limits());

    // The one with more rests: what it gives back goes to the other.
    let resting = usize::from(limits()[1] > limits()[0]);
    drop(writers[resting].take());
    agent.until("the other one has it", |_| {
        look();
        limits()[1 - resting] == Some(18.0)
    });
    assert_eq!(limits()[resting], Some(6.0));
    println!("at most {most} of {HOST} MiB/s were given out");
    assert!(most <= f64::from(HOST), "{most}");
    let short = |d: &Decided| d.action == "Disk_WriteRescaleUp" && (d.outcome == "starved" || d.outcome == "partial");
    let told = ["a", "b"].map(|name| agent.decisions(name)).concat();
    assert!(told.iter().any(short), "{told:?}");
    drop(writers);
    for container in &both {
        container.remove();
    }
}

#[test]
fn what_was_found_comes_back_and_what_others_change_is_put_right() {
    let (bed, disk) = (Bed::new("found"), Disk::any());
    let cont0 = bed.container("cont0");
    set(&cont0, disk.device, 17);
    let mut config = config(&bed, 100);
    config.set("agent", "restore_on_exit", "true");
    guard(&mut config, "cont0", [2, 32]);
    let mut agent = bed.run(&config);
    let is_at = |mib: f64| limit(&cont0, disk.device) == Some(mib);
    // Written, read back and taken over: whoever sets it before that makes the write a failed one.
    let has_set = |agent: &Agent, mib: f64| {
        is_at(mib) && agent.container("cont0")["resources"]["disk_write"]["limit"]["at"].as_f64() == Some(mib)
    };
    agent.until("idle, it comes down", |agent| has_set(agent, 6.0));
    set(&cont0, disk.device, 9);
    agent.until("it is put right", |agent| is_at(6.0) && of(agent, "cont0", "Reassert").len() == 1);
    let told = of(&agent, "cont0", "Reassert");
    assert_eq!((told[0].resource.as_str(), told[0].from, told[0].to), ("disk_write", Some(9.0), Some(6.0)));

    let answer = agent.put("/container/cont0", r#"{"disk_write": {"disk_write_limit": 12}}"#);
    assert_eq!(answer.status, 201, "{answer:?}");
    agent.until("its next decision goes on from there", |agent| {
        of(agent, "cont0", "Disk_WriteRescaleDown").iter().any(|d| (d.from, d.to) == (Some(12.0), Some(6.0)))
    });

    // Killed, its limits are lifted by whoever calls `release`, and a new run knows what was found.
    agent.kill9();
    let released = bed.release(&[]);
    assert!(released.status.success() && is_at(32.0), "{released:?}");
    let mut agent = bed.run(&config);
    agent.until("it comes down again", |_| is_at(6.0));
    assert!(agent.end().0.success());
    assert!(is_at(17.0), "{:?}", limit(&cont0, disk.device));
    assert_eq!(bed.records().len(), 0);

    // Changes of others can be gone on from, and a container that is no longer guarded is left as it is.
    config.set("scaler", "on_foreign_change", "'adopt'");
    let agent = bed.run(&config);
    agent.until("idle, it comes down", |agent| has_set(agent, 6.0));
    set(&cont0, disk.device, 9);
    agent.until("it goes on from there", |agent| of(agent, "cont0", "Adopt").len() == 1);
    agent.until("idle, it comes down", |_| is_at(6.0));
    config.guard_nothing().write();
    agent.signal(nix::sys::signal::Signal::SIGHUP);
    agent.until("it is no longer guarded", |agent| agent.container("cont0")["guard"] == "off");
    set(&cont0, disk.device, 9);
    thread::sleep(Duration::from_secs(2));
    assert!(is_at(9.0));
}

#[test]
fn without_the_controller_it_is_said_why() {
    let bed = Bed::new("nodisk");
    let parent = bed.container("outer");
    let child = parent.child("cont0");
    match version(&child, Controller::Io) {
        Version::V1 => {
            let is_io = |dir: &PathBuf| dir.join("blkio.reset_stats").exists();
            fs::remove_dir(directories(&child).into_iter().find(is_io).unwrap()).unwrap();
        }
        Version::V2 => write(&parent, Controller::Cpu, "cgroup.subtree_control", "-io"),
    }
    let mut config = config(&bed, 100);
    let pattern = format!("^headroom-test-{}-nodisk-outer/(?<name>[a-z0-9]+)$", std::process::id());
    config.set("discovery", "pattern", &format!("[{{ path = '{pattern}' }}]"));
    guard(&mut config, "cont0", [2, 32]);
    let agent = bed.run(&config);
    agent.until("it is said", |agent| agent.notes("cont0").contains("disk_write: not guarded: "));
    let notes = agent.notes("cont0");
    println!("{notes}");
    assert!(!notes.contains("it has used no disk"), "{notes}");
    assert_eq!(agent.decisions("cont0"), []);
}
