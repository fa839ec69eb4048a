//! Containers that idle and burst at a word.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};

use crate::bench::Built;
use crate::bench::ground::{Container, Ground, Running};
use crate::bench::strategy::Cpu;

/// One container with a load that waits.
pub(super) struct Bursting {
    pub(super) name: String,
    pub(super) container: Container,
    pub(super) cpu: Cpu,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
    _load: Running,
}

impl Bursting {
    /// Makes it, on `ground`. Each burst burns so many threads.
    pub(super) fn new(built: &Built, ground: &Ground, name: String, threads: u32) -> Result<Self> {
        let container = ground.container(&name)?;
        let mut command = Command::new(built.example("bench_load"));
        command.arg("burst").arg(threads.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut load = container.run(&mut command)?;
        let (words, answers) = (load.child.stdin.take(), load.child.stdout.take());
        Ok(Self {
            name,
            cpu: Cpu::open(&container)?,
            container,
            words: words.context("the load has no stdin")?,
            answers: BufReader::new(answers.context("the load has no stdout")?),
            _load: load,
        })
    }

    /// Lets it burn. Returns when it began, in s of `CLOCK_MONOTONIC`.
    pub(super) fn start(&mut self) -> Result<f64> {
        writeln!(self.words, "go")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let ns: f64 = line.trim().parse().with_context(|| format!("the load said {line:?}"))?;
        Ok(ns / 1e9)
    }

    /// Lets it rest. Returns when its threads ran, in s of `CLOCK_MONOTONIC`.
    pub(super) fn stop(&mut self) -> Result<Vec<Span>> {
        writeln!(self.words, "stop")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let span = |text: &str| {
            let (from, to) = text.split_once('-')?;
            Some(Span { from: from.parse::<f64>().ok()? / 1e9, to: to.parse::<f64>().ok()? / 1e9 })
        };
        let spans = line.split_whitespace().map(span).collect::<Option<Vec<_>>>();
        spans.with_context(|| format!("the load said {line:?}"))
    }
}

/// From when to when a thread ran, in s.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: f64,
    pub(super) to: f64,
}

/// CPU time that was used until then, in s.
pub(super) fn used_until(spans: &[Span], until: f64) -> f64 {
    spans.iter().map(|span| (span.to.min(until) - span.from).max(0.0)).sum()
}

/// In s.
pub(super) fn monotonic() -> Result<f64> {
    Ok(std::time::Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?).as_secs_f64())
}

/// What makes s since the epoch of s of `CLOCK_MONOTONIC`.
pub(super) fn epoch() -> Result<f64> {
    let before = monotonic()?;
    let wall = std::time::Duration::from(clock_gettime(ClockId::CLOCK_REALTIME)?).as_secs_f64();
    Ok(wall - f64::midpoint(before, monotonic()?))
}

/// Numbers that look random and are the same in each run (xorshift64, Marsaglia 2003).
pub(super) struct Phases(u64);

impl Phases {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 to below 1.
    pub(super) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
