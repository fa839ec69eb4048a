//! Requests that central passes on: each is carried out once, however often it is repeated. That it was taken up is on disk before it is
//! carried out, so that not even an agent that is killed meanwhile does it twice.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, io};

use headroom_model::policy::request::Request;
use headroom_model::wire::{Asked, Orders, RequestDone};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

use super::Shared;
use crate::api::command::{ControlHandle, Wanted};
use crate::clock;

const FILE: &str = "requests.json";

/// What the orders have no longer is remembered beyond that, up to so many: a central that was started again may repeat it.
const REMEMBERED: usize = 512;

/// The documents of the orders that a request came with are waited for so long.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(5);

/// One request that was taken up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Taken {
    id: String,
    /// None: it is being carried out.
    done: Option<RequestDone>,
    /// Whether the newest orders have it. Those of the last run count until there are others.
    is_ordered: bool,
}

/// What was taken up, oldest first.
#[derive(Debug, Default)]
pub(super) struct Kept {
    path: PathBuf,
    taken: Mutex<VecDeque<Taken>>,
}

impl Kept {
    /// What the last run took up. Of what it had not ended, nobody knows what became.
    pub(super) fn open(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        let read = |text: Vec<u8>| {
            serde_json::from_slice::<VecDeque<Taken>>(&text)
                .inspect_err(|e| tracing::warn!("{}: not understood, not used: {e}", path.display()))
                .ok()
        };
        let mut taken = fs::read(&path).ok().and_then(read).unwrap_or_default();
        for one in &mut taken {
            let why = "the agent ended while it carried this out; look at the limit before you ask again";
            one.done.get_or_insert_with(|| RequestDone::refused(one.id.clone(), why));
        }
        Self { path, taken: Mutex::new(taken) }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of those that the newest orders have.
    pub(super) fn outcomes(&self) -> Vec<RequestDone> {
        self.lock().iter().filter(|one| one.is_ordered).filter_map(|one| one.done.clone()).collect()
    }

    /// The orders have these now. Returns those that were not taken up before: they are from now on.
    fn take(&self, orders: &[Asked]) -> io::Result<Vec<Asked>> {
        let mut taken = self.lock();
        for one in &mut *taken {
            one.is_ordered = orders.iter().any(|asked| asked.id == one.id);
        }
        let is_new = |asked: &&Asked| !taken.iter().any(|one| one.id == asked.id);
        let new: Vec<Asked> = orders.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return Ok(new);
        }
        let before = taken.clone();
        taken.extend(new.iter().map(|asked| Taken { id: asked.id.clone(), done: None, is_ordered: true }));
        let mut surplus = taken.iter().filter(|one| !one.is_ordered).count().saturating_sub(REMEMBERED);
        taken.retain(|one| one.is_ordered || surplus.checked_sub(1).map(|left| surplus = left).is_none());
        self.write(&taken).inspect_err(|_| *taken = before)?;
        Ok(new)
    }

    fn done(&self, done: RequestDone) {
        let mut taken = self.lock();
        if let Some(one) = taken.iter_mut().find(|one| one.id == done.id) {
            one.done = Some(done);
        }
        if let Err(e) = self.write(&taken) {
            tracing::warn!("{}: what became of a request is not kept for a restart: {e}", self.path.display());
        }
    }

    fn write(&self, taken: &VecDeque<Taken>) -> io::Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, serde_json::to_vec(taken)?)?;
        fs::rename(&new, &self.path)
    }
}

/// Carries them out.
pub(super) struct Requests {
    control: Arc<dyn ControlHandle>,
    shared: Shared,
    orders: watch::Receiver<Option<Arc<Orders>>>,
}

impl Requests {
    pub(super) fn new(control: Arc<dyn ControlHandle>, shared: Shared, orders: watch::Receiver<Option<Arc<Orders>>>) -> Self {
        Self { control, shared, orders }
    }

    /// Has those carried out that were not yet, without waiting for it.
    pub(super) fn carry_out(&self, orders: &[Asked]) {
        match self.shared.requests.take(orders) {
            Ok(new) if new.is_empty() => {}
            Ok(new) => {
                let (control, shared, orders) = (Arc::clone(&self.control), self.shared.clone(), self.orders.clone());
                tokio::spawn(async move {
                    let since = Instant::now();
                    documents_in_force(&shared, &orders, since + PATIENCE).await;
                    submit(&*control, &shared, new, since.elapsed());
                });
            }
            // They come again with the next orders.
            Err(e) => tracing::error!("requests of central's are not carried out, since they cannot be kept on disk: {e}"),
        }
    }
}

/// A request may be about what the same orders say of a container.
async fn documents_in_force(shared: &Shared, orders: &watch::Receiver<Option<Arc<Orders>>>, until: Instant) {
    let newest = || orders.borrow().as_ref().map(|orders| orders.revision.clone());
    while shared.in_force.load().revision != newest() && Instant::now() < until {
        sleep(AGAIN).await;
    }
}

fn submit(control: &dyn ControlHandle, shared: &Shared, asked: Vec<Asked>, waited: Duration) {
    let now = clock::monotonic_ns() as f64 / 1e9 - waited.as_secs_f64();
    let mut wanted = Vec::new();
    let mut answers = Vec::new();
    for asked in asked {
        let (reply, answer) = oneshot::channel();
        answers.push((asked.id.clone(), answer));
        wanted.push(Wanted { request: request(asked, now), reply });
    }
    if let Err(e) = control.request(wanted) {
        tracing::warn!("requests of central's were not carried out: {e}");
    }
    for (id, answer) in answers {
        let shared = shared.clone();
        tokio::spawn(async move {
            // A control loop that ends answers nothing.
            let done = answer.await.unwrap_or_else(|_| RequestDone::refused(id, "the agent is ending; ask again"));
            shared.requests.done(done);
            shared.now.notify_one();
        });
    }
}

fn request(asked: Asked, now: f64) -> Request {
    let Asked { id, structure, resource, field, amount, priority, pair, age } = asked;
    Request {
        structure: structure.into(),
        resource,
        field,
        amount,
        priority,
        pair: pair.map(Into::into),
        timestamp: now - age,
        why: None,
        asked: Some(id.into()),
    }
}

#[cfg(test)]
mod tests {
    use headroom_model::policy::request::Field;
    use headroom_model::resource::Resource;

    use super::*;

    fn asked(id: &str) -> Asked {
        let (structure, resource, field) = ("cont0".to_owned(), Resource::Cpu, Field::Current);
        Asked { id: id.to_owned(), structure, resource, field, amount: 10.0, priority: 0.0, pair: None, age: 0.0 }
    }

    fn ids(asked: Vec<Asked>) -> Vec<String> {
        asked.into_iter().map(|asked| asked.id).collect()
    }

    #[test]
    fn each_is_taken_once_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::open(directory.path());
        assert_eq!(ids(kept.take(&[asked("a"), asked("b")]).unwrap()), ["a", "b"]);
        assert_eq!(ids(kept.take(&[asked("a"), asked("b"), asked("c")]).unwrap()), ["c"]);
        let done = |id: &str| RequestDone { id: id.to_owned(), limits: None, max: None, reason: None };
        kept.done(done("a"));
        assert_eq!(kept.outcomes(), [done("a")]);
        // Orders that do not have it for a while, as those of a central that has just started.
        assert_eq!(ids(kept.take(&[]).unwrap()), [""; 0]);
        assert_eq!(kept.outcomes(), []);
        assert_eq!(ids(kept.take(&[asked("a")]).unwrap()), [""; 0]);
        assert_eq!(kept.outcomes(), [done("a")]);

        let kept = Kept::open(directory.path());
        assert!(kept.outcomes().contains(&done("a")), "the orders may be the same as at the end of the last run");
        assert_eq!(ids(kept.take(&[asked("a"), asked("b")]).unwrap()), [""; 0]);
        let [a, b] = kept.outcomes().try_into().unwrap();
        assert_eq!(a, done("a"));
        assert!(
            b.limits.is_none() && b.reason.is_some_and(|why| why.contains("the agent ended")),
            "what became of it nobody knows"
        );
    }

    #[test]
    fn the_oldest_are_forgotten_in_time_but_never_those_that_are_ordered() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::open(directory.path());
        kept.take(&[asked("first")]).unwrap();
        for n in 0..REMEMBERED + 10 {
            kept.take(&[asked("first"), asked(&n.to_string())]).unwrap();
        }
        let taken = kept.lock();
        assert_eq!(taken.len(), REMEMBERED + 2);
        assert_eq!((taken[0].id.as_str(), taken[1].id.as_str()), ("first", "9"));
    }

    #[test]
    fn what_cannot_be_kept_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept::open(&directory.path().join("gone"));
        assert!(kept.take(&[asked("a")]).is_err());
        fs::create_dir(directory.path().join("gone")).unwrap();
        assert_eq!(ids(kept.take(&[asked("a")]).unwrap()), ["a"]);
    }
}
