//! One simulated agent.

use std::io::Write as _;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use headroom_model::accounting::Areas;
use headroom_model::documents::by_resource::ByResource;
use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use headroom_model::wire::{ContainerReport, Decision, GuardState, HostReport, HostResource, Orders, Report, ResourceReport};

use super::fleet::Load;
use super::http::Connection;

/// How often all centrals are tried with a report, and how long after a round of failures.
const ROUNDS: usize = 5;
const AGAIN: Duration = Duration::from_millis(500);

/// One host.
pub(super) struct Agent {
    /// Of the centrals that it asks. The first is its own, the others are for when that one sends it away.
    addresses: Vec<SocketAddr>,
    /// How often it was sent away.
    moved_on: usize,
    reports: Connection,
    orders: Connection,
    report: Report,
    /// Of the orders that it has.
    revision: String,
    random: u64,
}

/// What of orders it looks at.
#[derive(serde::Deserialize)]
struct Revision {
    revision: String,
}

impl Agent {
    /// The host `h<n>`, with containers `c<n>-0` and so on.
    pub(super) fn new(addresses: Vec<SocketAddr>, n: usize, containers: usize) -> Result<Self> {
        let address = *addresses.first().context("there is no central")?;
        let mut status = HostReport { source: "ebpf".into(), cgroup_mode: "v2".into(), ..HostReport::default() };
        status.resources.known[Resource::Cpu] = Some(HostResource { max: Some(6400.0), free: Some(1000.0) });
        status.resources.known[Resource::Mem] = Some(HostResource { max: Some(262_144.0), free: Some(65_536.0) });
        let report = Report {
            host: format!("h{n}"),
            instance: format!("{n:016x}"),
            started_at: wall(),
            sequence: 0,
            at: 0.0,
            version: "0.1.0".into(),
            status,
            containers: (0..containers).map(|c| container(&format!("c{n}-{c}"))).collect(),
            decisions: Vec::new(),
            sets: Vec::new(),
            requests: Vec::new(),
        };
        let mut agent = Self {
            addresses,
            moved_on: 0,
            reports: Connection::open(address)?,
            orders: Connection::open(address)?,
            report,
            revision: String::new(),
            random: 0x9e37_79b9_7f4a_7c15 ^ n as u64,
        };
        agent.ask_for_orders()?;
        Ok(agent)
    }

    /// Goes to the next central, as agents do that are sent away.
    pub(super) fn go_on(&mut self) -> Result<()> {
        self.moved_on += 1;
        self.addresses.rotate_left(1);
        if self.moved_on.is_multiple_of(self.addresses.len()) {
            sleep(AGAIN);
        }
        let address = *self.addresses.first().context("there is no central")?;
        (self.reports, self.orders) = (Connection::open(address)?, Connection::open(address)?);
        self.ask_for_orders()
    }

    fn ask_for_orders(&mut self) -> Result<()> {
        let (host, instance) = (&self.report.host, &self.report.instance);
        let path = format!("/agent/orders?host={host}&instance={instance}&after={}&wait=60", self.revision);
        self.orders.ask("GET", &path, "", b"")
    }

    /// Limits that its last report had as changed.
    pub(super) fn moved(&self) -> usize {
        self.report.decisions.len()
    }

    /// How often it went to another central so far.
    pub(super) fn moved_on(&self) -> usize {
        self.moved_on
    }

    /// Waits for orders that it does not have yet.
    pub(super) fn next_orders(&mut self) -> Result<Orders> {
        loop {
            let (status, orders) = self.orders.answer()?;
            if status >= 300 {
                self.go_on()?;
                continue;
            }
            self.take(&orders)?;
            if !orders.is_empty() {
                return Ok(serde_json::from_slice(&orders)?);
            }
        }
    }

    /// As real agents do: what has not changed is not answered. Nothing comes where a minute has passed without news.
    fn take(&mut self, orders: &[u8]) -> Result<()> {
        if !orders.is_empty() {
            self.revision = serde_json::from_slice::<Revision>(orders)?.revision;
        }
        self.ask_for_orders()
    }

    /// Makes a report and sends it; how long it took until it was taken, by whichever central.
    pub(super) fn report(&mut self, load: Load) -> Result<Duration> {
        self.live(load);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&serde_json::to_vec(&self.report)?)?;
        let body = encoder.finish()?;
        // The only central has to take it at once.
        let tries = if self.addresses.len() == 1 { 1 } else { self.addresses.len() * ROUNDS };
        let began = Instant::now();
        for left in (0..tries).rev() {
            match self.send(&body) {
                Ok(()) => break,
                Err(error) if left == 0 => return Err(error),
                Err(_) => self.go_on()?,
            }
        }
        let took = began.elapsed();
        match self.orders.answer_so_far() {
            Ok(None) => {}
            Ok(Some((status, orders))) if status < 300 => self.take(&orders)?,
            Ok(Some(_)) | Err(_) => self.go_on()?,
        }
        Ok(took)
    }

    fn send(&mut self, body: &[u8]) -> Result<()> {
        let path = format!("/agent/report?sent_at={}", wall());
        self.reports.ask("POST", &path, "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", body)?;
        let (status, answer) = self.reports.answer()?;
        ensure!(status == 200, "{status} {}", String::from_utf8_lossy(&answer));
        Ok(())
    }

    fn live(&mut self, load: Load) {
        self.report.sequence += 1;
        self.report.at = wall();
        self.report.decisions.clear();
        for n in 0..self.report.containers.len() {
            let (usage, chance) = (self.next() * 150.0, self.next());
            let container = &mut self.report.containers[n];
            let Some(cpu) = &mut container.resources.known[Resource::Cpu] else { continue };
            let before = cpu.current;
            if let Load::Living { moves } = load {
                cpu.usage = Some(usage);
                if chance < moves {
                    cpu.current = Limit::At((usage + 37.0).round());
                    (cpu.upper, cpu.lower) = (Some((usage + 12.0).round()), Some((usage - 13.0).round()));
                }
            }
            let limit = cpu.current.amount().unwrap_or(200.0);
            cpu.areas.add(cpu.usage.unwrap_or(0.0), limit, 200.0, 5.0);
            if cpu.current != before {
                let decision = Decision {
                    at: self.report.at,
                    structure: container.name.clone(),
                    resource: Resource::Cpu,
                    action: "CpuRescaleUp".into(),
                    why: format!("CpuRescaleUp: usage {usage:.1}, upper 100, lower 75"),
                    from: before,
                    to: cpu.current,
                    outcome: "applied".into(),
                    detail: None,
                };
                self.report.decisions.push(decision);
            }
            if let Some(mem) = &mut container.resources.known[Resource::Mem] {
                mem.areas.add(mem.usage.unwrap_or(0.0), 4096.0, 4096.0, 5.0);
            }
        }
    }

    /// From 0 to below 1 (xorshift64, Marsaglia 2003).
    fn next(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn container(name: &str) -> ContainerReport {
    let resource = |current: f64, usage: f64| ResourceReport {
        guard: true,
        current: Limit::At(current),
        effective: Limit::At(current),
        usage: Some(usage),
        upper: Some(current - 25.0),
        lower: Some(current - 50.0),
        areas: Areas::default(),
    };
    let mut resources = ByResource::default();
    resources.known[Resource::Cpu] = Some(resource(200.0, 120.5));
    resources.known[Resource::Mem] = Some(resource(4096.0, 1500.25));
    ContainerReport {
        name: name.to_owned(),
        engine: "docker".into(),
        incarnation: format!("b8f0c1de-0000-4000-8000-000000000000/{name}"),
        application: None,
        guard: GuardState::On,
        notes: Vec::new(),
        seed: None,
        cpu_total: None,
        counted: None,
        throttled: Some((0, 0.0)),
        resources,
    }
}

/// Seconds since the epoch.
fn wall() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
