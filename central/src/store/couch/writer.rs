//! One task a database writes: whatever waits goes together, so that many changes at once are few requests. It goes on when who asked for a
//! write has gone.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Inner;
use super::bulk::Known;
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
    let (known, error) = inner.bulk(database, &all).await;
    let mut known = known.into_iter();
    for Job { writes, done } in together {
        let own: Vec<Known> = known.by_ref().take(writes.len()).collect();
        // Whoever asked may have gone.
        done.send(answer(own, error.as_ref())).ok();
    }
}

/// One caller's answer: what became of its writes, or why that is not known.
fn answer(known: Vec<Known>, error: Option<&StoreError>) -> Result<Vec<Written>, StoreError> {
    let is_partly_done = known.iter().flatten().any(|written| matches!(written, Written::Done(_)));
    let written: Option<Vec<Written>> = known.into_iter().collect();
    match (written, error) {
        (Some(written), _) => Ok(written),
        (None, Some(StoreError::Unreachable(why))) if is_partly_done => Err(StoreError::Unanswered(why.clone())),
        (None, error) => Err(error.cloned().unwrap_or_else(|| StoreError::Unanswered("it does not say".into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Rev;

    #[test]
    fn an_error_is_only_for_those_whose_writes_are_not_known() {
        let done = || Some(Written::Done(Rev("1-a".into())));
        let (away, unknown) = (StoreError::Unreachable("x".into()), StoreError::Unanswered("x".into()));
        assert_eq!(answer(vec![done(), Some(Written::Conflict)], Some(&away)).map(|written| written.len()), Ok(2));
        assert_eq!(answer(vec![None, Some(Written::Conflict)], Some(&away)), Err(away.clone()));
        assert_eq!(answer(vec![done(), None], Some(&away)), Err(unknown.clone()), "some of it is written");
        assert_eq!(answer(vec![None], Some(&unknown)), Err(unknown));
    }
}
