//! What the agent costs those that are counted: a context-switch ping-pong on one CPU, with and without it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::agent::Agent;
use super::ground::{Ground, Running};
use super::{Built, Row, median};

/// Of either kind.
const PAIRS: usize = 40;
/// Length of one measurement.
const MS: u32 = 250;
/// The limit stands at what is allowed, so that nothing is decided and nothing is throttled.
const BOUNDS: &str = "min = 200\nmax = 200\nboundary = 25";

/// ns per round.
#[derive(Clone, Copy)]
struct Round {
    wall: f64,
    cpu: f64,
}

pub(super) fn run(built: &Built) -> Result<Vec<Row>> {
    let ground = Ground::new()?;
    let container = ground.container("bench0")?;
    // With and without the agent, it has the quota that the agent would give it.
    container.set_quota(200_000)?;
    let mut command = Command::new(built.example("bench_load"));
    let mut running = container.run(command.args(["ping-pong", "1"]).stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let mut players = Players::of(&mut running)?;
    players.play(500)?;

    let (mut on, mut off, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        // Either comes first in half of the pairs, so that a trend favours neither.
        let with_agent = |players: &mut Players| -> Result<Round> {
            let agent = Agent::start(built, BOUNDS, 1)?;
            let round = players.play(MS)?;
            agent.stop()?;
            Ok(round)
        };
        let (with, without) = if pair % 2 == 0 {
            (with_agent(&mut players)?, players.play(MS)?)
        } else {
            let without = players.play(MS)?;
            (with_agent(&mut players)?, without)
        };
        on.push((with, without));
        let (one, other) = (players.play(MS)?, players.play(MS)?);
        off.push(if pair % 2 == 0 { (one, other) } else { (other, one) });
        let attached = Attached::start(built)?;
        let with_empty = players.play(MS)?;
        drop(attached);
        empty.push((with_empty, other));
    }
    let slowdown = |pairs: &[(Round, Round)], of: fn(&Round) -> f64| {
        median(pairs.iter().map(|(a, b)| (of(a) / of(b) - 1.0) * 100.0).collect())
    };
    let (on_wall, off_wall) = (slowdown(&on, |r| r.wall), slowdown(&off, |r| r.wall));
    let (on_cpu, off_cpu) = (slowdown(&on, |r| r.cpu), slowdown(&off, |r| r.cpu));
    let rounds = off.iter().flat_map(|(a, b)| [a, b]);
    Ok(vec![
        Row::at_most(4.0, "ping-pong on one CPU, slow-down by the agent", on_wall - off_wall, "%"),
        Row::told("ping-pong, agent on against off", on_wall, "%"),
        Row::told("ping-pong, off against off", off_wall, "%"),
        Row::told("ping-pong, slow-down in CPU time", on_cpu - off_cpu, "%"),
        Row::told("ping-pong, slow-down by an empty program on the same hook", slowdown(&empty, |r| r.wall) - off_wall, "%"),
        Row::told("ping-pong, slow-down by an empty program, in CPU time", slowdown(&empty, |r| r.cpu) - off_cpu, "%"),
        Row::told("ping-pong, a round trip without the agent", median(rounds.clone().map(|r| r.wall).collect()), "ns"),
        Row::told("ping-pong, a round trip in CPU time", median(rounds.map(|r| r.cpu).collect()), "ns"),
    ])
}

/// An empty program on the hook of the agent's, until this is dropped: what no program there could be without.
struct Attached(Running);

impl Attached {
    fn start(built: &Built) -> Result<Self> {
        let mut command = Command::new(built.example("bench_sampler"));
        let mut running = Running::start(command.arg("empty").stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let mut said = String::new();
        BufReader::new(running.child.stdout.as_mut().context("no pipe from bench_sampler")?).read_line(&mut said)?;
        ensure!(said == "attached\n", "bench_sampler said {said:?}");
        Ok(Self(running))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // With its input it ends, and with it the program's place on the hook.
        drop(self.0.child.stdin.take());
        drop(self.0.child.wait());
    }
}

/// The two of them, in a process of their own.
struct Players {
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Players {
    fn of(running: &mut Running) -> Result<Self> {
        let orders = running.child.stdin.take().context("no pipe to the players")?;
        let answers = running.child.stdout.take().context("no pipe from the players")?;
        Ok(Self { orders, answers: BufReader::new(answers) })
    }

    fn play(&mut self, ms: u32) -> Result<Round> {
        writeln!(self.orders, "{ms}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let numbers: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let &[rounds, wall, cpu] = &numbers[..] else { anyhow::bail!("the players said {line:?}") };
        ensure!(rounds > 0.0, "the players did not get to play");
        Ok(Round { wall: wall / rounds, cpu: cpu / rounds })
    }
}
