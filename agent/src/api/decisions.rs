//! The decisions of late, for people and audits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headroom_model::resource::Resource;

use crate::status::Decision;

/// A bounded record of decisions. Filled by the thread that logs them, never by the control thread: it locks.
#[derive(Debug)]
pub struct DecisionLog {
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    recent: VecDeque<Arc<Decision>>,
    /// How many were ever recorded.
    count: u64,
    last: BTreeMap<(String, Resource), Arc<Decision>>,
}

impl DecisionLog {
    /// Keeps up to `capacity` decisions, and beside them the last one of each of up to `capacity` container resources.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), kept: Mutex::default() }
    }

    /// Adds one, and gives it back; the oldest goes where there is no room.
    pub fn record(&self, decision: Decision) -> Arc<Decision> {
        let mut kept = self.lock();
        let decision = Arc::new(decision);
        kept.last.insert((decision.structure.clone(), decision.resource), Arc::clone(&decision));
        if kept.last.len() > self.capacity {
            let oldest = kept.last.iter().min_by(|a, b| a.1.at.total_cmp(&b.1.at)).map(|(key, _)| key.clone());
            oldest.and_then(|key| kept.last.remove(&key));
        }
        kept.recent.push_back(Arc::clone(&decision));
        kept.count += 1;
        if kept.recent.len() > self.capacity {
            kept.recent.pop_front();
        }
        decision
    }

    /// Up to `limit` decisions, newest first.
    pub fn recent(&self, limit: usize) -> Vec<Arc<Decision>> {
        self.lock().recent.iter().rev().take(limit).cloned().collect()
    }

    /// Those after the first `seen`, oldest first, as far as they are still kept, and how many there have been.
    pub fn since(&self, seen: u64) -> (Vec<Arc<Decision>>, u64) {
        let kept = self.lock();
        let new = usize::try_from(kept.count.saturating_sub(seen)).unwrap_or(usize::MAX).min(kept.recent.len());
        (kept.recent.iter().skip(kept.recent.len() - new).cloned().collect(), kept.count)
    }

    /// The last decision for each resource of each container that `lives`.
    pub fn last(&self, lives: impl Fn(&str) -> bool) -> Vec<Arc<Decision>> {
        self.lock().last.values().filter(|decision| lives(&decision.structure)).cloned().collect()
    }

    /// Nobody is called so any more: whoever is next has had none of these.
    pub(crate) fn forget_last(&self, structure: &str) {
        self.lock().last.retain(|(name, _), _| name != structure);
    }

    /// A panic elsewhere leaves at worst one decision out.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_model::limit::Limit;

    fn decision(at: f64, structure: &str) -> Decision {
        let (from, to) = (Limit::At(100.0), Limit::At(175.0));
        let (action, why) = ("CpuRescaleUp".to_owned(), String::new());
        Decision {
            at,
            structure: structure.to_owned(),
            resource: Resource::Cpu,
            action,
            why,
            from,
            to,
            outcome: "applied",
            detail: None,
        }
    }

    #[test]
    fn it_is_bounded_and_newest_first() {
        let log = DecisionLog::new(3);
        for at in 0..10 {
            log.record(decision(f64::from(at), &format!("cont{at}")));
        }
        let names = |decisions: Vec<Arc<Decision>>| decisions.iter().map(|d| d.structure.clone()).collect::<Vec<_>>();
        assert_eq!(names(log.recent(10)), ["cont9", "cont8", "cont7"]);
        assert_eq!(names(log.recent(1)), ["cont9"]);
        let (news, count) = log.since(8);
        assert_eq!((names(news), count), (vec!["cont8".to_owned(), "cont9".to_owned()], 10));
        assert_eq!((names(log.since(2).0).len(), log.since(10).0.len()), (3, 0));
        assert_eq!(names(log.last(|_| true)), ["cont7", "cont8", "cont9"]);
    }

    #[test]
    fn the_last_decision_outlives_the_record_of_others() {
        let log = DecisionLog::new(3);
        log.record(decision(0.0, "quiet"));
        for at in 1..10 {
            log.record(decision(f64::from(at), "busy"));
        }
        let last = log.last(|name| name != "gone");
        assert_eq!(last.iter().map(|d| (d.structure.as_str(), d.at)).collect::<Vec<_>>(), [("busy", 9.0), ("quiet", 0.0)]);
        assert!(log.last(|name| name == "gone").is_empty());
    }
}
