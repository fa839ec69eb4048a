//! Places for connections, and who of those that hold one has waited longest without a request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// All places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    quiet: Mutex<Quiet>,
    /// Somebody has become quiet.
    more: Notify,
}

/// The connections that have no request now, by when that began.
#[derive(Debug, Default)]
struct Quiet {
    next: u64,
    away: BTreeMap<u64, Arc<Notify>>,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(most)), quiet: Mutex::default(), more: Notify::new() })
    }

    /// Takes a place. Where there is none, the connection that has been quiet longest has to go.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let more = self.more.notified();
            if self.free.available_permits() == 0 {
                self.send_one_away();
            }
            tokio::select! {
                // The semaphore is never closed.
                permit = Arc::clone(&self.free).acquire_owned() => return Place::new(Arc::clone(self), permit.ok()),
                () = more => {}
            }
        }
    }

    fn send_one_away(&self) {
        if let Some((_, away)) = self.quiet().away.pop_first() {
            away.notify_one();
        }
    }

    fn quiet(&self) -> MutexGuard<'_, Quiet> {
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    away: Arc<Notify>,
    /// Where it stands among those that are quiet.
    turn: Mutex<u64>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    fn new(places: Arc<Places>, permit: Option<OwnedSemaphorePermit>) -> Self {
        let place = Self { places, away: Arc::default(), turn: Mutex::default(), _permit: permit };
        place.is_quiet();
        place
    }

    /// Ready when somebody else needs the place.
    pub(super) async fn sent_away(&self) {
        self.away.notified().await;
    }

    /// A request has come: the place is kept until the answer is there.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        let turn = self.turn();
        self.places.quiet().away.remove(&turn);
        Busy(Arc::clone(self))
    }

    fn is_quiet(&self) {
        let mut quiet = self.places.quiet();
        quiet.next += 1;
        let turn = quiet.next;
        quiet.away.insert(turn, Arc::clone(&self.away));
        drop(quiet);
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
        self.places.more.notify_waiters();
    }

    fn turn(&self) -> u64 {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let turn = self.turn();
        self.places.quiet().away.remove(&turn);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is_quiet();
    }
}
