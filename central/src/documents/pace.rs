//! What nobody waits for goes to the store in few bulks: where the store says so, at most one a second and database, of so many documents.

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::store::{Database, Pace};

/// When the last turn of each database began.
#[derive(Debug)]
pub(super) struct Paces {
    pace: Option<Pace>,
    last: [Mutex<Option<Instant>>; Database::EVERY.len()],
}

/// A database's turn. Others wait for it to end.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    last: MutexGuard<'a, Option<Instant>>,
    began: Instant,
}

impl Paces {
    pub(super) fn new(pace: Option<Pace>) -> Self {
        Self { pace, last: Default::default() }
    }

    /// How many documents a bulk may have.
    pub(super) fn most(&self) -> Option<usize> {
        self.pace.map(|pace| pace.most)
    }

    /// Waits until a database may be written to.
    pub(super) async fn turn(&self, database: Database) -> Option<Turn<'_>> {
        let pace = self.pace?;
        let last = self.last[database as usize].lock().await;
        if let Some(last) = *last {
            tokio::time::sleep_until(last + pace.every).await;
        }
        Some(Turn { last, began: Instant::now() })
    }
}

impl Turn<'_> {
    /// Something was written. The next turn is a pace after this one's beginning.
    pub(super) fn wrote(mut self) {
        *self.last = Some(self.began);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_database_is_written_to_once_in_a_while_and_others_meanwhile() {
        let every = Duration::from_millis(50);
        let paces = Paces::new(Some(Pace { every, most: 10 }));
        let start = Instant::now();
        for turn in 0..3 {
            paces.turn(Database::Structures).await.unwrap().wrote();
            assert!(start.elapsed() >= every * turn);
        }
        let far = Paces::new(Some(Pace { every: Duration::from_hours(1), most: 10 }));
        far.turn(Database::Structures).await.unwrap().wrote();
        // Nothing written: nobody waits for that.
        drop(far.turn(Database::Rules).await);
        far.turn(Database::Rules).await.unwrap().wrote();
        assert!(Paces::new(None).turn(Database::Rules).await.is_none());
    }
}
