//! How soon a change at one central is in force at an agent of another.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use headroom_model::resource::Resource;

use super::agent::Agent;
use super::fleet::Load;
use super::http::Connection;

/// How often a change is made and waited for, if all are in force soon enough.
const CHANGES: u32 = 100;

/// Between two reports of its host.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a change may be refused, and when it is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(100);

/// The `max` that its container is given first.
const FIRST: u32 = 201;

/// From when a change was asked for, in ms, in order of size.
#[derive(Default)]
pub(super) struct Changes {
    /// Until it was durable, and answered.
    pub(super) answered: Vec<f64>,
    /// Until the agent had it.
    pub(super) in_force: Vec<f64>,
}

/// A host of one container, whose agent asks one central, while changes are made at another.
pub(super) struct Probe {
    agent: Agent,
    changes: Connection,
    container: String,
}

impl Probe {
    /// The host `h<n>`: its agent asks the last of the centrals, and what it waits for is changed at the first.
    pub(super) fn new(centrals: &[SocketAddr], n: usize) -> Result<Self> {
        let (first, others) = centrals.split_first().context("there is no central")?;
        // Sent away, it goes to one at which nothing is changed either.
        let asked = if others.is_empty() { vec![*first] } else { others.iter().rev().copied().collect() };
        let mut agent = Agent::new(asked, n, 1)?;
        agent.report(Load::Idle)?;
        Ok(Self { agent, changes: Connection::open(*first)?, container: format!("c{n}-0") })
    }

    /// Its container, for people.
    pub(super) fn path(&self) -> String {
        format!("/structure/{}", self.container)
    }

    /// Changes one after the other, spread over some time.
    pub(super) fn changes(&mut self, time: Duration) -> Result<Changes> {
        let (began, mut changes) = (Instant::now(), Changes::default());
        let mut reported = began;
        for n in 0..CHANGES {
            let due = began + time * n / CHANGES;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if began.elapsed() >= time {
                break;
            }
            if reported.elapsed() >= INTERVAL {
                reported = Instant::now();
                self.agent.report(Load::Idle)?;
            }
            let (answered, in_force) = self.change(FIRST + n)?;
            changes.answered.push(answered.as_secs_f64() * 1e3);
            changes.in_force.push(in_force.as_secs_f64() * 1e3);
        }
        changes.answered.sort_by(f64::total_cmp);
        changes.in_force.sort_by(f64::total_cmp);
        Ok(changes)
    }

    fn change(&mut self, max: u32) -> Result<(Duration, Duration)> {
        let asked = Instant::now();
        let path = self.path() + "/resources/cpu/max";
        let body = format!("{{\"value\": {max}}}");
        loop {
            self.changes.ask("PUT", &path, "Content-Type: application/json\r\n", body.as_bytes())?;
            let (status, answer) = self.changes.answer()?;
            let why = String::from_utf8_lossy(&answer);
            // As long as it is not in touch with the store, who asked tries again.
            ensure!(status == 201 || (status == 503 && asked.elapsed() < PATIENCE), "{path}: {status} {why}");
            if status == 201 {
                break;
            }
            thread::sleep(AGAIN);
        }
        let answered = asked.elapsed();
        loop {
            let orders = self.agent.next_orders()?;
            let structure = orders.structures.iter().find(|structure| structure.name == self.container);
            let cpu = structure.and_then(|structure| structure.resources.known[Resource::Cpu].as_ref());
            if cpu.and_then(|cpu| cpu.max) == Some(f64::from(max)) {
                return Ok((answered, asked.elapsed()));
            }
        }
    }
}
