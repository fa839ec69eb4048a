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
    is_withdrawn: bool,
    is_answered: bool,
    done: UnboundedSender<RequestDone>,
}

impl Requests {
    pub(super) fn ask(&self, host: &Arc<str>, requests: Vec<(Asked, f64)>, done: &UnboundedSender<RequestDone>) {
        let mut all = self.0.lock();
        for (asked, since) in requests {
            let (host, done) = (Arc::clone(host), done.clone());
            let (is_given, is_withdrawn, is_answered) = (false, false, false);
            let id = asked.id.clone();
            all.insert(id, Waiting { host, asked, since, is_given, is_withdrawn, is_answered, done });
        }
    }

    pub(super) fn of(&self, host: &str) -> Vec<Asked> {
        let all = self.0.lock();
        all.values()
            .filter(|waiting| *waiting.host == *host && !waiting.is_withdrawn)
            .map(|waiting| waiting.asked.clone())
            .collect()
    }

    /// The host's agent gets these now.
    pub(super) fn give(&self, requests: &mut [Asked], now: f64) {
        if requests.is_empty() {
            return;
        }
        let mut all = self.0.lock();
        for asked in requests {
            if let Some(waiting) = all.get_mut(&asked.id) {
                waiting.is_given = true;
                asked.age = (now - waiting.since).max(0.0);
            }
        }
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

    /// Takes one back. Returns whether its host's agent may have it all the same.
    pub(super) fn withdraw(&self, id: &str) -> bool {
        self.0.lock().get_mut(id).is_some_and(|waiting| {
            waiting.is_withdrawn = true;
            waiting.is_given
        })
    }

    /// Returns the host that it was for.
    pub(super) fn forget(&self, id: &str) -> Option<Arc<str>> {
        self.0.lock().remove(id).map(|waiting| waiting.host)
    }
}
