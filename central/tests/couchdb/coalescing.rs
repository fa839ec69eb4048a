//! How much central writes to CouchDB when much changes.

use std::time::{Duration, Instant};

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use serde_json::json;

use super::*;
use crate::bed::{Agent, until};
use crate::proxy::Proxy;

/// Containers whose limits all change all the time; more than a second's worth of documents.
const CONTAINERS: usize = 1000;

/// The most documents of a bulk.
const MOST: u64 = 400;

#[test]
fn limits_that_change_all_the_time_are_a_bulk_a_second_and_in_the_end_all_there() {
    let (databases, directory) = (Databases::new(), tempfile::tempdir().unwrap());
    let proxy = Proxy::before(&databases.settings.url);
    let central = Central::start(directory.path(), &format!("store = 'couchdb'\n{}", settings_at(&databases, &proxy.url())));
    central.put("/service/structures_snapshoter/POLLING_FREQUENCY", &json!({"value": 0.2}));
    let names: Vec<String> = (0..CONTAINERS).map(|n| format!("cont{n}")).collect();
    let containers: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    let mut agent = Agent::start("host0");
    let mut report = |current: f64| {
        let mut report = agent.next(&containers);
        for container in &mut report.containers {
            if let Some(cpu) = &mut container.resources.known[Resource::Cpu] {
                (cpu.current, cpu.effective) = (Limit::At(current), Limit::At(current));
            }
        }
        central.report(&report);
    };
    report(100.0);
    let sequence = || -> u64 {
        let (_, info) = databases.curl("GET", "structures", None);
        info["update_seq"].as_str().unwrap().split('-').next().unwrap().parse().unwrap()
    };
    let settled = |current: f64| {
        let (_, all) = databases.curl("GET", "structures/_all_docs?include_docs=true", None);
        let containers = all["rows"].as_array().unwrap().iter().filter(|row| row["doc"]["subtype"] == "container");
        containers.filter(|row| row["doc"]["resources"]["cpu"]["current"].as_f64() == Some(current)).count()
    };
    let before = (sequence(), proxy.count("structures/_bulk_docs"), Instant::now());
    let mut current: u32 = 100;
    while before.2.elapsed() < Duration::from_secs(5) {
        current += 1;
        report(f64::from(current));
        std::thread::sleep(Duration::from_millis(100));
    }
    let (documents, bulks) = (sequence() - before.0, proxy.count("structures/_bulk_docs") - before.1);
    // One may have begun before, and one ends after.
    let seconds = before.2.elapsed().as_secs() + 2;
    assert!(bulks <= usize::try_from(seconds).unwrap(), "{bulks} bulks within {seconds} s");
    assert!(documents <= seconds * MOST && documents >= MOST, "{documents} documents within {seconds} s");
    until("all are there", || {
        // A host that is quiet is left out.
        report(f64::from(current));
        settled(f64::from(current)) == CONTAINERS
    });
    // What does not change is not written.
    let after = sequence();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(sequence(), after);
}
