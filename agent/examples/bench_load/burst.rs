//! Threads that want all the CPU time there is, from one line on stdin to the next.

use std::hint::black_box;
use std::io::{Write as _, stdin, stdout};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::scope;
use std::time::Duration;

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};

/// What the threads are to do. They look at it every now and then, which is often enough.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Rest,
    Burn,
    End,
}

pub(super) fn run(threads: u64) -> Result<()> {
    let (phase, changed) = (Mutex::new(Phase::Rest), Condvar::new());
    let now = || *phase.lock().unwrap_or_else(PoisonError::into_inner);
    let set = |to: Phase| {
        *phase.lock().unwrap_or_else(PoisonError::into_inner) = to;
        changed.notify_all();
    };
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let phase = phase.lock().unwrap_or_else(PoisonError::into_inner);
                    let phase = *changed.wait_while(phase, |phase| *phase == Phase::Rest).unwrap_or_else(PoisonError::into_inner);
                    if phase == Phase::End {
                        return;
                    }
                    while now() == Phase::Burn {
                        for spun in 0..100_000_u64 {
                            black_box(spun);
                        }
                    }
                }
            });
        }
        let result = follow(set);
        set(Phase::End);
        result
    })
}

fn follow(set: impl Fn(Phase)) -> Result<()> {
    for (n, line) in stdin().lines().enumerate() {
        line?;
        if n % 2 == 1 {
            set(Phase::Rest);
            continue;
        }
        let began = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        set(Phase::Burn);
        println!("{}", began.as_nanos());
        stdout().flush()?;
    }
    Ok(())
}
