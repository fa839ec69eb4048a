//! Requests that agents are to carry out, until whoever asked has taken note of what became of them. Their orders have them so long, so that an
//! answer which is lost comes again. Those for a host that reports to another central go there, and the answers come back, with what centrals tell
//! each other of hosts.

use std::collections::{BTreeMap, BTreeSet};
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
    asker: Asker,
}

/// Who wants to know what becomes of it.
#[derive(Debug)]
enum Asker {
    /// Somebody here.
    Here(UnboundedSender<RequestDone>),
    /// Another central, which sees it in the host's reports.
    Central(Arc<str>),
}

impl Requests {
    pub(super) fn ask(&self, host: &Arc<str>, requests: Vec<(Asked, f64)>, done: &UnboundedSender<RequestDone>) {
        let mut all = self.0.lock();
        for (asked, since) in requests {
            let (host, asker) = (Arc::clone(host), Asker::Here(done.clone()));
            let id = asked.id.clone();
            all.insert(id, Waiting { host, asked, since, is_given: false, is_answered: false, asker });
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
                if let Asker::Here(asker) = &waiting.asker {
                    // Whoever asked may have given up.
                    asker.send(done.clone()).ok();
                }
            }
        }
    }

    /// What is asked here of hosts that report elsewhere, as that central is told: with ages. It may give them to agents from now on.
    pub(super) fn told(&self, is_there: impl Fn(&str) -> bool, now: f64) -> Vec<(Arc<str>, Asked)> {
        let mut all = self.0.lock();
        let there = all.values_mut().filter(|waiting| matches!(waiting.asker, Asker::Here(_)) && is_there(&waiting.host));
        let told = there.map(|waiting| {
            waiting.is_given = true;
            (Arc::clone(&waiting.host), Asked { age: (now - waiting.since).max(0.0), ..waiting.asked.clone() })
        });
        told.collect()
    }

    /// All that another central asks now. Gives the hosts whose orders are others for it.
    pub(super) fn asked_by(&self, central: &Arc<str>, requests: &[(Arc<str>, Asked)], now: f64) -> BTreeSet<Arc<str>> {
        let mut all = self.0.lock();
        let mut changed = BTreeSet::new();
        all.retain(|id, waiting| {
            let is_over = matches!(&waiting.asker, Asker::Central(asker) if asker == central)
                && !requests.iter().any(|(_, asked)| asked.id == *id);
            if is_over {
                changed.insert(Arc::clone(&waiting.host));
            }
            !is_over
        });
        for (host, asked) in requests {
            all.entry(asked.id.clone()).or_insert_with(|| {
                changed.insert(Arc::clone(host));
                let (asked, since) = (Asked { age: 0.0, ..asked.clone() }, now - asked.age);
                let asker = Asker::Central(Arc::clone(central));
                Waiting { host: Arc::clone(host), asked, since, is_given: false, is_answered: false, asker }
            });
        }
        changed
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
