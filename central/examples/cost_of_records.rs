//! What time series and accounts cost: `cargo run --release -p headroom-central --example cost_of_records [structures]`.
//!
//! So many structures (30,000), 12 points each every 5 s, usages moving, limits now and then: what a point takes in the buffer, in the file and
//! of a core; what an hour takes to be packed; how long a day of one is answered; what a report of 30 containers takes to be accounted for.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use headroom_central::accounting::{Ledger, Prices};
use headroom_central::refeeder::Owners;
use headroom_central::series::{Embedded, Field, Kind, Metric, Owner, Query, Sample, Settings, TimeSeriesSink as _};
use headroom_model::accounting::Areas;
use headroom_model::documents::by_resource::ByResource;
use headroom_model::limit::Limit;
use headroom_model::resource::{PerResource, Resource};
use headroom_model::wire::{ContainerReport, GuardState, HostReport, Report, ResourceReport};

type Done<T> = Result<T, Box<dyn Error>>;

const START: f64 = 1_763_798_400.0;

fn main() -> Done<()> {
    let structures: u32 = std::env::args().nth(1).map_or(Ok(30_000), |n| n.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        series(structures).await?;
        a_day().await?;
        ledger().await
    })
}

fn say(line: &str) -> Done<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Repeats in every run.
fn random(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as f64 / f64::from(1_u32 << 24)
}

fn sample(name: &Arc<str>, state: &mut u64, tick: u32) -> Sample {
    let mut values = Vec::with_capacity(12);
    for resource in [Resource::Cpu, Resource::Mem] {
        // A limit moves about once in a minute.
        let limit = 200.0 + f64::from(tick / 12 % 7) * 25.0;
        values.push((Metric::of(resource, Field::Usage), 50.0 + 100.0 * random(state)));
        values.push((Metric::of(resource, Field::Current), limit));
        values.push((Metric::of(resource, Field::Upper), limit - 25.0));
        values.push((Metric::of(resource, Field::Lower), limit - 50.0));
        values.push((Metric::of(resource, Field::Max), 400.0));
        values.push((Metric::of(resource, Field::Min), 50.0));
    }
    Sample { owner: Owner { kind: Kind::Structure, name: Arc::clone(name) }, values }
}

fn resident() -> Done<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<f64>()? / 1024.0)
}

async fn series(structures: u32) -> Done<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("series.db");
    let settings = Settings { keep_raw: std::time::Duration::from_hours(1_000_000), max_size: 1 << 40, ..Settings::default() };
    let series = Embedded::with_clock(&path, &settings, || 0)?;
    let names: Vec<Arc<str>> = (0..structures).map(|n| format!("container-{n}").into()).collect();
    let mut state = 1;
    let before = resident()?;
    let (mut appending, mut writing, mut buffered) = (0.0, 0.0, 0.0);
    for minute in 0..60_u32 {
        for tick in 0..12 {
            let at = START + f64::from(minute * 60 + tick * 5);
            for names in names.chunks(500) {
                let samples = names.iter().map(|name| sample(name, &mut state, minute * 12 + tick)).collect();
                let start = Instant::now();
                series.append(at, samples).await?;
                appending += start.elapsed().as_secs_f64();
            }
        }
        // Before anything is written all at once, which a service never does.
        if minute == 0 {
            buffered = resident()? - before;
        }
        let start = Instant::now();
        series.flush().await?;
        writing += start.elapsed().as_secs_f64();
    }
    let points = f64::from(structures) * 12.0 * 720.0;
    say(&format!("{structures} structures, an hour: {points} points"))?;
    say(&format!("appended in {:.3} us a point, written in {:.3} us a point", appending * 1e6 / points, writing * 1e6 / points))?;
    say(&format!("resident with a minute buffered: {buffered:.1} MiB more than before"))?;
    say(&format!("file and log: {:.2} bytes a point as buffered", size(&path)? / points))?;
    let start = Instant::now();
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch")]
    series.tidy((START * 1000.0) as i64 + 3_600_000 + 600_000).await?;
    let packing = start.elapsed().as_secs_f64();
    say(&format!("packed, rolled up and the old dropped in {packing:.1} s: {:.3} us a point", packing * 1e6 / points))?;
    drop(series);
    let file = rusqlite::Connection::open(&path)?;
    for table in ["raw", "minutes", "hours"] {
        let bytes: f64 = file.query_row(&format!("SELECT total(length(data) + 16) FROM {table}"), [], |row| row.get(0))?;
        say(&format!("{table}: {:.3} bytes a point sampled", bytes / points))?;
    }
    Ok(())
}

fn size(path: &std::path::Path) -> Done<f64> {
    Ok(std::fs::metadata(path)?.len() as f64)
}

async fn a_day() -> Done<()> {
    let directory = tempfile::tempdir()?;
    let series = Embedded::with_clock(&directory.path().join("series.db"), &Settings::default(), || 0)?;
    let name: Arc<str> = "cont0".into();
    let mut state = 1;
    for tick in 0..17_280_u32 {
        series.append(START + f64::from(tick) * 5.0, vec![sample(&name, &mut state, tick)]).await?;
        if tick % 12 == 11 {
            series.flush().await?;
        }
    }
    let metrics: Vec<Metric> = Resource::ALL.into_iter().flat_map(|r| Field::ALL.map(|f| Metric::of(r, f))).collect();
    let owner = Owner { kind: Kind::Structure, name };
    let query = Query { owner, metrics, from: START, to: START + 86400.0, step: 0.0 };
    for (packed, how) in [(false, "as it was buffered"), (true, "packed")] {
        if packed {
            #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch")]
            series.tidy((START * 1000.0) as i64 + 86_400_000 + 600_000).await?;
        }
        let mut best = f64::MAX;
        let mut rows = 0;
        for _ in 0..5 {
            let start = Instant::now();
            rows = series.query(query.clone()).await?.times.len();
            best = best.min(start.elapsed().as_secs_f64());
        }
        say(&format!("a day of one at 5 s, {how}: {rows} rows of 12 in {:.1} ms", best * 1e3))?;
    }
    Ok(())
}

async fn ledger() -> Done<()> {
    let directory = tempfile::tempdir()?;
    let ledger = Ledger::open(directory.path(), &Prices::default())?;
    let before = resident()?;
    let (hosts, rounds) = (1000_u32, 5_u32);
    let start = Instant::now();
    let mut slowest = 0.0_f64;
    for round in 0..rounds {
        for group in (0..hosts).collect::<Vec<_>>().chunks(8) {
            let start = Instant::now();
            let mut waiting = tokio::task::JoinSet::new();
            for host in group {
                let (ledger, report) = (Arc::clone(&ledger), report(*host, round));
                waiting.spawn(async move { ledger.receive(&report, report.at, |_| Owners::default()).await });
            }
            while let Some(done) = waiting.join_next().await {
                done??;
            }
            slowest = slowest.max(start.elapsed().as_secs_f64());
        }
    }
    let reports = f64::from(hosts * rounds);
    let taken = start.elapsed().as_secs_f64();
    say(&format!(
        "{reports} reports of 30 containers, 8 at a time: {:.0} us each, durable; the slowest {:.1} ms",
        taken * 1e6 / reports,
        slowest * 1e3
    ))?;
    say(&format!("resident: {:.1} MiB more than before", resident()? - before))
}

fn report(host: u32, round: u32) -> Report {
    let at = START + f64::from(round) * 5.0;
    let area = f64::from(round) * 500.0;
    let resource = ResourceReport {
        guard: true,
        current: Limit::At(200.0),
        effective: Limit::At(200.0),
        usage: Some(12.5),
        upper: Some(175.0),
        lower: Some(150.0),
        areas: Areas { used: area, allocated: 2.0 * area, reserved: 4.0 * area },
    };
    let mut known = PerResource::from_fn(|_| None);
    known[Resource::Cpu] = Some(resource.clone());
    known[Resource::Mem] = Some(resource);
    let container = |number: u32| ContainerReport {
        name: format!("container-{host}-{number}"),
        engine: "lxc".into(),
        incarnation: format!("{host}-{number}"),
        application: None,
        guard: GuardState::On,
        notes: Vec::new(),
        seed: None,
        cpu_total: Some(area),
        counted: None,
        throttled: None,
        resources: ByResource { known: known.clone(), ..ByResource::default() },
    };
    Report {
        host: format!("host-{host}"),
        instance: format!("agent-{host}"),
        started_at: START - 5.0,
        sequence: round.into(),
        at,
        version: "0.0.0".into(),
        status: HostReport::default(),
        containers: (0..30).map(container).collect(),
        decisions: Vec::new(),
        sets: Vec::new(),
        requests: Vec::new(),
    }
}
