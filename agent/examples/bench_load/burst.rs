//! Threads that want all the CPU time there is, from one line on stdin to the next, and tell when they had it.
//!
//! They tell by the clock alone. Asking the kernel for their CPU time would make it charge what it has not charged yet, and so
//! would make whoever counts it know sooner.

use std::io::{Write as _, stdin, stdout};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::scope;
use std::time::Duration;

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};

/// Two readings of the clock that are further apart than this: in between the CPU was somebody else's.
const GAP_NS: u64 = 20_000;

/// What the threads are to do. They look at it every now and then, which is often enough.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Rest,
    Burn,
    End,
}

/// From when to when a thread ran, in ns of `CLOCK_MONOTONIC`.
type Span = (u64, u64);

struct State {
    phase: Phase,
    /// Threads that have not told yet when they ran.
    burning: u64,
    spans: Vec<Span>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

pub(super) fn run(threads: u64) -> Result<()> {
    let state = State { phase: Phase::Rest, burning: 0, spans: Vec::new() };
    let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| shared.follow());
        }
        let result = shared.lead(threads);
        shared.set(Phase::End);
        result
    })
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as this holds.
    fn wait_while(&self, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed.wait_while(self.state(), |state| holds(state)).unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        self.state().phase = phase;
        self.changed.notify_all();
    }

    /// One of the threads.
    fn follow(&self) {
        let mut spans = Vec::with_capacity(1024);
        loop {
            if self.wait_while(|state| state.phase == Phase::Rest).phase == Phase::End {
                return;
            }
            self.burn(&mut spans);
            let mut state = self.state();
            state.spans.append(&mut spans);
            state.burning -= 1;
            self.changed.notify_all();
            drop(state);
        }
    }

    fn burn(&self, spans: &mut Vec<Span>) {
        let mut from = now();
        let mut last = from;
        while self.state().phase == Phase::Burn {
            for _ in 0..1000 {
                let at = now();
                if at - last > GAP_NS {
                    spans.push((from, last));
                    from = at;
                }
                last = at;
            }
        }
        spans.push((from, last));
    }

    /// Answers each line: with when it began, and at the next with when each thread ran.
    fn lead(&self, threads: u64) -> Result<()> {
        for (n, line) in stdin().lines().enumerate() {
            line?;
            if n % 2 == 0 {
                let began = now();
                self.state().burning = threads;
                self.set(Phase::Burn);
                writeln!(stdout(), "{began}")?;
            } else {
                self.set(Phase::Rest);
                let mut state = self.wait_while(|state| state.burning > 0);
                let spans: Vec<String> = state.spans.drain(..).map(|(from, to)| format!("{from}-{to}")).collect();
                drop(state);
                writeln!(stdout(), "{}", spans.join(" "))?;
            }
            stdout().flush()?;
        }
        Ok(())
    }
}

/// In ns.
fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
