//! Ends and changes of mind: SIGTERM, SIGHUP, unguarding and guarding again.

use std::time::Duration;

use headroom_agent::cgroup::{Controller, Version};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::bed::Bed;
use crate::files::{self, prefer, set_quota, set_shares, shares, version, write};

/// A second is what is promised. A machine that is busy with other things, or emulated, is given more; a hang is none of both.
const AN_END: Duration = Duration::from_secs(5);

#[test]
fn the_originals_are_back_after_a_clean_end() {
    let bed = Bed::new("restore");
    let [none, odd, memory] = ["none", "odd", "memory"].map(|name| bed.container(name));
    set_quota(&odd, Some(61_000), 50_000);
    let burst = if version(&odd, Controller::Cpu) == Version::V1 { "cpu.cfs_burst_us" } else { "cpu.max.burst" };
    write(&odd, Controller::Cpu, burst, "7000");
    let before = [&none, &odd, &memory].map(files::limits);
    let mut config = bed.config();
    config.set("agent", "restore_on_exit", "true").set("guardian", "guardable", "['cpu', 'mem']");
    config.set("scaler", "burst", "1.0").set("scaler", "period", "'20ms'").set("host.max", "cpu", "1000");
    config.guard("none", "true", [20, 100, 10]).guard("odd", "true", [20, 100, 10]);
    config.container("name = 'memory'\nguard = true").resource("[container.mem]\nmin = 64\nmax = 256\nboundary = 16");
    let mut agent = bed.run(&config);
    for name in ["none", "odd", "memory"] {
        agent.until_guarded(name);
    }
    agent.until("limits have moved", |_| {
        [&none, &odd, &memory].map(files::limits).iter().zip(&before).all(|(now, then)| now != then)
    });
    assert_eq!(bed.records().len(), 3);

    // Under load the CPU limits go on moving up to the last moment.
    let _loads = [none.burn(1, 1.0), odd.burn(1, 1.0)];
    std::thread::sleep(Duration::from_millis(700));
    let (status, took) = agent.end();
    assert!(status.success(), "{status}");
    eprintln!("it ended in {took:?}");
    assert!(took < AN_END, "{took:?}");
    assert_eq!([&none, &odd, &memory].map(files::limits), before);
    assert!(bed.records().is_empty(), "{:?}", bed.records());
    assert!(!bed.socket().exists());
}

#[test]
fn a_clean_end_leaves_limits_unless_told_otherwise() {
    let bed = Bed::new("leave");
    let cont0 = bed.container("cont0");
    let mut config = bed.config();
    config.guard("cont0", "true", [20, 100, 10]);
    let mut agent = bed.run(&config);
    agent.until("idle", |_| shares(&cont0) == Some(40.0));
    let (status, took) = agent.end();
    assert!(status.success() && took < AN_END, "{status}, {took:?}");
    assert_eq!(shares(&cont0), Some(40.0));
    assert_eq!(bed.records()["cont0"]["resources"]["cpu"]["limit"], json!("unlimited"));
}

#[test]
fn sighup_takes_over_a_good_file_and_nothing_of_a_bad_one() {
    let bed = Bed::new("hup");
    let cont0 = bed.container("cont0");
    set_shares(&cont0, 90);
    prefer(&cont0);
    let original = files::limits(&cont0);
    let mut config = bed.config();
    config.guard("cont0", "true", [20, 100, 10]);
    let mut agent = bed.run(&config);
    agent.until("idle: min + 2 * boundary", |_| shares(&cont0) == Some(40.0));

    let again = |config: &mut crate::bed::Config, cpu: [u32; 3]| {
        config.guard_nothing().guard("cont0", "true", cpu).write();
        agent.signal(Signal::SIGHUP);
        &agent
    };
    // A narrower boundary: min + 2 * 5.
    again(&mut config, [20, 100, 5]).until("the new boundary", |_| shares(&cont0) == Some(30.0));
    // A higher min lifts at once, a lower max lowers at once.
    again(&mut config, [60, 100, 5]).until("the new min", |_| shares(&cont0) == Some(60.0));
    again(&mut config, [10, 25, 5]).until("the new max", |agent| {
        shares(&cont0) == Some(25.0) && agent.container("cont0")["resources"]["cpu"]["max"] == 25.0
    });
    agent.until("and idle again", |_| shares(&cont0) == Some(20.0));

    // A bad file changes nothing, and the log says what is wrong with it.
    config.write_text("[guardian]\nactive = 7\n");
    agent.signal(Signal::SIGHUP);
    agent.until("it is said", |agent| agent.log().contains("not reloaded, all stays as it was"));
    assert!(agent.log().contains("guardian.active"), "{}", agent.log());
    assert_eq!(agent.container("cont0")["resources"]["cpu"]["max"], 25.0);
    assert_eq!(agent.container("cont0")["guard"], "on");
    assert_eq!(shares(&cont0), Some(20.0));

    // Unguarded, the limit stays; what was found stays known, and guarding again does not take our own limit for it.
    config.guard_nothing().write();
    agent.signal(Signal::SIGHUP);
    agent.until("it is not guarded", |agent| agent.container("cont0")["guard"] == "off");
    agent.until("that is on disk", |_| bed.records()["cont0"]["guarded"] == false);
    assert_eq!(shares(&cont0), Some(20.0));
    config.set("agent", "restore_on_exit", "true").guard("cont0", "true", [10, 50, 5]).write();
    agent.signal(Signal::SIGHUP);
    agent.until_guarded("cont0");
    agent.until("that is on disk", |_| bed.records()["cont0"]["guarded"] == true);
    assert_eq!(bed.records()["cont0"]["resources"]["cpu"]["limit"], json!({"at": 90.0}));
    agent.end();
    assert_eq!(files::limits(&cont0), original);
}

#[test]
fn a_resource_that_is_guarded_no_more_is_not_put_back() {
    for restores in [false, true] {
        let bed = Bed::new("half");
        let cont0 = bed.container("cont0");
        let mut config = bed.config();
        config.set("agent", "restore_on_exit", &restores.to_string()).set("guardian", "guardable", "['cpu', 'mem']");
        let memory = "[container.mem]\nmin = 64\nmax = 256\nboundary = 16";
        config.guard("cont0", "true", [20, 100, 10]).resource(memory);
        let mut agent = bed.run(&config);
        agent.until("both are guarded", |agent| {
            let resources = &agent.container("cont0")["resources"];
            shares(&cont0) == Some(40.0) && resources["mem"]["guard"] == true && resources["mem"]["applied"]["at"].is_number()
        });
        config.guard_nothing().guard("cont0", "true", [20, 100, 10]).write();
        agent.signal(Signal::SIGHUP);
        agent.until("that is on disk", |_| bed.records()["cont0"]["resources"]["mem"]["guarded"] == false);
        // From now on the limit is somebody else's.
        let file = match version(&cont0, Controller::Memory) {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.high",
        };
        write(&cont0, Controller::Memory, file, &(48 << 20).to_string());
        agent.end();
        let released = bed.release(&[]);
        assert!(released.status.success(), "{released:?}");
        let expected = if restores { None } else { Some(100.0) };
        assert_eq!(shares(&cont0), expected, "CPU is put back, or lifted: {released:?}");
        assert_eq!(files::limits(&cont0)[file], (48 << 20).to_string(), "{released:?}");
    }
}

#[test]
fn an_unguarded_container_is_not_put_back() {
    let bed = Bed::new("mine");
    let cont0 = bed.container("cont0");
    let mut config = bed.config();
    config.set("agent", "restore_on_exit", "true").guard("cont0", "true", [20, 100, 10]);
    let mut agent = bed.run(&config);
    agent.until("idle", |_| shares(&cont0) == Some(40.0));
    config.guard_nothing().write();
    agent.signal(Signal::SIGHUP);
    agent.until("that is on disk", |_| bed.records()["cont0"]["guarded"] == false);
    // From now on the limit is somebody else's.
    set_shares(&cont0, 33);
    agent.end();
    assert_eq!(shares(&cont0), Some(33.0));
    let released = bed.release(&[]);
    assert!(released.status.success(), "{released:?}");
    assert_eq!(shares(&cont0), Some(33.0), "{released:?}");
}
