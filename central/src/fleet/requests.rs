//! Requests that agents are to carry out, until whoever asked has taken note of what became of them. Their orders have them so long, so that an
//! answer which is lost comes again.

use std::collections::BTreeMap;
use std::sync::Arc;

use headroom_model::wire::{Asked, RequestDone};
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

/// By their ids.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<BTreeMap<String, Waiting>>);

#[derive(Debug)]
struct Waiting {
    host: Arc<str>,
    asked: Asked,
    /// Seconds since the epoch.
    since: f64,
    /// The host's agent may have it.
    is_given: bool,
    is_answered: bool,
    done: UnboundedSender<RequestDone>,
}

impl Requests {
    pub(super) fn ask(&self, host: &Arc<str>, requests: Vec<(Asked, f64)>, done: &UnboundedSender<RequestDone>) {
        let mut all = self.0.lock();
        for (asked, since) in requests {
            let (host, done) = (Arc::clone(host), done.clone());
            let id = asked.id.clone();
            all.insert(id, Waiting { host, asked, since, is_given: false, is_answered: false, done });
        }
    }

    pub(super) fn of(&self, host: &str) -> Vec<Asked> {
        self.0.lock().values().filter(|waiting| *waiting.host == *host).map(|waiting| waiting.asked.clone()).collect()
    }

    /// The host's agent gets these now, but for what was taken back meanwhile.
    pub(super) fn give(&self, requests: &mut Vec<Asked>, now: f64) {
        if requests.is_empty() {
            return;
        }
        let mut all = self.0.lock();
        requests.retain_mut(|asked| {
            let Some(waiting) = all.get_mut(&asked.id) else { return false };
            waiting.is_given = true;
            asked.age = (now - waiting.since).max(0.0);
            true
        });
    }

    pub(super) fn done(&self, host: &str, done: &[RequestDone]) {
        if done.is_empty() {
            return;
        }
        let mut all = self.0.lock();
        for done in done {
            if let Some(waiting) = all.get_mut(&done.id).filter(|waiting| *waiting.host == *host && !waiting.is_answered) {
                waiting.is_answered = true;
                // Whoever asked may have given up.
                waiting.done.send(done.clone()).ok();
            }
        }
    }

    /// Takes one back that nobody was given yet; false where its host's agent may have it.
    pub(super) fn take_back(&self, id: &str) -> bool {
        let mut all = self.0.lock();
        let is_given = all.get(id).is_some_and(|waiting| waiting.is_given);
        if !is_given {
            all.remove(id);
        }
        !is_given
    }

    /// Returns the host that it was for.
    pub(super) fn forget(&self, id: &str) -> Option<Arc<str>> {
        self.0.lock().remove(id).map(|waiting| waiting.host)
    }
}
