//! Memory limits that are lowered for real, a thousand times, under containers that use them: nothing is killed, nothing stays stalled, and
//! what was not done is explained.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use headroom_agent::cgroup::{Controller, Version};
use nix::sys::signal::Signal;

use crate::agent::{Agent, BINARY};
use crate::bed::{Bed, Config};
use crate::disk::{Disk, done};
use crate::files::{read, version, write};
use crate::support::{Burner, TestCgroup};

const MIB: u64 = 1024 * 1024;
/// How many lowerings there are to be, over all containers; a machine that is emulated does not get there, and has to do a tenth.
const LOWERINGS: u64 = 1000;
/// How long it may take to do them all.
const WHILE: Duration = Duration::from_mins(1);
/// Where somebody else sets the limit each time it has come down: the agent goes on from there.
const RAISED: u64 = 360;
/// What a container that grows has at most before it starts anew, in MiB.
const GROWN: usize = 96;
/// What a container has that is swapped, in MiB.
const SWAPPED: usize = 48;
/// After how many turns it is pushed out to swap again.
const ROUND: u32 = 150;
/// Just above what a container needs: `fit_to_usage` leaves one and a half of it.
const BOUNDARY: u64 = 24;

/// The files with the limit that moves and with the hard one; v1 has one for both.
fn limit_files(container: &TestCgroup) -> [&'static str; 2] {
    match version(container, Controller::Memory) {
        Version::V1 => ["memory.limit_in_bytes"; 2],
        Version::V2 => ["memory.high", "memory.max"],
    }
}

/// The lesser of both, in MiB; `None` for none.
fn limit(container: &TestCgroup) -> Option<u64> {
    let bytes = |file| read(container, Controller::Memory, file).parse::<u64>().ok();
    limit_files(container).into_iter().filter_map(bytes).min().filter(|bytes| *bytes < u64::MAX / 4).map(|bytes| bytes / MIB)
}

fn set(container: &TestCgroup, file: &str, mib: u64) {
    write(container, Controller::Memory, file, &(mib * MIB).to_string());
}

fn config(bed: &Bed, max: u64) -> Config {
    let mut config = bed.config();
    config.set("guardian", "guardable", "['mem']").set("guardian", "profile", "'responsive'");
    config.set("guardian", "cooldown", "0").set("guardian.window", "mem", "'50ms'");
    // Memory is read from the kernel's files either way, and the kernel's types take an emulated machine a minute.
    config.set("agent", "realtime_priority", "0");
    config.set("sampler", "source", "'cgroupfs'").set("host.max", "mem", "100000").set("scaler", "lower_memory_v1", "true");
    let table = format!("[container.mem]\nmin = 16\nmax = {max}\nboundary = {BOUNDARY}");
    config.container("name = '*'\nguard = true").resource(&table);
    config
}

/// What is in a container.
enum Inside {
    /// Memory that stays in use, just under the limit.
    Held { _burner: Burner },
    /// Memory that grows while the limit comes down, and starts anew at some size.
    Grows { burner: Burner, held: usize },
    /// Reads a large file over and over, past its limit: page cache.
    Cache(Child),
    /// Memory that somebody has put on swap from time to time, and that is then wanted again.
    Swaps { burner: Burner, turn: u32 },
}

impl Inside {
    /// `file`: the end of it is read, 40 MiB.
    fn new(container: &TestCgroup, kind: &str, file: &Path) -> Self {
        match kind {
            "held" => {
                let mut burner = container.burn(0, 0.0);
                burner.hold(60);
                Self::Held { _burner: burner }
            }
            "grows" => Self::Grows { burner: container.burn(0, 0.0), held: 0 },
            "swaps" => {
                let mut burner = container.burn(0, 0.0);
                burner.hold(SWAPPED);
                Self::Swaps { burner, turn: 0 }
            }
            _ => {
                // Of some file that nobody else has in the page cache: whoever reads it first is charged.
                let skip = fs::metadata(file).unwrap().len() / MIB - 40;
                let read = format!("dd if={} of=/dev/null bs=1M skip={skip}", file.display());
                let script = format!("read go; while :; do {read}; sleep 0.2; {read} iflag=nocache; done");
                let mut shell = Command::new("sh");
                shell.args(["-c", &script]).stdin(Stdio::piped()).stderr(Stdio::null());
                let mut reader = shell.spawn().unwrap();
                container.add(reader.id());
                drop(reader.stdin.take());
                Self::Cache(reader)
            }
        }
    }

    /// What was just pushed out to swap is left to the agent for a while.
    fn may_be_raised(&self) -> bool {
        !matches!(self, Self::Swaps { turn, .. } if (10..30).contains(&(turn % ROUND)))
    }

    fn step(&mut self, container: &TestCgroup) {
        match self {
            Self::Grows { burner, held } => {
                if *held >= GROWN {
                    (*burner, *held) = (container.burn(0, 0.0), 0);
                }
                burner.hold(1);
                *held += 1;
            }
            Self::Swaps { burner, turn } => {
                *turn += 1;
                match *turn % ROUND {
                    10 => set(container, limit_files(container)[0], SWAPPED as u64 / 2),
                    100 => burner.touch(),
                    _ => {}
                }
            }
            Self::Held { .. } | Self::Cache(_) => {}
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Self::Cache(reader) = self {
            drop(reader.kill());
            drop(reader.wait());
        }
    }
}

/// Decisions by action and outcome, as `/metrics` counts them.
fn decided(agent: &Agent) -> BTreeMap<(String, String), u64> {
    let page = agent.send("GET", "/metrics", "").body;
    let label = |line: &str, name: &str| line.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned();
    let lines = page.lines().filter(|line| line.starts_with("headroom_decisions_total{"));
    let count = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    lines.map(|line| ((label(line, "action"), label(line, "outcome")), count(line) as u64)).collect()
}

/// For how long nobody in the container could go on for want of memory, in µs; `None` where the kernel does not say.
fn stalled_us(container: &TestCgroup) -> Option<u64> {
    let root = container.hierarchies().unified_root()?;
    let text = fs::read_to_string(root.join(container.path().as_str()).join("memory.pressure")).ok()?;
    let full = text.lines().find_map(|line| line.strip_prefix("full "))?;
    full.split("total=").nth(1)?.trim().parse().ok()
}

#[test]
fn a_thousand_lowerings_kill_and_stall_nothing() {
    // Where there is no swap, or little.
    lowerings("squeeze", &[("held", 4), ("grows", 4), ("cache", 1)], Path::new(BINARY), |done, began| {
        done >= LOWERINGS || (began.elapsed() > WHILE && done >= LOWERINGS / 10)
    });
}

#[test]
#[ignore = "swaps on a disk, which only a guest has for that: cargo xtask test runs it there"]
fn swapped_a_thousand_lowerings_kill_and_stall_nothing() {
    let disk = Disk::guests();
    let file = disk.file("read");
    done(Command::new("dd").args(["if=/dev/zero", "bs=1M", "count=48"]).arg(format!("of={}", file.display())));
    let swap = Swap::on(&disk);
    lowerings("swapped", &[("held", 8), ("grows", 3), ("cache", 1), ("swaps", 1)], &file, |done, began| {
        done >= LOWERINGS || (began.elapsed() > 10 * WHILE && done >= LOWERINGS / 4)
    });
    drop(swap);
}

/// A file that the machine swaps to until this is dropped.
struct Swap(PathBuf);

impl Swap {
    fn on(disk: &Disk) -> Self {
        let file = disk.file("swap");
        done(Command::new("dd").args(["if=/dev/zero", "bs=1M", "count=128"]).arg(format!("of={}", file.display())));
        done(Command::new("chmod").arg("600").arg(&file));
        done(Command::new("mkswap").arg(&file));
        done(Command::new("swapon").arg(&file));
        Self(file)
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        let off = Command::new("swapoff").arg(&self.0).status();
        assert!(off.is_ok_and(|status| status.success()) || thread::panicking(), "{} stays in use", self.0.display());
    }
}

/// Has an agent lower limits until there were enough, then looks at what is left alone.
fn lowerings(tag: &'static str, kinds: &[(&str, usize)], file: &Path, enough: impl Fn(u64, Instant) -> bool) {
    let bed = Bed::new(tag);
    let names: Vec<_> = kinds.iter().flat_map(|(kind, each)| (0..*each).map(move |n| (format!("{kind}{n}"), *kind))).collect();
    let containers: Vec<_> = names.iter().map(|(name, _)| bed.container(name)).collect();
    let inside = |(container, (_, kind)): (&TestCgroup, &(String, &str))| Inside::new(container, kind, file);
    let mut insides: Vec<_> = containers.iter().zip(&names).map(inside).collect();
    let mut config = config(&bed, 400);
    config.set("scaler", "on_foreign_change", "'adopt'");
    let agent = bed.run(&config);
    // All in one look: each takes an emulated machine seconds.
    agent.until("all are guarded", |agent| {
        agent.status()["containers"].as_array().unwrap().iter().filter(|container| container["guard"] == "on").count()
            == names.len()
    });

    let undone = |decided: &BTreeMap<(String, String), u64>| -> u64 {
        decided.iter().filter(|((_, outcome), _)| outcome == "failed" || outcome == "refused").map(|(_, count)| count).sum()
    };
    let lowered = |decided: &BTreeMap<_, u64>| decided.get(&("MemRescaleDown".to_owned(), "applied".to_owned())).copied();
    let (begun, mut unexplained) = (Instant::now(), Vec::new());
    let (mut most_cache, mut most_swapped, mut counts) = (0.0_f64, 0, BTreeMap::new());
    for turn in 0.. {
        assert!(begun.elapsed() < 20 * WHILE, "{counts:?}");
        for (container, inside) in containers.iter().zip(&mut insides) {
            inside.step(container);
            if limit(container).is_some_and(|now| now < RAISED - BOUNDARY) && inside.may_be_raised() {
                set(container, limit_files(container)[0], RAISED);
            }
            match inside {
                Inside::Cache(_) => {
                    let memory = container.memory().unwrap();
                    most_cache = most_cache.max(memory.current_mib - memory.usage_mib);
                }
                Inside::Swaps { .. } => {
                    let swapped: u64 = read(container, Controller::Memory, "memory.swap.current").parse().unwrap();
                    most_swapped = most_swapped.max(swapped / MIB);
                }
                Inside::Held { .. } | Inside::Grows { .. } => {}
            }
        }
        thread::sleep(Duration::from_millis(40));
        if turn % 30 == 0 {
            let before = std::mem::replace(&mut counts, decided(&agent));
            // Looked at only where there are more of them: an emulated machine takes seconds for it.
            if undone(&counts) > undone(&before) {
                let all = agent.get("/decisions?limit=1000");
                let undone = all.as_array().unwrap().iter().filter(|d| d["outcome"] == "failed" || d["outcome"] == "refused");
                unexplained.extend(undone.filter(|d| !explains(d["detail"].as_str().unwrap_or_default())).cloned());
            }
            if enough(lowered(&counts).unwrap_or(0), begun) {
                break;
            }
        }
    }
    eprintln!("decided in {:?}: {counts:?}", begun.elapsed());
    eprintln!("at most {most_cache:.0} MiB of page cache, {most_swapped} MiB on swap");
    assert_eq!(unexplained, Vec::<serde_json::Value>::new());
    assert!(most_cache > 16.0, "the readers' files were cached: {most_cache} MiB");
    let swaps = kinds.iter().any(|(kind, _)| *kind == "swaps");
    assert!(!swaps || most_swapped > SWAPPED as u64 / 4, "something was on swap: {most_swapped} MiB");

    // Left alone, what moves is within its limit, and goes on.
    // What was wanted back from swap just now takes an emulated disk seconds.
    thread::sleep(Duration::from_secs(if swaps { 30 } else { 1 }));
    let before: Vec<_> = containers.iter().map(stalled_us).collect();
    thread::sleep(Duration::from_secs(2));
    for ((container, (name, kind)), before) in containers.iter().zip(&names).zip(before) {
        let memory = container.memory().unwrap();
        assert_eq!(memory.oom_kills, Some(0), "{name}");
        assert!(!container.processes().unwrap().is_empty(), "{name} lives");
        let now = limit(container).unwrap();
        assert!(memory.usage_mib < now as f64 && now < RAISED, "{name}: {memory:?} under {now}");
        let stalled = stalled_us(container).zip(before).map(|(now, before)| now - before);
        eprintln!("{name}: {:.0} MiB under {now}, stalled for {stalled:?} µs of 2 s", memory.usage_mib);
        // A reader of more than its limit waits for what it reads, by its own doing.
        assert!(*kind == "cache" || stalled.is_none_or(|us| us < 200_000), "{name} stalls: {stalled:?} µs of 2 s");
        assert!(!swaps || stalled.is_some(), "the kernel says nothing of stalls");
    }
    drop(agent);
    // What runs in them may read from a disk that is to be unmounted.
    containers.iter().for_each(TestCgroup::remove);
}

/// Why a memory limit was not set, in words that say what was in the way.
fn explains(detail: &str) -> bool {
    // The last: this test set the limit between the agent's write and its look at it.
    ["MiB in use", "is gone", "has no memory", "does something else set it too?"].iter().any(|reason| detail.contains(reason))
}

/// What is found, hard, and too small for what is to come, in MiB.
const FOUND: u64 = 72;

/// A container that used more than it was found with, and an agent that has raised the hard limit for it, to `max`, 300.
fn raised(bed: &Bed, config: &Config) -> (TestCgroup, Agent) {
    let container = bed.container("cont0");
    let [_, hard] = limit_files(&container);
    set(&container, hard, FOUND);
    let agent = bed.run(config);
    agent.until_guarded("cont0");
    let mut burner = container.burn(0, 0.0);
    // Never past the limit that stands, as one that wants to live has to on v1.
    for step in 1..=20 {
        burner.hold(8);
        let wanted = (8 * step + BOUNDARY).min(160);
        agent.until(&format!("{wanted} MiB are allowed"), |_| limit(&container).is_some_and(|now| now >= wanted));
    }
    agent.until("all of it is held", |_| container.memory().unwrap().usage_mib > 160.0);
    let now = limit(&container).unwrap();
    match version(&container, Controller::Memory) {
        // The one limit that there is moves itself.
        Version::V1 => assert!(hard_limit(&container) >= now),
        Version::V2 => assert_eq!(hard_limit(&container), 300, "it is at the structure's max, and stays there"),
    }
    drop(burner);
    agent.until("it has come down", |_| limit(&container).is_some_and(|now| now < 100));
    assert_eq!(container.memory().unwrap().oom_kills, Some(0));
    (container, agent)
}

fn hard_limit(container: &TestCgroup) -> u64 {
    read(container, Controller::Memory, limit_files(container)[1]).parse::<u64>().unwrap() / MIB
}

/// It goes out of the way and comes back, also where another `max` was said since.
#[test]
fn a_hard_limit_in_the_way_is_raised_and_put_back() {
    let bed = Bed::new("hard");
    let [mut before, mut after] = [300, 280].map(|max| config(&bed, max));
    let (container, mut agent) = raised(&bed, before.set("agent", "restore_on_exit", "true"));
    after.set("agent", "restore_on_exit", "true").write();
    agent.signal(Signal::SIGHUP);
    agent.until("it has another max", |_| bed.records()["cont0"]["resources"]["mem"]["max"] == 280.0);
    agent.end();
    assert_eq!(hard_limit(&container), FOUND);
    assert_eq!(container.memory().unwrap().oom_kills, Some(0));
}

/// And where nothing asks for it any more.
#[test]
fn a_hard_limit_that_was_raised_is_put_back_by_release() {
    let bed = Bed::new("hard2");
    let mut config = config(&bed, 300);
    let (container, mut agent) = raised(&bed, &config);
    config.guard_nothing().write();
    agent.signal(Signal::SIGHUP);
    agent.until("it is guarded no more", |agent| agent.container("cont0")["guard"] == "off");
    agent.end();
    assert_ne!(hard_limit(&container), FOUND);
    let released = bed.release(&[]);
    assert!(released.status.success(), "{}", String::from_utf8_lossy(&released.stdout));
    assert_eq!(hard_limit(&container), FOUND);
}
