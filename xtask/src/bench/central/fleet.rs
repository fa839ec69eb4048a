//! Simulated agents.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::agent::Agent;

/// Threads that carry agents: each waits for its answers, so that many are as good as none.
const THREADS: usize = 16;

/// How long all of them may take to be taken up.
const REGISTERED: Duration = Duration::from_mins(5);

/// Why there is nothing to be said.
const ENDED: &str = "a thread of the load has ended";

/// What containers do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Load {
    /// Usage moves all the time, and this part of the limits with each report.
    Living { moves: f64 },
    /// Nothing changes but the counters.
    Idle,
}

impl Load {
    /// One limit in twenty with each report.
    pub(super) const USUAL: Self = Self::Living { moves: 0.05 };
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
    /// Changed limits in the reports that were taken.
    pub(super) moved: usize,
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
    /// Agents that are spread over the centrals.
    pub(super) fn new(centrals: &[SocketAddr], agents: usize, containers: usize, interval: Duration) -> Result<Self> {
        let mut parts: Vec<Vec<Agent>> = (0..THREADS.min(agents)).map(|_| Vec::new()).collect();
        for n in 0..agents {
            let part = n % parts.len();
            let mut addresses = centrals.to_vec();
            addresses.rotate_left(n % centrals.len().max(1));
            parts[part].push(Agent::new(addresses, n, containers)?);
        }
        Ok(Self { parts: parts.into_iter().map(Mutex::new).collect(), interval, some: "c0-0".to_owned() })
    }

    /// The first report of each, as fast as they are taken.
    pub(super) fn register(&self) -> Result<Duration> {
        let began = Instant::now();
        self.each(|agents| {
            for agent in agents.iter_mut() {
                // As agents do: what made it fail may be over soon.
                while let Err(error) = agent.report(Load::USUAL) {
                    ensure!(began.elapsed() < REGISTERED, "an agent is not taken up: {error:#}");
                    agent.go_on()?;
                }
            }
            Ok(())
        })?;
        Ok(began.elapsed())
    }

    /// How often agents were sent to another central so far.
    pub(super) fn moved_on(&self) -> Result<usize> {
        let of = |part: &Mutex<Vec<Agent>>| Ok(part.lock().ok().context(ENDED)?.iter().map(Agent::moved_on).sum::<usize>());
        self.parts.iter().map(of).sum()
    }

    /// Reports at their times, for so long.
    pub(super) fn load(&self, time: Duration, load: Load) -> Result<Seen> {
        let seen = Mutex::new((Vec::new(), 0, 0));
        let began = Instant::now();
        self.each(|agents| {
            let (mut times, mut failed, mut moved) = (Vec::new(), 0, 0);
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
                        Ok(took) => {
                            times.push(took.as_secs_f64() * 1e3);
                            moved += agent.moved();
                        }
                        Err(e) => {
                            failed += 1;
                            eprintln!("bench: central: a report failed: {e:#}");
                            agent.go_on()?;
                        }
                    }
                    due += step;
                }
            }
            if let Ok(mut seen) = seen.lock() {
                seen.0.extend(times);
                seen.1 += failed;
                seen.2 += moved;
            }
            Ok(())
        })?;
        let (mut times, failed, moved) = seen.into_inner().ok().context(ENDED)?;
        times.sort_by(f64::total_cmp);
        Ok(Seen { times, failed, moved, seconds: began.elapsed().as_secs_f64() })
    }

    fn each(&self, work: impl Fn(&mut Vec<Agent>) -> Result<()> + Sync) -> Result<()> {
        let run = |part: &Mutex<Vec<Agent>>| -> Result<()> { work(&mut *part.lock().ok().context(ENDED)?) };
        thread::scope(|scope| {
            let run = &run;
            let threads: Vec<_> = self.parts.iter().map(|part| scope.spawn(move || run(part))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().ok().context(ENDED)?)
        })
    }
}
