//! How late the machine itself wakes a thread with real-time priority that sleeps: who decides there cannot be sooner. A virtual machine's
//! host may keep an idle CPU away for milliseconds.

use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use thread_priority::unix::{
    RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};

use super::Row;

const TIMES: usize = 1000;
const SLEEP: Duration = Duration::from_millis(5);
/// The agent's own.
const PRIORITY: u8 = 10;

/// Its 99th percentile and its worst, for five seconds.
pub(super) fn rows() -> Result<[Row; 2]> {
    let mut times = spawn(measure).join().ok().context("the thread that sleeps has ended")??;
    times.sort_by(f64::total_cmp);
    let at = |rank: usize| times.get(rank).copied().unwrap_or(f64::NAN);
    let what = "the machine: how late it wakes a real-time thread";
    Ok([Row::told(format!("{what}, p99"), at(TIMES * 99 / 100), "ms"), Row::told(format!("{what}, worst"), at(TIMES - 1), "ms")])
}

/// In ms.
fn measure() -> Result<Vec<f64>> {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let priority = ThreadPriority::Crossplatform(ThreadPriorityValue::try_from(PRIORITY).map_err(|e| anyhow!("{e}"))?);
    set_thread_priority_and_policy(thread_native_id(), priority, policy).map_err(|e| anyhow!("no real-time priority: {e}"))?;
    let once = |_| {
        let began = Instant::now();
        sleep(SLEEP);
        began.elapsed().saturating_sub(SLEEP).as_secs_f64() * 1e3
    };
    Ok((0..TIMES).map(once).collect())
}
