//! Real-time priority for the thread that decides, where it may be had without harm.

use thread_priority::unix::{
    RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};

use super::probe::Facts;

/// Gives the calling thread `SCHED_FIFO` at this priority, 1 to 99; 0 asks for nothing. Where it cannot be had, or would be in
/// the way of others, it says so once, and the thread stays as it is.
pub fn raise(priority: u8) {
    if priority == 0 {
        return;
    }
    if let Some(Err(why)) = Facts::probe_realtime().map(|facts| facts.verdict()) {
        tracing::warn!("no real-time priority: {why}");
        return;
    }
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let set = ThreadPriorityValue::try_from(priority).map_err(|e| e.clone()).and_then(|value| {
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy)
            .map_err(|e| e.to_string())
    });
    match set {
        Ok(()) => tracing::info!(priority, "the control thread has real-time priority"),
        Err(e) => tracing::warn!("no real-time priority for the control thread (CAP_SYS_NICE gives it): {e}"),
    }
}
