//! How much central writes to CouchDB when much changes.

use std::time::{Duration, Instant};

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use serde_json::json;

use super::*;
use crate::bed::{Agent, until};
use crate::proxy::Proxy;

/// The most documents of a bulk.
const MOST: u64 = 450;

struct Bed {
    databases: Databases<'static>,
    proxy: Proxy,
    central: Central,
    agent: Agent,
    names: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Bed {
    /// With so many containers on one host: `cont0` and so on. Limits are written when agents tell of them, however seldom sums are
    /// looked at.
    fn of(containers: usize) -> Self {
        let (databases, directory) = (Databases::new(), tempfile::tempdir().unwrap());
        let proxy = Proxy::before(&databases.settings.url);
        let central = Central::start(directory.path(), &format!("store = 'couchdb'\n{}", settings_at(&databases, &proxy.url())));
        central.put("/service/structures_snapshoter/POLLING_FREQUENCY", &json!({"value": 3600}));
        let names = (0..containers).map(|n| format!("cont{n}")).collect();
        Self { databases, proxy, central, agent: Agent::start("host0"), names, _directory: directory }
    }

    /// A report in which each container has this limit.
    fn report(&mut self, limit: impl Fn(&str) -> f64) {
        let containers: Vec<(&str, f64)> = self.names.iter().map(|name| (name.as_str(), 1.0)).collect();
        let mut report = self.agent.next(&containers);
        for container in &mut report.containers {
            if let Some(cpu) = &mut container.resources.known[Resource::Cpu] {
                let limit = Limit::At(limit(&container.name));
                (cpu.current, cpu.effective) = (limit, limit);
            }
        }
        self.central.report(&report);
    }

    /// How many documents were written to `structures`, and in how many bulks.
    fn written(&self) -> (u64, usize) {
        let (_, info) = self.databases.curl("GET", "structures", None);
        let sequence = info["update_seq"].as_str().unwrap().split('-').next().unwrap().parse().unwrap();
        (sequence, self.proxy.count("structures/_bulk_docs"))
    }

    /// How many containers' documents have this limit.
    fn settled(&self, limit: f64) -> usize {
        let (_, all) = self.databases.curl("GET", "structures/_all_docs?include_docs=true", None);
        let containers = all["rows"].as_array().unwrap().iter().filter(|row| row["doc"]["subtype"] == "container");
        containers.filter(|row| row["doc"]["resources"]["cpu"]["current"].as_f64() == Some(limit)).count()
    }
}

#[test]
fn limits_that_change_all_the_time_are_a_bulk_a_second_and_in_the_end_all_there() {
    // More than a second's worth of documents.
    const CONTAINERS: usize = 1000;
    let mut bed = Bed::of(CONTAINERS);
    bed.report(|_| 100.0);
    let (before, began) = (bed.written(), Instant::now());
    let mut current = 100.0;
    while began.elapsed() < Duration::from_secs(5) {
        current += 1.0;
        bed.report(|_| current);
        std::thread::sleep(Duration::from_millis(100));
    }
    let after = bed.written();
    let (documents, bulks) = (after.0 - before.0, after.1 - before.1);
    // One may have begun before, and one ends after.
    let seconds = began.elapsed().as_secs() + 2;
    assert!(bulks <= usize::try_from(seconds).unwrap(), "{bulks} bulks within {seconds} s");
    assert!(documents <= seconds * MOST && documents >= MOST, "{documents} documents within {seconds} s");
    until("all are there", || {
        // A host that is quiet is left out.
        bed.report(|_| current);
        bed.settled(current) == CONTAINERS
    });
    // What does not change is not written.
    let after = bed.written();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(bed.written(), after);
}

#[test]
fn a_limit_that_changes_seldom_does_not_wait_for_those_that_change_all_the_time() {
    // Once around is six bulks.
    let mut bed = Bed::of(2500);
    let mut busy = 100.0;
    let mut report = |bed: &mut Bed, seldom: f64| {
        busy += 1.0;
        bed.report(|name| if name == "cont0" { seldom } else { busy });
    };
    report(&mut bed, 7.0);
    let (_, before) = bed.written();
    until("all others were written", || {
        report(&mut bed, 7.0);
        bed.written().1 >= before + 7
    });
    let (_, before) = bed.written();
    until("it is there", || {
        report(&mut bed, 8.0);
        bed.databases.curl("GET", "structures/cont0", None).1["resources"]["cpu"]["current"] == json!(8)
    });
    let (_, after) = bed.written();
    assert!(after - before <= 3, "it took {} bulks", after - before);
}
