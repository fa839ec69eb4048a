//! A thread that lets controllers decide in their intervals, and sets what they say.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::decide::{Decider, Reading, rehearse};
use super::kernel::{Cpu, set_limit};
use crate::bench::ground::Container;

/// The thread; ends when this is dropped.
pub(super) struct Ticker {
    end: Sender<()>,
    thread: JoinHandle<Result<()>>,
}

/// One container and who decides for it.
struct Driven<D> {
    container: Container,
    cpu: Cpu,
    decider: D,
    limit: f64,
    /// What its past adds to what the kernel counts from now on.
    past: Reading,
    /// What the kernel had counted before: CPU time in s, throttled periods.
    before: (f64, u64),
}

impl Ticker {
    /// Takes each container's controller through its past, sets the limits that came of it, and goes on.
    pub(super) fn start<D: Decider + Send + 'static>(
        containers: &[Container],
        past: &[f64],
        decider: impl Fn() -> D,
    ) -> Result<Self> {
        let mut driven = Vec::new();
        for container in containers {
            let (cpu, mut decider) = (Cpu::open(container)?, decider());
            let past = rehearse(&mut decider, past);
            let limit = decider.limit();
            set_limit(container, limit)?;
            let before = (cpu.used()?, cpu.throttled()?.periods);
            driven.push(Driven { container: container.clone(), cpu, decider, limit, past, before });
        }
        let (end, ended) = channel();
        let thread = std::thread::Builder::new().name("strategy".into()).spawn(move || {
            let start = Instant::now();
            for tick in 0_u32.. {
                let at = f64::from(tick) * D::TICK;
                let wait = (start + Duration::from_secs_f64(at)).saturating_duration_since(Instant::now());
                if ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                driven.iter_mut().try_for_each(|one| one.tick(at))?;
            }
            Ok(())
        })?;
        Ok(Self { end, thread })
    }

    pub(super) fn stop(self) -> Result<()> {
        drop(self.end);
        match self.thread.join() {
            Ok(ended) => ended,
            Err(_) => bail!("a strategy's thread panicked"),
        }
    }
}

impl<D: Decider> Driven<D> {
    fn tick(&mut self, at: f64) -> Result<()> {
        let used = self.past.used + self.cpu.used()? - self.before.0;
        let throttled = self.past.throttled + self.cpu.throttled()?.periods - self.before.1;
        let limit = self.decider.tick(Reading { at, used, throttled });
        // Each write hands out a fresh quota.
        if (limit - self.limit).abs() > 0.0 {
            set_limit(&self.container, limit)?;
            self.limit = limit;
        }
        Ok(())
    }
}
