//! What the central service takes: agents are simulated, over real HTTP, with a connection for reports and one for orders each; the
//! generator shares the machine's CPUs with the service.

mod agent;
mod clients;
mod couchdb;
mod fleet;
mod http;
mod probe;
mod service;
pub(super) mod several;

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Built, Row};
use fleet::{Fleet, Load};
use service::Service;

/// What it is called on the command line.
pub(super) const NAME: &str = "central";

/// How much of it is run.
#[derive(clap::Args, Clone)]
#[group(id = "central")]
pub(super) struct Options {
    /// central, centrals: minutes of load for the fleet of 1000 agents; 10 for one central, and 1 for each number of several
    #[arg(long, value_name = "N")]
    minutes: Option<f64>,
    /// central: how many agents, for how the cost grows; one minute each, but for the 1000 of --minutes; 100,300,1000,5000 if not given.
    /// centrals: how many agents; 1000 if not given
    #[arg(long, value_delimiter = ',', value_name = "N,..")]
    agents: Vec<usize>,
    /// centrals: how many of them beside each other
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", value_name = "N,..")]
    centrals: Vec<usize>,
}

impl Options {
    fn agents_or(&self, usual: &[usize]) -> Result<Vec<usize>> {
        ensure!(self.agents.iter().all(|agents| *agents > 0), "--agents: expected numbers above 0");
        Ok(if self.agents.is_empty() { usual } else { &self.agents }.to_vec())
    }

    fn time_or(&self, minutes: f64) -> Result<Duration> {
        let minutes = self.minutes.unwrap_or(minutes);
        ensure!((0.01..=10_000.0).contains(&minutes), "--minutes is {minutes}, expected 0.01 to 10000");
        Ok(Duration::from_secs_f64(60.0 * minutes))
    }
}

/// The fleet that has limits: agents, containers of each, s between two reports.
const FLEET: (usize, usize, u64) = (1000, 30, 5);

pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    let options = &built.central;
    let (fleets, long) = (options.agents_or(&[100, 300, 1000, 5000])?, options.time_or(10.0)?);
    let mut rows = clients::run(built)?;
    rows.extend(clients::in_force(built)?);
    for agents in fleets {
        let is_it = agents == FLEET.0;
        rows.extend(grow(built, agents, if is_it { long } else { Duration::from_mins(1) }, is_it)?);
    }
    Ok(rows)
}

/// One fleet for some time.
fn grow(built: &Built, agents: usize, time: Duration, is_it: bool) -> Result<Vec<Row>> {
    let (_, containers, interval) = FLEET;
    eprintln!("bench: central: {agents} agents x {containers} containers for {} s", time.as_secs());
    let service = Service::start(built)?;
    let fleet = Fleet::new(&[service.address], agents, containers, Duration::from_secs(interval))?;
    let registered = fleet.register()?;
    let settle = Duration::from_secs(2 * interval);
    fleet.load(settle, Load::USUAL)?;
    let (began, used) = (service.memory_mib("VmRSS")?, service.cpu_s()?);
    let seen = fleet.load(time, Load::USUAL)?;
    let (resident, cpu) = (service.memory_mib("VmRSS")?, (service.cpu_s()? - used) / seen.seconds * 100.0);
    let lost = service.missing(agents, containers)?;
    let name = |what: &str| format!("{agents} agents: {what}");
    let row = |limit: f64, what: &str, value: f64, unit: &'static str| {
        if is_it { Row::at_most(limit, name(what), value, unit) } else { Row::told(name(what), value, unit) }
    };
    let mut rows = vec![
        row(50.0, "report, p99", seen.percentile(0.99), "ms"),
        Row::told(name("report, median"), seen.percentile(0.5), "ms"),
        Row::told(name("reports a second"), seen.count() as f64 / seen.seconds, "reports"),
        row(0.0, "reports that were not taken, and containers not known", (seen.failed + lost) as f64, ""),
        row(150.0, "resident memory at the end of the load", resident, "MiB"),
        Row::told(name("resident memory at its beginning"), began, "MiB"),
        Row::told(name("central's CPU, of one core"), cpu, "%"),
        Row::told(name("until all containers had documents"), registered.as_secs_f64(), "s"),
        Row::told(
            name("series and accounts on disk, a container and hour"),
            service.series_bytes()? / (agents * containers) as f64 / ((seen.seconds + settle.as_secs_f64()) / 3600.0),
            "bytes",
        ),
    ];
    if is_it {
        rows.extend(clients::beside(&service, &fleet)?);
        let before = service.documents()?;
        fleet.load(Duration::from_secs(20), Load::Idle)?;
        let settled = service.documents()?;
        fleet.load(Duration::from_secs(40), Load::Idle)?;
        let idle = service.documents()?;
        let differing =
            |a: &service::Documents, b: &service::Documents| a.iter().filter(|(key, value)| b.get(*key) != Some(*value)).count();
        rows.push(Row::at_most(
            0.0,
            name("documents written in 40 s of an idle fleet, but heartbeats"),
            differing(&settled, &idle) as f64,
            "",
        ));
        rows.push(Row::told(name("documents written while it came to rest"), differing(&before, &settled) as f64, ""));
    }
    service.stop()?;
    Ok(rows)
}
