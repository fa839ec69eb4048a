//! Loads that want CPU time by a shape, and keep what they could not do for later, as a server with a queue does.
//!
//! Time is cut into slices of 10 ms; at the beginning of each so much CPU time is wanted as the shape's level says, of each of the
//! threads alike. Work is counted in CPU time, so a load that is throttled does not do less, it does it later, and its lateness is
//! measured: from the beginning of a slice until its work is done.

use std::hint::black_box;
use std::io::stdin;
use std::str::FromStr;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, bail};
use hdrhistogram::Histogram;
use nix::time::{ClockId, clock_gettime};

use crate::random::Random;

const SLICE: Duration = Duration::from_millis(10);

/// How the level goes. Lengths are drawn anew each time, with a fixed seed, so that they stand at random to any window or period.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// At the peak for 2 to 4 s, at a fifth of it for 2 to 4 s.
    Square,
    /// From a tenth of the peak up to it within 4 to 6 s, and as slowly back.
    Ramp,
    /// From a tenth of the peak up to it within 3 to 5 s, and at once back.
    Sawtooth,
    /// One slice at the peak each second, somewhere within it; nothing in between.
    Spikes,
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "square" => Self::Square,
            "ramp" => Self::Ramp,
            "sawtooth" => Self::Sawtooth,
            "spikes" => Self::Spikes,
            _ => bail!("no shape {name:?}, expected square, ramp, sawtooth or spikes"),
        })
    }
}

/// A load's level over time.
pub(crate) struct Shape {
    kind: Kind,
    /// In shares of one core.
    peak: f64,
    seed: u64,
}

impl Shape {
    pub(crate) fn new(kind: Kind, peak: f64, seed: u64) -> Self {
        Self { kind, peak, seed }
    }

    /// The level of each slice of so many seconds, in shares. Begins somewhere within the shape.
    fn levels(&self, seconds: f64) -> Vec<f64> {
        let slices = |seconds: f64| (seconds / SLICE.as_secs_f64()).round().max(0.0);
        let mut random = Random::new(self.seed);
        let mut within = |from: f64, to: f64| from + (to - from) * random.unit();
        let (wanted, skipped) = (count(slices(seconds)), count(slices(within(0.0, 8.0))));
        let mut levels = Vec::new();
        while levels.len() < wanted + skipped {
            let mut piece = |seconds: f64, level: &dyn Fn(f64) -> f64| {
                let steps = count(slices(seconds));
                levels.extend((0..steps).map(|step| self.peak * level(step as f64 / steps as f64)));
            };
            match self.kind {
                Kind::Square => {
                    piece(within(2.0, 4.0), &|_| 1.0);
                    piece(within(2.0, 4.0), &|_| 0.2);
                }
                Kind::Ramp => {
                    let half = within(4.0, 6.0);
                    piece(half, &|at| 0.1 + 0.9 * at);
                    piece(half, &|at| 1.0 - 0.9 * at);
                }
                Kind::Sawtooth => piece(within(3.0, 5.0), &|at| 0.1 + 0.9 * at),
                Kind::Spikes => {
                    let when = within(0.0, 0.99);
                    piece(when, &|_| 0.0);
                    piece(0.01, &|_| 1.0);
                    piece(0.99 - when, &|_| 0.0);
                }
            }
        }
        levels.split_off(skipped).into_iter().take(wanted).collect()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of slices, rounded, 0 or more")]
fn count(slices: f64) -> usize {
    slices as usize
}

/// What one thread did.
struct Done {
    work: Duration,
    late: Histogram<u64>,
}

/// Waits for a line on stdin, runs the shape for so many seconds, and prints `{"wanted_s", "done_s", "p50_ms", "p99_ms", "max_ms"}`: CPU
/// time wanted and done, and how long after the beginning of a slice its work was done. What is not done at the end is left.
pub(crate) fn run(shape: &Shape, seconds: f64) -> Result<()> {
    let levels = shape.levels(seconds);
    let threads: u8 = if shape.peak > 100.0 { 2 } else { 1 };
    let slices: Vec<Duration> = levels.iter().map(|level| SLICE.mul_f64(level / 100.0 / f64::from(threads))).collect();
    stdin().read_line(&mut String::new())?;
    let start = Instant::now();
    let done: Vec<Done> = scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&slices, start))).collect();
        workers.into_iter().map(|worker| worker.join().ok().context("a thread panicked")?).collect::<Result<_>>()
    })?;
    let mut late = Histogram::<u64>::new(3)?;
    for one in &done {
        late.add(&one.late)?;
    }
    let wanted = slices.iter().sum::<Duration>().as_secs_f64() * f64::from(threads);
    let ms = |us: u64| us as f64 / 1e3;
    let said = serde_json::json!({
        "wanted_s": wanted,
        "done_s": done.iter().map(|one| one.work.as_secs_f64()).sum::<f64>(),
        "p50_ms": ms(late.value_at_quantile(0.5)),
        "p99_ms": ms(late.value_at_quantile(0.99)),
        "max_ms": ms(late.max()),
    });
    println!("{said}");
    Ok(())
}

/// One thread's part of the slices.
fn work(slices: &[Duration], start: Instant) -> Result<Done> {
    let mut done = Done { work: Duration::ZERO, late: Histogram::new(3)? };
    let end = start + SLICE.mul_f64(slices.len() as f64);
    let began = cpu_time()?;
    let mut due = Duration::ZERO;
    for (slice, at) in slices.iter().zip((0..).map(|n| start + SLICE * n)) {
        if slice.is_zero() {
            continue;
        }
        sleep(at.saturating_duration_since(Instant::now()));
        due += *slice;
        // What sleeping and looking at clocks cost is part of the work, so that the usage is what the shape says.
        while cpu_time()?.saturating_sub(began) < due && Instant::now() < end {
            spin();
        }
        done.late.record(u64::try_from(at.elapsed().as_micros())?)?;
    }
    // An overshoot does not make up for what another thread left.
    done.work = (cpu_time()?.saturating_sub(began)).min(due);
    sleep(end.saturating_duration_since(Instant::now()));
    Ok(done)
}

/// A few microseconds.
fn spin() {
    for n in 0..2000_u32 {
        black_box(n);
    }
}

/// Of this thread.
fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(kind: &str) -> Vec<f64> {
        Shape::new(kind.parse().unwrap(), 150.0, 1).levels(60.0)
    }

    /// Neighbouring slices.
    fn steps(levels: &[f64]) -> Vec<f64> {
        levels.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn a_square_wave_has_two_levels_of_some_seconds() {
        let levels = levels("square");
        assert_eq!(levels.len(), 6000);
        assert!(levels.iter().all(|level| [30.0, 150.0].contains(level)));
        let changes = steps(&levels).iter().filter(|step| step.abs() > 1.0).count();
        assert!((15..=30).contains(&changes), "{changes}");
    }

    #[test]
    fn a_ramp_never_jumps_and_a_sawtooth_only_down() {
        assert!(steps(&levels("ramp")).iter().all(|step| step.abs() < 0.5));
        let saw = steps(&levels("sawtooth"));
        assert!(saw.iter().all(|step| *step < 0.5));
        let falls = saw.iter().filter(|step| **step < -100.0).count();
        assert!((11..=20).contains(&falls), "{falls}");
    }

    #[test]
    fn a_spike_each_second() {
        let levels = levels("spikes");
        let spikes: Vec<f64> = levels.iter().copied().filter(|level| *level > 0.0).collect();
        assert!((58..=61).contains(&spikes.len()) && spikes.iter().all(|level| *level == 150.0), "{}", spikes.len());
    }
}
