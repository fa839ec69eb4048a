//! Faults between central and CouchDB: nothing that was answered is lost, nothing is written twice, and `/fleet` says what is wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::bed::{Agent, until};
use crate::proxy::{Fault, Proxy};

const BULK: &str = "_bulk_docs";
const EVERYTHING: &str = "/";

struct Bed {
    databases: Databases<'static>,
    proxy: Proxy,
    central: Central,
    _directory: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let (databases, directory) = (Databases::new(), tempfile::tempdir().unwrap());
        let proxy = Proxy::before(&databases.settings.url);
        let central = Central::start(directory.path(), &format!("store = 'couchdb'\n{}", settings_at(&databases, &proxy.url())));
        Self { databases, proxy, central, _directory: directory }
    }

    fn put(&self, amount: u64) -> (u16, String) {
        self.central.send("PUT", "/rule/CpuRescaleUp/amount", None, &json!({"value": amount}).to_string())
    }

    /// What CouchDB has, and how often it was written.
    fn stored(&self, rule: &str) -> (Value, u64) {
        let (_, rule) = self.databases.curl("GET", &format!("rules/{rule}"), None);
        let generation = rule["_rev"].as_str().unwrap().split('-').next().unwrap().parse().unwrap();
        (rule["amount"].clone(), generation)
    }

    fn troubles(&self) -> Vec<String> {
        let troubles = self.central.get("/fleet")["store"].as_array().unwrap().clone();
        troubles.iter().map(|of| format!("{}: {}", of["what"].as_str().unwrap(), of["why"].as_str().unwrap())).collect()
    }

    fn says(&self, what: &str) {
        until(&format!("/fleet says {what:?}"), || self.troubles().iter().any(|trouble| trouble.contains(what)));
    }

    /// After which everything is as if nothing had been.
    fn recovers(&self, amount: u64) {
        self.proxy.heals();
        until("a change is made again", || self.put(amount).0 == 201);
        assert_eq!(self.stored("CpuRescaleUp").0, json!(amount));
        edit(&self.databases, "rules/CpuRescaleDown", |rule| rule["amount"] = json!(amount));
        until("what others change is known", || self.central.get("/rule/CpuRescaleDown")["amount"] == json!(amount));
        until("nothing is wrong any more", || self.troubles().is_empty());
    }
}

#[test]
fn what_happens_once_is_not_even_seen() {
    let bed = Bed::new();
    let before = bed.stored("CpuRescaleUp").1;
    let faults = [Fault::CutBefore, Fault::CutAfter, Fault::Half, Fault::Status(500), Fault::Status(503)];
    for (n, fault) in (1..).zip(faults) {
        bed.proxy.breaks_times(fault, "rules/_bulk_docs", 1);
        assert_eq!(bed.put(100 + n), (201, "201".to_owned()), "{fault:?}");
        assert_eq!(bed.stored("CpuRescaleUp"), (json!(100 + n), before + n), "{fault:?}: once");
    }
    bed.recovers(99);
}

#[test]
fn what_is_not_known_is_said_so() {
    let bed = Bed::new();
    let before = bed.stored("CpuRescaleUp").1;
    bed.proxy.breaks(Fault::CutAfter, BULK);
    let (status, said) = bed.put(101);
    assert!(status == 503 && said.contains("not known"), "{status} {said}");
    bed.says("writing: ");
    assert_eq!(bed.stored("CpuRescaleUp"), (json!(101), before + 1), "however often it was sent");
    // The feed works, and tells of it.
    until("what was written is known", || bed.central.get("/rule/CpuRescaleUp")["amount"] == json!(101));
    bed.recovers(102);
}

#[test]
fn what_is_not_there_is_said_at_once() {
    let bed = Bed::new();
    let before = bed.stored("CpuRescaleUp");
    bed.proxy.breaks(Fault::Refused, EVERYTHING);
    until("connections that were open are gone", || {
        let (status, said) = bed.put(101);
        assert_eq!(status, 503, "{said}");
        said.contains("the change was not made")
    });
    bed.says("writing: ");
    bed.says("the feed of rules: ");
    assert!(bed.central.get("/rule/CpuRescaleUp")["amount"].is_number(), "looking needs no CouchDB");
    assert_eq!(bed.stored("CpuRescaleUp"), before);
    bed.recovers(102);
}

#[test]
fn what_is_slow_is_waited_for_and_said() {
    let bed = Bed::new();
    bed.proxy.breaks(Fault::Slow(Duration::from_millis(1500)), EVERYTHING);
    assert_eq!(bed.put(101).0, 201);
    bed.says("the time that answers take: writing took");
    assert_eq!(bed.stored("CpuRescaleUp").0, json!(101));
    bed.recovers(102);
}

#[test]
fn what_is_too_large_hinders_no_other() {
    let bed = Bed::new();
    let before = bed.stored("CpuRescaleUp");
    bed.proxy.breaks(Fault::Status(413), "rules/_bulk_docs");
    let (status, said) = bed.put(101);
    assert!(status == 400 && said.contains("413"), "{status} {said}");
    assert_eq!(bed.stored("CpuRescaleUp"), before);
    bed.central.put("/service/guardian/ACTIVE", &json!({"value": false}));
    bed.recovers(102);
}

#[test]
fn who_is_not_let_in_does_not_knock_again_and_again() {
    let bed = Bed::new();
    let before = bed.stored("CpuRescaleUp");
    bed.proxy.breaks(Fault::Status(401), EVERYTHING);
    for _ in 0..5 {
        let (status, said) = bed.put(101);
        assert!(status == 503 && said.contains("not tried again for") && !said.contains("right"), "{status} {said}");
    }
    bed.says("not tried again for");
    assert_eq!(bed.stored("CpuRescaleUp"), before);
    // The same password in a file that was written anew is another try.
    let file = bed.databases.settings.credentials_file.clone().unwrap();
    let credentials = std::fs::read_to_string(&file).unwrap();
    bed.proxy.heals();
    assert_eq!(bed.put(101).0, 503, "still not tried");
    std::fs::write(&file, credentials + "\n").unwrap();
    bed.recovers(102);
}

#[test]
fn a_feed_that_ends_or_stalls_is_asked_again() {
    let bed = Bed::new();
    bed.proxy.breaks(Fault::Ends, "_changes");
    // Questions that were asked before end when there is news.
    for amount in [71, 72, 73] {
        edit(&bed.databases, "rules/CpuRescaleDown", |rule| rule["amount"] = json!(amount));
        until("it is known", || bed.central.get("/rule/CpuRescaleDown")["amount"] == json!(amount));
    }
    bed.proxy.breaks(Fault::Stalls, "_changes");
    edit(&bed.databases, "rules/CpuRescaleDown", |rule| rule["amount"] = json!(74));
    bed.says("the feed of rules: ");
    // Nothing but the feed is away.
    assert_eq!(bed.put(101).0, 201);
    bed.recovers(102);
}

#[test]
fn another_writer_who_is_always_faster_takes_nothing_away() {
    let bed = Bed::new();
    let (ended, written) = (AtomicBool::new(false), Mutex::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                let next = *written.lock().unwrap() + 1;
                edit(&bed.databases, "rules/CpuRescaleUp", |rule| rule["theirs"] = json!(next));
                *written.lock().unwrap() = next;
            }
        });
        for amount in 200..240 {
            assert_eq!(bed.put(amount).0, 201);
        }
        ended.store(true, Ordering::SeqCst);
    });
    let (_, rule) = bed.databases.curl("GET", "rules/CpuRescaleUp", None);
    assert_eq!((&rule["amount"], &rule["theirs"]), (&json!(239), &json!(*written.lock().unwrap())), "both are there");
}

#[test]
fn through_all_of_it_nothing_that_was_answered_is_lost() {
    let bed = Bed::new();
    let rules = ["CpuRescaleUp", "MemRescaleUp"];
    let pid = bed.central.pid();
    let memory = || -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    let start = memory();
    let ended = AtomicBool::new(false);
    let mut agent = Agent::start("host0");
    let outcomes = std::thread::scope(|scope| {
        let (bed, ended) = (&bed, &ended);
        let writers = rules.map(|rule| {
            scope.spawn(move || {
                // What was answered last, and what may have been written since.
                let (mut answered, mut perhaps) = (None, Vec::new());
                for n in 1_u64.. {
                    if ended.load(Ordering::SeqCst) {
                        break;
                    }
                    let path = format!("/rule/{rule}/amount");
                    let amount = json!(n);
                    match bed.central.send("PUT", &path, None, &json!({"value": amount}).to_string()) {
                        (201, _) => (answered, perhaps) = (Some(amount), Vec::new()),
                        (503, _) => perhaps.push(amount),
                        other => panic!("{other:?}"),
                    }
                }
                (rule, answered, perhaps)
            })
        });
        let faults = [
            Fault::CutBefore,
            Fault::CutAfter,
            Fault::Half,
            Fault::Refused,
            Fault::Status(500),
            Fault::Slow(Duration::from_millis(300)),
        ];
        let began = Instant::now();
        for (n, fault) in faults.iter().cycle().take(24).enumerate() {
            if n % 3 == 2 {
                bed.proxy.breaks_times(*fault, EVERYTHING, 3);
            } else {
                bed.proxy.breaks(*fault, BULK);
            }
            std::thread::sleep(Duration::from_millis(250));
            bed.proxy.heals();
            // Agents go on reporting.
            let report = agent.next(&[("cont0", began.elapsed().as_secs_f64())]);
            bed.central.send(
                "POST",
                &format!("/agent/report?sent_at={}", report.at),
                None,
                &serde_json::to_string(&report).unwrap(),
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        ended.store(true, Ordering::SeqCst);
        writers.map(|writer| writer.join().unwrap())
    });
    for (rule, answered, perhaps) in outcomes {
        let (stored, _) = bed.stored(rule);
        let answered = answered.unwrap_or_else(|| panic!("{rule}: never answered"));
        assert!(
            stored == answered || perhaps.contains(&stored),
            "{rule} is {stored}, answered was {answered}, perhaps {perhaps:?}"
        );
    }
    let grown = memory().saturating_sub(start);
    assert!(grown < 64 << 20, "{grown} bytes more");
    bed.recovers(55);
}
