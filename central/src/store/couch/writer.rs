//! One task a database writes: whatever waits goes together, so that many changes at once are few requests. It goes on when who asked for a
//! write has gone.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Inner;
use crate::store::{Database, StoreError, Write, Written};

/// The most writes that go together.
const TOGETHER: usize = 2000;

/// How many callers may wait for a database: those of a CouchDB that does not keep up are told so.
const WAITING: usize = 4096;

#[derive(Debug)]
struct Job {
    writes: Vec<Write>,
    done: oneshot::Sender<Result<Vec<Written>, StoreError>>,
}

/// Ends with this value, when all that waits is written.
#[derive(Debug)]
pub(super) struct Writer(mpsc::Sender<Job>);

impl Writer {
    pub(super) fn start(inner: Arc<Inner>, database: Database) -> Self {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING);
        tokio::spawn(async move {
            while let Some(first) = waiting.recv().await {
                let mut count = first.writes.len();
                let mut together = vec![first];
                while count < TOGETHER
                    && let Ok(next) = waiting.try_recv()
                {
                    count += next.writes.len();
                    together.push(next);
                }
                write(&inner, database, together).await;
            }
        });
        Self(jobs)
    }

    pub(super) async fn write(&self, writes: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        let (done, answer) = oneshot::channel();
        let too_many = |_full| StoreError::Unreachable(format!("{WAITING} writes wait for it already"));
        self.0.try_send(Job { writes, done }).map_err(too_many)?;
        answer.await.unwrap_or_else(|_gone| Err(StoreError::Unanswered("its writer has ended".into())))
    }
}

async fn write(inner: &Inner, database: Database, together: Vec<Job>) {
    let all: Vec<Write> = together.iter().flat_map(|job| job.writes.iter().cloned()).collect();
    match inner.bulk(database, &all).await {
        Ok(written) => {
            let mut written = written.into_iter();
            for Job { writes, done } in together {
                // Whoever asked may have gone.
                done.send(Ok(written.by_ref().take(writes.len()).collect())).ok();
            }
        }
        Err(error) => {
            for Job { done, .. } in together {
                done.send(Err(error.clone())).ok();
            }
        }
    }
}
