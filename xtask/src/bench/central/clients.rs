//! People and programs at the Orchestrator.

use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use super::fleet::{Fleet, Load};
use super::http::Connection;
use super::service::Service;
use crate::bench::agent::Agent;
use crate::bench::ground::Ground;
use crate::bench::{Built, Row, ground, median};
use crate::process;

/// Clients at once, each asking again as soon as it has its answer.
const CLIENTS: usize = 16;
const TIME: Duration = Duration::from_secs(10);

/// With no other load: reads, durable changes, and a day of a container's series.
pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    eprintln!("bench: central: {CLIENTS} clients");
    let service = Service::start(built)?;
    let fleet = Fleet::new(&[service.address], 10, 30, Duration::from_secs(5))?;
    fleet.register()?;
    let [read, write] = [false, true].map(|writes| p99(&service, &fleet.some, writes));
    service.stop()?;
    let ((read, reads), (write, writes)) = (read?, write?);
    Ok(vec![
        Row::at_most(5.0, format!("GET one structure, {CLIENTS} clients, p99"), read, "ms"),
        Row::told("the same, answers a second", reads, "answers"),
        Row::at_most(25.0, format!("PUT one setting, durable, {CLIENTS} clients, p99"), write, "ms"),
        Row::told("the same, changes a second", writes, "changes"),
        day(built)?,
    ])
}

/// How often a change is made and waited for.
const CHANGES: u32 = 200;

/// From a change at the Orchestrator until a real agent goes by it.
pub(super) fn in_force(built: &Built) -> Result<Vec<Row>> {
    eprintln!("bench: central: {CHANGES} changes until they are in force");
    let service = Service::start(built)?;
    let ground = Ground::new()?;
    let _container = ground.container("changed")?;
    let settings = format!("[central]\nurl = \"http://{}\"", service.address);
    let agent = Agent::start_with(built, &settings, "min = 10\nmax = 200\nboundary = 5", 1)?;
    let until = Instant::now() + Duration::from_secs(20);
    while agent.status()?["containers"][0]["reason"] != "central's documents" {
        ensure!(Instant::now() < until, "the agent does not go by central's documents");
        thread::sleep(Duration::from_millis(20));
    }
    let mut connection = Connection::open(service.address)?;
    let mut times = Vec::new();
    for max in 201..201 + CHANGES {
        let asked = Instant::now();
        let body = format!("{{\"value\": {max}}}");
        connection.ask("PUT", "/structure/changed/resources/cpu/max", "Content-Type: application/json\r\n", body.as_bytes())?;
        let (status, answer) = connection.answer()?;
        ensure!(status == 201, "{status} {}", String::from_utf8_lossy(&answer));
        while agent.status()?["containers"][0]["resources"]["cpu"]["max"] != f64::from(max) {
            ensure!(asked.elapsed() < Duration::from_secs(20), "a change is not in force after 20 s");
            thread::sleep(Duration::from_millis(1));
        }
        times.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    agent.stop()?;
    service.stop()?;
    times.sort_by(f64::total_cmp);
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    Ok(vec![
        Row::at_most(200.0, "a change at the Orchestrator until the agent goes by it, p99", p99, "ms"),
        Row::told("the same, median", median(times), "ms"),
    ])
}

/// The same beside a fleet.
pub(super) fn beside(service: &Service, fleet: &Fleet) -> Result<Vec<Row>> {
    thread::scope(|scope| {
        let load = scope.spawn(|| fleet.load(TIME * 2 + Duration::from_secs(2), Load::USUAL));
        let (read, _) = p99(service, &fleet.some, false)?;
        let (write, _) = p99(service, &fleet.some, true)?;
        load.join().ok().context("the load has ended")??;
        Ok(vec![
            Row::told(format!("GET one structure beside 1000 agents, {CLIENTS} clients, p99"), read, "ms"),
            Row::told(format!("PUT one setting beside 1000 agents, {CLIENTS} clients, p99"), write, "ms"),
        ])
    })
}

/// 99th percentile in ms, and how many a second.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
fn p99(service: &Service, structure: &str, writes: bool) -> Result<(f64, f64)> {
    let all = Mutex::new(Vec::new());
    let began = Instant::now();
    let client = |n: usize| -> Result<()> {
        let mut connection = Connection::open(service.address)?;
        let mut times = Vec::new();
        while began.elapsed() < TIME {
            let asked = Instant::now();
            if writes {
                let path = format!("/structure/{structure}/limits/cpu/boundary");
                let body = format!("{{\"value\": {}}}", 1 + (n + times.len()) % 50);
                connection.ask("PUT", &path, "Content-Type: application/json\r\n", body.as_bytes())?;
            } else {
                connection.ask("GET", &format!("/structure/{structure}"), "", b"")?;
            }
            let (status, answer) = connection.answer()?;
            ensure!(status < 300, "{status} {}", String::from_utf8_lossy(&answer));
            times.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        all.lock().ok().context("a client has ended")?.extend(times);
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                scope.spawn({
                    let client = &client;
                    move || client(n)
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().ok().context("a client has ended")?)
    })?;
    let mut times = all.into_inner().ok().context("a client has ended")?;
    times.sort_by(f64::total_cmp);
    let rank = (times.len() as f64 * 0.99) as usize;
    Ok((times.get(rank).copied().unwrap_or(f64::NAN), times.len() as f64 / began.elapsed().as_secs_f64()))
}

/// A day of one container's series at 5 s, each sample.
fn day(built: &Built) -> Result<Row> {
    let dir = ground::scratch()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 5 * 5;
    let mut write = Command::new(built.example("bench_series"));
    process::run(write.arg(dir.path().join("state")).arg(now.to_string()))?;
    let service = Service::start_in(built, dir, "")?;
    let path = format!("/timeseries?structure=cont0&resource=cpu&from={}&to={now}&step=5", now - 86_400);
    let mut times = Vec::new();
    for _ in 0..11 {
        let asked = Instant::now();
        let answer = service.get(&path)?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        let points = answer["times"].as_array().map_or(0, Vec::len);
        ensure!(points > 17_000, "{points} points for a day, expected 17,280");
    }
    service.stop()?;
    Ok(Row::at_most(100.0, "a day of one container's CPU at 5 s, each sample, median", median(times), "ms"))
}
