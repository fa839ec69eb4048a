//! Several centrals beside each other on one CouchDB, with the agents spread over them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::couchdb::CouchDb;
use super::fleet::{Fleet, Load, Seen};
use super::probe::{Changes, Probe};
use super::service::Service;
use super::{FLEET, Options};
use crate::bench::{Built, Row, ground, median};

/// What it is called on the command line.
pub(in crate::bench) const NAME: &str = "centrals";

/// Of 30 containers that are reported every 5 s, one in twenty has another limit each second.
const LOAD: Load = Load::Living { moves: 0.25 };

/// How long centrals may take for anything.
const PATIENCE: Duration = Duration::from_mins(3);

pub(in crate::bench) fn run(built: &Built) -> Result<Vec<Row>> {
    let Options { centrals, .. } = &built.central;
    ensure!(centrals.iter().all(|centrals| *centrals > 0), "--centrals: expected numbers above 0");
    let mut rows = Vec::new();
    for agents in built.central.agents_or(&[FLEET.0])? {
        for &centrals in centrals {
            rows.extend(beside_each_other(built, centrals, agents)?);
        }
    }
    Ok(rows)
}

/// So many centrals for so many agents.
fn beside_each_other(built: &Built, count: usize, agents: usize) -> Result<Vec<Row>> {
    let (_, containers, interval) = FLEET;
    let (time, interval) = (built.central.time_or(1.0)?, Duration::from_secs(interval));
    eprintln!("bench: centrals: {count} for {agents} agents x {containers} containers, for {} s", time.as_secs());
    let couchdb = CouchDb::start()?;
    let start = |_| Service::start_in(built, ground::scratch()?, &couchdb.settings());
    let services: Vec<Service> = (0..count).map(start).collect::<Result<_>>()?;
    until("the centrals know each other", || Ok(services.iter().all(|service| is_among(service, count))))?;
    let addresses: Vec<SocketAddr> = services.iter().map(|service| service.address).collect();
    let fleet = Fleet::new(&addresses, agents, containers, interval)?;
    let began = Instant::now();
    let registered = fleet.register()?;
    let mut probe = Probe::new(&addresses, agents)?;
    // Its documents are the last ones, of which the feed tells last.
    until("all centrals have all documents", || Ok(services.iter().all(|service| service.get(&probe.path()).is_ok())))?;
    let spread = began.elapsed();
    fleet.load(2 * interval, LOAD)?;

    let (moved_on, before) = (fleet.moved_on()?, Used::of(&services, &couchdb)?);
    let (seen, changes) = under_load(&fleet, &mut probe, time)?;
    let moved_on = fleet.moved_on()? - moved_on;
    let used = before.until(&Used::of(&services, &couchdb)?);
    let resident = services.iter().map(|service| service.memory_mib("VmRSS")).collect::<Result<Vec<f64>>>()?;
    let expected = (agents * (containers + 1) + 2) as u64;
    let mut missing = expected.saturating_sub(couchdb.structures()?);
    for service in &services {
        missing += expected.saturating_sub(known(service)?);
    }
    for service in services {
        service.stop()?;
    }
    Ok(Run { count, agents, registered, spread, seen, moved_on, changes, used, resident, missing }.rows())
}

/// What was seen of so many centrals.
struct Run {
    count: usize,
    agents: usize,
    registered: Duration,
    spread: Duration,
    seen: Seen,
    /// How often agents were sent to another central.
    moved_on: usize,
    changes: Changes,
    used: Used,
    /// In MiB.
    resident: Vec<f64>,
    /// Documents of containers and hosts that are not there, and those that a central does not show.
    missing: u64,
}

impl Run {
    fn is_it(&self) -> bool {
        self.agents == FLEET.0
    }

    fn name(&self, what: &str) -> String {
        let centrals = if self.count == 1 { "central" } else { "centrals" };
        let agents = if self.is_it() { String::new() } else { format!(", {} agents", self.agents) };
        format!("{} {centrals}{agents}: {what}", self.count)
    }

    fn held(&self, limit: f64, what: &str, value: f64, unit: &'static str) -> Row {
        if self.is_it() { Row::at_most(limit, self.name(what), value, unit) } else { self.told(what, value, unit) }
    }

    fn told(&self, what: &str, value: f64, unit: &'static str) -> Row {
        Row::told(self.name(what), value, unit)
    }

    fn rows(&self) -> Vec<Row> {
        let Self { seen, changes, used, .. } = self;
        let lost = (seen.failed + self.missing) as f64;
        let worst = self.resident.iter().copied().fold(f64::NAN, f64::max);
        let written = used.written.iter().map(|(_, n)| n).sum::<f64>() / seen.seconds;
        let mut rows = vec![
            self.held(100.0, "report, p99", seen.percentile(0.99), "ms"),
            self.told("report, median", seen.percentile(0.5), "ms"),
            self.told("reports a second", seen.count() as f64 / seen.seconds, "reports"),
            self.told("changed limits a second that were reported", seen.moved as f64 / seen.seconds, "limits"),
            self.held(0.0, "reports not taken, containers and hosts that the store or a central does not know", lost, ""),
            self.told("agents sent to another central, since theirs had lost touch with the store", self.moved_on as f64, ""),
            self.held(150.0, "resident memory at the end, of the central that has most", worst, "MiB"),
            self.held(500.0, "documents written a second", written, ""),
            self.held(
                2000.0,
                "a change at one central until an agent of another has it, p99",
                percentile(&changes.in_force, 99),
                "ms",
            ),
            self.told("the same, median", median(changes.in_force.clone()), "ms"),
            self.told("the same, how many", changes.in_force.len() as f64, "changes"),
            self.told("of that until it is answered, p99", percentile(&changes.answered, 99), "ms"),
            self.told("of that until it is answered, median", median(changes.answered.clone()), "ms"),
            self.told("until all containers had documents", self.registered.as_secs_f64(), "s"),
            self.told("until each central had all of these", self.spread.as_secs_f64(), "s"),
        ];
        rows.extend(self.cpu());
        let kept = |(what, n): &(&'static str, f64)| {
            Row::kept(self.name(&format!("documents written a second to {what}")), n / seen.seconds, "")
        };
        rows.extend(used.written.iter().map(kept));
        rows
    }

    fn cpu(&self) -> Vec<Row> {
        let Self { seen, used, .. } = self;
        let percent = |cpu_s: f64| cpu_s / seen.seconds * 100.0;
        let mut rows = Vec::new();
        for (n, threads) in used.centrals.iter().enumerate() {
            let what = format!("CPU of the central {}, of one core", n + 1);
            rows.push(self.told(&what, percent(threads.values().sum()), "%"));
        }
        for thread in ["ledger", "series"] {
            let busiest = used.centrals.iter().filter_map(|threads| threads.get(thread)).copied().fold(f64::NAN, f64::max);
            rows.push(self.told(&format!("of that the thread {thread}, where it is busiest"), percent(busiest), "%"));
        }
        let all: f64 = used.centrals.iter().flat_map(BTreeMap::values).sum();
        rows.push(self.told("CPU time of all centrals, a report", all * 1e3 / seen.count() as f64, "ms"));
        rows.extend(used.store.map(|cpu_s| self.told("CPU of what stands for CouchDB, of one core", percent(cpu_s), "%")));
        rows
    }
}

/// The load, and changes beside it.
fn under_load(fleet: &Fleet, probe: &mut Probe, time: Duration) -> Result<(Seen, Changes)> {
    thread::scope(|scope| {
        let load = scope.spawn(|| fleet.load(time, LOAD));
        let changes = probe.changes(time);
        Ok((load.join().ok().context("the load has ended")??, changes?))
    })
}

/// What was used up to a moment, or between two: CPU time in s, and documents.
struct Used {
    /// By the names of their threads.
    centrals: Vec<BTreeMap<String, f64>>,
    store: Option<f64>,
    written: Vec<(&'static str, f64)>,
}

impl Used {
    fn of(services: &[Service], couchdb: &CouchDb) -> Result<Self> {
        let centrals = services.iter().map(Service::cpu_times).collect::<Result<_>>()?;
        let written = couchdb.written()?.into_iter().map(|(database, n)| (database, n as f64)).collect();
        Ok(Self { centrals, store: couchdb.cpu_s()?, written })
    }

    fn until(&self, later: &Self) -> Self {
        let of = |before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>| -> BTreeMap<String, f64> {
            after.iter().map(|(name, cpu_s)| (name.clone(), cpu_s - before.get(name).copied().unwrap_or(0.0))).collect()
        };
        let centrals = self.centrals.iter().zip(&later.centrals).map(|(before, after)| of(before, after)).collect();
        let written =
            self.written.iter().zip(&later.written).map(|((what, before), (_, after))| (*what, after - before)).collect();
        Self { centrals, store: self.store.zip(later.store).map(|(before, after)| after - before), written }
    }
}

/// Whether a central knows that there are so many, and hears them all.
fn is_among(service: &Service, count: usize) -> bool {
    let Ok(fleet) = service.get("/fleet") else { return false };
    let centrals = fleet["centrals"].as_array().map(Vec::as_slice).unwrap_or_default();
    centrals.iter().filter(|central| central["trouble"].is_null()).count() == count
}

/// How many hosts and containers a central shows, of whichever central's agents.
fn known(service: &Service) -> Result<u64> {
    let fleet = service.get("/fleet")?;
    let hosts = fleet["hosts"].as_array().context("/fleet shows no hosts")?;
    Ok(hosts.iter().map(|host| 1 + host["containers"].as_u64().unwrap_or(0)).sum())
}

fn until(what: &str, so: impl Fn() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !so()? {
        ensure!(began.elapsed() < PATIENCE, "it did not come true within {PATIENCE:?} that {what}");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Of values in order of size.
fn percentile(values: &[f64], percent: usize) -> f64 {
    values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_of_a_hundred_is_the_last_but_one() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([99, 50, 1].map(|percent| percentile(&values, percent).to_string()), ["99", "50", "1"]);
        assert!(percentile(&[], 99).is_nan());
    }
}
