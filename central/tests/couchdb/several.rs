//! Several centrals on one CouchDB, with agents that are played.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::bed::{Agent, until};
use crate::proxy::{Fault, Proxy};

/// The settings of a central that others stand beside; `more` stands before its tables.
fn beside(databases: &Databases<'_>, url: &str, more: &str) -> String {
    format!("store = 'couchdb'\nquiet_after = '2s'\n{more}\n{}", settings_at(databases, url))
}

struct Bed {
    databases: Databases<'static>,
    proxies: Vec<Proxy>,
    centrals: Vec<Central>,
    _directories: Vec<TempDir>,
}

impl Bed {
    /// Each has a way of its own to CouchDB. They know of each other.
    fn of(count: usize) -> Self {
        let databases = Databases::new();
        let (mut proxies, mut centrals, mut directories) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let (proxy, directory) = (Proxy::before(&databases.settings.url), tempfile::tempdir().unwrap());
            centrals.push(Central::start(directory.path(), &beside(&databases, &proxy.url(), "")));
            proxies.push(proxy);
            directories.push(directory);
        }
        let bed = Self { databases, proxies, centrals, _directories: directories };
        for central in &bed.centrals {
            until("they know of each other", || central.get("/fleet")["centrals"].as_array().unwrap().len() == count);
        }
        bed
    }

    /// Which of them holds a lease, as a central says, and its fencing number.
    fn holder(&self, of: &Central, lease: &str) -> Option<(usize, u64)> {
        let fleet = of.get("/fleet");
        let lease = &fleet["leases"][lease];
        let central = fleet["centrals"].as_array().unwrap().iter().find(|central| central["id"] == lease["central"])?;
        let place = self.centrals.iter().position(|c| central["url"] == c.url.as_str())?;
        Some((place, lease["fence"].as_u64().unwrap()))
    }
}

fn signal(central: &Central, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(central.pid()).unwrap()), signal).unwrap();
}

/// A report that may be refused.
fn send(central: &Central, report: &headroom_model::wire::Report) -> (u16, String) {
    let path = format!("/agent/report?sent_at={}", report.at);
    central.send("POST", &path, None, &serde_json::to_string(report).unwrap())
}

fn usage(central: &Central, structure: &str) -> Value {
    central.get(&format!("/structure/{structure}"))["resources"]["cpu"]["usage"].clone()
}

/// In share-seconds.
fn used(central: &Central) -> String {
    let bill = central.get("/accounting?structure=cont0");
    format!("{:.2}", bill["resources"]["cpu"]["used"].as_f64().unwrap_or_default() * 3600.0)
}

#[test]
fn any_central_answers_for_all_of_them() {
    let bed = Bed::of(3);
    let mut agents = [Agent::start("host0"), Agent::start("host1")];
    bed.centrals[0].report(&agents[0].next(&[("cont0", 1.0)]));
    bed.centrals[1].report(&agents[1].next(&[("cont1", 1.0)]));
    until("documents are everywhere", || {
        bed.centrals.iter().all(|central| central.send("GET", "/structure/cont1", None, "").0 == 200)
    });
    bed.centrals[2].put(
        "/structure/apps/app1",
        &json!({"app": {"name": "app1", "guard": false, "subtype": "application",
            "resources": {"cpu": {"max": 400, "min": 0, "guard": false}, "mem": {"max": 8192, "min": 0, "guard": false}}},
            "limits": {"resources": {"cpu": {"boundary": 20}, "mem": {"boundary": 256}}}}),
    );
    bed.centrals[2].put("/structure/container/cont0/app1", &Value::Null);
    bed.centrals[2].put("/structure/container/cont1/app1", &Value::Null);
    bed.centrals[2].put("/service/refeeder/WINDOW_TIMELAPSE", &json!({"value": 0.2}));
    for central in &bed.centrals {
        until("what agents report is known, and its sum", || {
            // Hosts that do not report are quiet soon.
            bed.centrals[0].report(&agents[0].next(&[("cont0", 1.0)]));
            bed.centrals[1].report(&agents[1].next(&[("cont1", 1.0)]));
            [usage(central, "cont0"), usage(central, "cont1"), usage(central, "app1")] == [json!(12.5), json!(12.5), json!(25)]
        });
        let fleet = central.get("/fleet");
        let of = |n: usize| fleet["hosts"][n]["central"].clone();
        let at = |url: &str| fleet["centrals"].as_array().unwrap().iter().find(|c| c["url"] == url).unwrap()["id"].clone();
        assert_eq!([of(0), of(1)], [at(&bed.centrals[0].url), at(&bed.centrals[1].url)]);
    }
    // What is set at one is an order at another.
    bed.centrals[2].put("/structure/cont0/resources/cpu/max", &json!({"value": 150}));
    until("it is an order", || {
        let orders = bed.centrals[0].get("/agent/orders?host=host0&instance=agent%20of%20host0");
        orders["structures"][0]["resources"]["cpu"]["max"] == json!(150)
    });
    // One writes the totals, and they show under which lease.
    let app = || bed.databases.curl("GET", "structures/app1", None).1;
    until("the totals are written", || app()["resources"]["cpu"]["current"].is_number());
    let (_, fence) = bed.holder(&bed.centrals[0], "structures_snapshoter").unwrap();
    assert_eq!(app()["fences"]["structures_snapshoter"], json!(fence));
    // Who did it is known everywhere.
    for central in &bed.centrals {
        assert!(central.get("/decisions?structure=cont0").to_string().contains("max"), "{}", central.get("/decisions"));
    }
}

#[test]
fn limits_are_set_at_once_by_way_of_the_central_that_the_agent_asks() {
    let bed = Bed::of(2);
    let mut agent = Agent::start("host0");
    bed.centrals[0].report(&agent.next(&[("cont0", 1.0)]));
    until("the other one knows it", || bed.centrals[1].get("/fleet")["hosts"].as_array().is_some_and(|hosts| hosts.len() == 1));
    std::thread::scope(|scope| {
        let reset = scope.spawn(|| bed.centrals[1].send("PUT", "/structure/cont0/reset", None, ""));
        let mut sets = Value::Null;
        until("the agent is told", || {
            sets = bed.centrals[0].get("/agent/orders?host=host0&instance=agent%20of%20host0")["sets"].clone();
            sets.as_array().is_some_and(|sets| sets.len() == 2)
        });
        let mut report = agent.next(&[("cont0", 1.0)]);
        let done = |set: &Value| headroom_model::wire::SetDone { id: set["id"].as_u64().unwrap(), error: None };
        report.sets = sets.as_array().unwrap().iter().map(done).collect();
        bed.centrals[0].report(&report);
        assert_eq!(reset.join().unwrap(), (201, "201".to_owned()));
    });
}

#[test]
fn a_host_is_one_agents_at_all_of_them() {
    let bed = Bed::of(2);
    let [mut first, mut second] = [Agent::start("host0"), Agent::start("host0")];
    bed.centrals[0].report(&first.next(&[("cont0", 1.0)]));
    let mut others = second.next(&[("cont0", 1.0)]);
    others.instance = "another".into();
    let (status, why) = send(&bed.centrals[1], &others);
    assert!(status == 409 && why.contains("another agent (instance agent of host0)"), "{status} {why}");
    // It takes its claim along.
    bed.centrals[1].report(&first.next(&[("cont0", 2.0)]));
    until("who comes back is known", || send(&bed.centrals[0], &others).0 == 409);
    bed.centrals[0].report(&first.next(&[("cont0", 3.0)]));
    until("the name is free when the first is quiet", || send(&bed.centrals[1], &others).0 == 200);
    assert_eq!(send(&bed.centrals[0], &first.next(&[("cont0", 4.0)])).0, 409);
}

#[test]
fn an_agent_that_moves_is_billed_once_and_a_killed_central_takes_no_accounts_along() {
    let mut bed = Bed::of(3);
    let mut agent = Agent::start("host0");
    let mut report = |central: &Central, amount: f64| central.report(&agent.next(&[("cont0", amount)]));
    let all = |bed: &Bed, amount: f64| {
        for central in &bed.centrals {
            // Were it too much, it would never be right again.
            until("the amounts are known everywhere", || used(central) == format!("{amount:.2}"));
        }
    };
    report(&bed.centrals[0], 100.0);
    report(&bed.centrals[0], 250.0);
    all(&bed, 250.0);
    // There and back, and to one that did not hear of it yet.
    report(&bed.centrals[1], 300.0);
    report(&bed.centrals[0], 320.0);
    report(&bed.centrals[2], 400.0);
    all(&bed, 400.0);
    bed.centrals.remove(2).kill9();
    report(&bed.centrals[1], 450.0);
    all(&bed, 450.0);
    bed.centrals.remove(0).kill9();
    all(&bed, 450.0);
    report(&bed.centrals[0], 500.0);
    all(&bed, 500.0);
}

#[test]
fn one_that_is_cut_off_sends_agents_away_and_comes_back() {
    let bed = Bed::of(2);
    let mut agent = Agent::start("host0");
    bed.centrals[0].report(&agent.next(&[("cont0", 1.0)]));
    until("the other one knows it", || bed.centrals[1].get("/fleet")["hosts"].as_array().is_some_and(|hosts| hosts.len() == 1));
    bed.proxies[0].breaks(Fault::Refused, "/");
    // An agent that waits is told at once.
    let (status, why) = {
        let mut orders = (0, String::new());
        until("it sends agents away", || {
            let revision: Value = match serde_json::from_str(&orders.1) {
                Ok(Value::Object(orders)) => orders.get("revision").cloned().unwrap_or_default(),
                _ => Value::Null,
            };
            let after = revision.as_str().unwrap_or_default();
            let path = format!("/agent/orders?host=host0&instance=agent%20of%20host0&wait=60&after={after}");
            orders = bed.centrals[0].send("GET", &path, None, "");
            orders.0 != 200
        });
        orders
    };
    assert!(status == 503 && why.contains("lost touch with the State Database"), "{status} {why}");
    let report = agent.next(&[("cont0", 2.0)]);
    assert_eq!(send(&bed.centrals[0], &report).0, 503);
    bed.centrals[1].report(&report);
    assert_eq!(used(&bed.centrals[1]), "2.00");
    until("it still answers for all of them", || used(&bed.centrals[0]) == "2.00");
    until("the other one has everything", || bed.holder(&bed.centrals[1], "refeeder").is_some_and(|(place, _)| place == 1));
    bed.proxies[0].heals();
    until("it takes reports again", || send(&bed.centrals[0], &agent.next(&[("cont0", 3.0)])).0 == 200);
    until("both are there", || bed.centrals[1].get("/fleet")["centrals"].as_array().unwrap().len() == 2);
}

#[test]
fn where_all_are_cut_off_reports_are_taken_all_the_same() {
    let bed = Bed::of(2);
    let mut agent = Agent::start("host0");
    bed.centrals[0].report(&agent.next(&[("cont0", 1.0)]));
    for proxy in &bed.proxies {
        proxy.breaks(Fault::Refused, "/");
    }
    until("CouchDB's absence is noticed", || !bed.centrals[0].get("/fleet")["store"].as_array().unwrap().is_empty());
    // For a while each takes the other for the better one.
    std::thread::sleep(std::time::Duration::from_secs(6));
    until("the report is taken", || send(&bed.centrals[0], &agent.next(&[("cont0", 2.0)])).0 == 200);
    assert_eq!(used(&bed.centrals[0]), "2.00");
}

#[test]
fn one_that_was_held_up_past_its_lease_does_no_harm() {
    let bed = Bed::of(2);
    until("somebody holds it", || bed.holder(&bed.centrals[0], "refeeder").is_some());
    let (first, before) = bed.holder(&bed.centrals[0], "refeeder").unwrap();
    let (held_up, other) = (&bed.centrals[first], &bed.centrals[1 - first]);
    other.put("/service/refeeder/WINDOW_TIMELAPSE", &json!({"value": 0.1}));
    let mut agent = Agent::start("host0");
    other.report(&agent.next(&[("cont0", 1.0)]));
    signal(held_up, Signal::SIGSTOP);
    until("the other one holds it", || bed.holder(other, "refeeder").is_some_and(|(place, _)| place == 1 - first));
    let (_, fence) = bed.holder(other, "refeeder").unwrap();
    assert!(fence > before);
    let heartbeat = || bed.databases.curl("GET", "services/refeeder", None).1["heartbeat"].as_f64().unwrap_or_default();
    let at = heartbeat();
    until("it does what the first did", || heartbeat() > at);
    signal(held_up, Signal::SIGCONT);
    for _ in 0..2 {
        until("both are there, and it stays where it is", || {
            let there = |central: &Central| central.get("/fleet")["centrals"].as_array().unwrap().len() == 2;
            let stays = |central: &Central| bed.holder(central, "refeeder") == Some((1 - first, fence));
            bed.centrals.iter().all(|central| there(central) && stays(central))
        });
        let at = heartbeat();
        until("it is done", || heartbeat() > at);
    }
    other.report(&agent.next(&[("cont0", 2.0)]));
    until("it knows what it missed", || used(held_up) == "2.00");
}

#[test]
fn one_that_ends_in_order_leaves_everything_to_the_others_at_once() {
    let mut bed = Bed::of(2);
    until("somebody holds it", || bed.holder(&bed.centrals[0], "refeeder").is_some());
    let (first, before) = bed.holder(&bed.centrals[0], "refeeder").unwrap();
    bed.centrals.remove(first).end();
    until("the other one holds it", || bed.holder(&bed.centrals[0], "refeeder").is_some_and(|(_, fence)| fence > before));
    assert_eq!(bed.centrals[0].get("/fleet")["centrals"].as_array().unwrap().len(), 1);
}
