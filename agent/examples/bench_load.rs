//! The loads that `cargo xtask bench` measures under. Each ends with its stdin, or by itself.
//!
//! - `bench_load ping-pong CPU`: for each line `MS` on stdin, two threads on that CPU wake each other in turn for so long; the answer is
//!   `ROUNDS WALL_NS CPU_NS`, where CPU time is that of both threads: it leaves out what other programs took of the CPU meanwhile.
//! - `bench_load wave SHARES ON_MS OFF_MS PHASE_MS SECONDS`: uses so many shares of one core while on, in slices of 10 ms, and nothing
//!   while off; begins `PHASE_MS` into its wave.
//! - `bench_load shape square|ramp|sawtooth|spikes PEAK_SHARES SECONDS SEED`: at the first line on stdin begins to want CPU time by a
//!   [`Shape`]; says at its end what came of it.
//! - `bench_load burst THREADS`: at a line on stdin says when (`CLOCK_MONOTONIC` ns) and lets so many threads burn CPU time until the next
//!   line; answers that with `FROM-TO ..`, when each thread had a CPU.
#![cfg_attr(test, allow(clippy::float_cmp, clippy::unwrap_used, reason = "levels are exact, and a test that cannot go on fails"))]
#![expect(clippy::print_stdout, reason = "its output is the result")]

use std::hint::black_box;
use std::io::{Read as _, Write as _, stdin};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

#[path = "bench_load/burst.rs"]
mod burst;
#[path = "shared/random.rs"]
mod random;
#[path = "bench_load/shape.rs"]
mod shape;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use shape::Shape;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let ["shape", kind, peak, seconds, seed] = words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return shape::run(&Shape::new(kind.parse()?, peak.parse()?, seed.parse()?), seconds.parse()?);
    }
    let numbers = |words: &[String]| words.iter().map(|word| word.parse::<u64>()).collect::<Result<Vec<_>, _>>();
    let usage = "usage: bench_load ping-pong CPU | bench_load wave SHARES ON_MS OFF_MS PHASE_MS SECONDS | \
                 bench_load shape square|ramp|sawtooth|spikes PEAK_SHARES SECONDS SEED | bench_load burst THREADS";
    let Some((load, numbers)) = words.split_first().and_then(|(load, rest)| Some((load.as_str(), numbers(rest).ok()?))) else {
        bail!("{usage}");
    };
    match (load, numbers.as_slice()) {
        ("burst", &[threads]) => burst::run(threads),
        ("ping-pong", &[cpu]) => players(usize::try_from(cpu)?),
        ("wave", &[shares, on, off, phase, seconds]) => {
            let ms = Duration::from_millis;
            wave(shares, ms(on), ms(off), ms(phase), Duration::from_secs(seconds));
            Ok(())
        }
        _ => bail!("{usage}"),
    }
}

fn players(cpu: usize) -> Result<()> {
    let mut pinned = CpuSet::new();
    pinned.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &pinned).with_context(|| format!("pinning to CPU {cpu}"))?;
    for line in stdin().lines() {
        let span = Duration::from_millis(line?.trim().parse().context("a line is a number of ms")?);
        let (wall, used) = (Instant::now(), cpu_time()?);
        let rounds = ping_pong(span)?;
        println!("{rounds} {} {}", wall.elapsed().as_nanos(), (cpu_time()?.saturating_sub(used)).as_nanos());
    }
    Ok(())
}

/// CPU time of the whole process.
fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// Two threads over two pipes. Returns how often the ball came back.
fn ping_pong(span: Duration) -> Result<u64> {
    let ((mut a_in, mut b_out), (mut b_in, mut a_out)) = (std::io::pipe()?, std::io::pipe()?);
    scope(|scope| {
        let pong = scope.spawn(move || -> Result<()> {
            let mut ball = [0];
            while b_in.read(&mut ball)? == 1 {
                b_out.write_all(&ball)?;
            }
            Ok(())
        });
        let began = Instant::now();
        let mut rounds = 0;
        let mut ball = [0];
        while began.elapsed() < span {
            for _ in 0..16 {
                a_out.write_all(&ball)?;
                a_in.read_exact(&mut ball)?;
            }
            rounds += 16;
        }
        drop(a_out);
        pong.join().unwrap_or_else(|_| bail!("a player panicked"))?;
        Ok(rounds)
    })
}

fn wave(shares: u64, on: Duration, off: Duration, phase: Duration, span: Duration) {
    const SLICE: Duration = Duration::from_millis(10);
    let began = Instant::now();
    let burn = SLICE.mul_f64(shares as f64 / 100.0);
    while began.elapsed() < span {
        let at = Duration::from_nanos_u128((began.elapsed() + phase).as_nanos() % (on + off).as_nanos());
        if at >= on {
            sleep((on + off).saturating_sub(at));
            continue;
        }
        let slice = Instant::now();
        let mut spun = 0_u64;
        while slice.elapsed() < burn {
            spun = black_box(spun + 1);
        }
        sleep(SLICE.saturating_sub(slice.elapsed()));
    }
}
