//! Limits that agents are to set at once, until they say that they did.

use std::collections::BTreeMap;

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use headroom_model::wire::{SetDone, SetLimit};
use parking_lot::Mutex;
use tokio::sync::mpsc;

#[derive(Debug, Default)]
pub(super) struct Sets {
    inner: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    next: u64,
    asked: BTreeMap<u64, Asked>,
}

impl Default for Waiting {
    /// Ids go on from the time, so that those of a central that is started again are other ones.
    fn default() -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "µs since the epoch")]
        let next = (crate::central::wall() * 1e6) as u64;
        Self { next, asked: BTreeMap::new() }
    }
}

#[derive(Debug)]
struct Asked {
    host: String,
    set: SetLimit,
    done: mpsc::UnboundedSender<SetDone>,
}

impl Sets {
    /// Asks a host. What becomes of each comes by the receiver.
    pub(super) fn ask(&self, host: &str, sets: Vec<(String, Resource, Limit)>) -> (Vec<u64>, mpsc::UnboundedReceiver<SetDone>) {
        let (done, answers) = mpsc::unbounded_channel();
        let mut waiting = self.inner.lock();
        let mut ids = Vec::with_capacity(sets.len());
        for (structure, resource, limit) in sets {
            waiting.next += 1;
            let id = waiting.next;
            let set = SetLimit { id, structure, resource, limit };
            waiting.asked.insert(id, Asked { host: host.to_owned(), set, done: done.clone() });
            ids.push(id);
        }
        (ids, answers)
    }

    pub(super) fn of(&self, host: &str) -> Vec<SetLimit> {
        self.inner.lock().asked.values().filter(|asked| asked.host == host).map(|asked| asked.set.clone()).collect()
    }

    pub(super) fn done(&self, done: &[SetDone]) {
        if done.is_empty() {
            return;
        }
        let mut waiting = self.inner.lock();
        for done in done {
            if let Some(asked) = waiting.asked.remove(&done.id) {
                // Whoever asked may have given up.
                asked.done.send(done.clone()).ok();
            }
        }
    }

    pub(super) fn forget(&self, ids: &[u64]) {
        let mut waiting = self.inner.lock();
        for id in ids {
            waiting.asked.remove(id);
        }
    }
}
