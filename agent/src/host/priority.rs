//! Real-time priority for the thread that decides, where it may be had without harm.

use thread_priority::unix::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};

use super::probe::Facts;

/// Whether real-time priority would be in nobody's way; otherwise why not.
pub fn may() -> Result<(), String> {
    Facts::probe_realtime().map_or(Ok(()), |facts| facts.verdict())
}

/// Gives the calling thread `SCHED_FIFO` at this priority, 1 to 99; 0 asks for nothing. Where it `may` not be, or cannot be
/// had, the thread gets nice -20, and the log says so once.
pub fn raise(priority: u8, may: Result<(), String>) {
    if priority == 0 {
        return;
    }
    match may.and_then(|()| realtime(priority).map_err(|e| format!("{e} (CAP_SYS_NICE gives it)"))) {
        Ok(()) => tracing::info!(priority, "the control thread has real-time priority"),
        Err(why) => match nice() {
            Ok(()) => tracing::warn!("no real-time priority for the control thread, nice -20 instead: {why}"),
            Err(e) => tracing::warn!("neither real-time priority for the control thread nor nice -20 ({e}): {why}"),
        },
    }
}

fn realtime(priority: u8) -> Result<(), String> {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let value = ThreadPriorityValue::try_from(priority)?;
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy).map_err(|e| e.to_string())
}

fn nice() -> Result<(), String> {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Max, policy).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_real_time_a_thread_is_still_before_others() {
        let niceness = std::thread::spawn(|| {
            nice().unwrap();
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // Counted from the end of the name, which may hold anything: state is the third field, nice the nineteenth.
            stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().to_owned()
        });
        assert_eq!(niceness.join().unwrap(), "-20");
    }
}
