//! Simulated agents.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use headroom_model::accounting::Areas;
use headroom_model::documents::by_resource::ByResource;
use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use headroom_model::wire::{ContainerReport, Decision, GuardState, HostReport, HostResource, Report, ResourceReport};

use super::http::Connection;
use super::service::Service;

/// Threads that carry agents: each waits for its answers, so that many are as good as none.
const THREADS: usize = 16;

/// What containers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Usage moves all the time, one limit in twenty with each report.
    Living,
    /// Nothing changes but the counters.
    Idle,
}

pub(super) struct Fleet {
    /// In as many parts as there are threads.
    parts: Vec<Mutex<Vec<Agent>>>,
    interval: Duration,
    /// A container's name.
    pub(super) some: String,
}

/// What was seen under a load.
pub(super) struct Seen {
    /// From the first byte to the whole answer, in ms.
    times: Vec<f64>,
    pub(super) failed: u64,
    pub(super) seconds: f64,
}

impl Seen {
    pub(super) fn count(&self) -> usize {
        self.times.len()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small count")]
    pub(super) fn percentile(&self, part: f64) -> f64 {
        let rank = (part * self.times.len() as f64).ceil() as usize;
        self.times.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}

impl Fleet {
    pub(super) fn new(service: &Service, agents: usize, containers: usize, interval: Duration) -> Result<Self> {
        let mut parts: Vec<Vec<Agent>> = (0..THREADS.min(agents)).map(|_| Vec::new()).collect();
        for n in 0..agents {
            let part = n % parts.len();
            parts[part].push(Agent::new(service.address, n, containers)?);
        }
        Ok(Self { parts: parts.into_iter().map(Mutex::new).collect(), interval, some: "c0-0".to_owned() })
    }

    /// The first report of each, as fast as they are taken.
    pub(super) fn register(&self) -> Result<Duration> {
        let began = Instant::now();
        self.each(|agents| {
            for agent in agents.iter_mut() {
                agent.report(Load::Living)?;
            }
            Ok(())
        })?;
        Ok(began.elapsed())
    }

    /// Reports at their times, for so long.
    pub(super) fn load(&self, time: Duration, load: Load) -> Result<Seen> {
        let seen = Mutex::new((Vec::new(), 0));
        let began = Instant::now();
        self.each(|agents| {
            let (mut times, mut failed) = (Vec::new(), 0);
            let step = self.interval.div_f64(agents.len().max(1) as f64);
            let mut due = began;
            'load: loop {
                for agent in agents.iter_mut() {
                    if due.duration_since(began) >= time {
                        break 'load;
                    }
                    // Who is late goes on at once: then reports come as close together as they were due.
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    match agent.report(load) {
                        Ok(took) => times.push(took.as_secs_f64() * 1e3),
                        Err(e) => {
                            failed += 1;
                            eprintln!("bench: central: a report failed: {e:#}");
                            agent.connect()?;
                        }
                    }
                    due += step;
                }
            }
            if let Ok(mut seen) = seen.lock() {
                seen.0.extend(times);
                seen.1 += failed;
            }
            Ok(())
        })?;
        let (mut times, failed) = seen.into_inner().ok().context("a thread of the load has ended")?;
        times.sort_by(f64::total_cmp);
        Ok(Seen { times, failed, seconds: began.elapsed().as_secs_f64() })
    }

    fn each(&self, work: impl Fn(&mut Vec<Agent>) -> Result<()> + Sync) -> Result<()> {
        let ended = "a thread of the load has ended";
        let run = |part: &Mutex<Vec<Agent>>| -> Result<()> { work(&mut *part.lock().ok().context(ended)?) };
        thread::scope(|scope| {
            let run = &run;
            let threads: Vec<_> = self.parts.iter().map(|part| scope.spawn(move || run(part))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().ok().context(ended)?)
        })
    }
}

/// One host.
struct Agent {
    address: SocketAddr,
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
    fn new(address: SocketAddr, n: usize, containers: usize) -> Result<Self> {
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
            address,
            reports: Connection::open(address)?,
            orders: Connection::open(address)?,
            report,
            revision: String::new(),
            random: 0x9e37_79b9_7f4a_7c15 ^ n as u64,
        };
        agent.ask_for_orders()?;
        Ok(agent)
    }

    fn connect(&mut self) -> Result<()> {
        (self.reports, self.orders) = (Connection::open(self.address)?, Connection::open(self.address)?);
        self.ask_for_orders()
    }

    fn ask_for_orders(&mut self) -> Result<()> {
        let (host, instance) = (&self.report.host, &self.report.instance);
        let path = format!("/agent/orders?host={host}&instance={instance}&after={}&wait=60", self.revision);
        self.orders.ask("GET", &path, "", b"")
    }

    /// Makes a report and sends it; how long the answer took.
    fn report(&mut self, load: Load) -> Result<Duration> {
        self.live(load);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&serde_json::to_vec(&self.report)?)?;
        let body = encoder.finish()?;
        let path = format!("/agent/report?sent_at={}", wall());
        let headers = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
        let began = Instant::now();
        self.reports.ask("POST", &path, headers, &body)?;
        let (status, answer) = self.reports.answer()?;
        let took = began.elapsed();
        anyhow::ensure!(status == 200, "{status} {}", String::from_utf8_lossy(&answer));
        if let Some(orders) = self.orders.answer_so_far()? {
            // As real agents do: what has not changed is not answered. Nothing comes where a minute has passed without news.
            if !orders.is_empty() {
                self.revision = serde_json::from_slice::<Revision>(&orders)?.revision;
            }
            self.ask_for_orders()?;
        }
        Ok(took)
    }

    fn live(&mut self, load: Load) {
        self.report.sequence += 1;
        self.report.at = wall();
        self.report.decisions.clear();
        for n in 0..self.report.containers.len() {
            let (usage, moves) = (self.next() * 150.0, self.next() < 0.05);
            let container = &mut self.report.containers[n];
            let Some(cpu) = &mut container.resources.known[Resource::Cpu] else { continue };
            let before = cpu.current;
            if load == Load::Living {
                cpu.usage = Some(usage);
                if moves {
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
