//! The one thread that writes.

use std::sync::mpsc;
use std::thread;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{oneshot, watch};

use super::{read, unreachable};
use crate::store::{Rev, StoreError, Write, Written};

/// The most writes that are committed together.
const TOGETHER: usize = 10_000;

/// How many writes back deletions are remembered for the feed.
const REMEMBERED: i64 = 100_000;

/// Deletions are forgotten each time so many writes were made.
const FORGET_EVERY: i64 = 10_000;

#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    writes: Vec<Write>,
    done: oneshot::Sender<Result<Vec<Written>, StoreError>>,
}

impl Writer {
    /// Starts the thread. It tells the number of the last write after each commit, and ends with this value.
    pub(super) fn start(mut connection: Connection, told: watch::Sender<i64>) -> Result<Self, StoreError> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let run = move || {
            while let Ok(first) = waiting.recv() {
                let mut together = vec![first];
                let mut count = together[0].writes.len();
                while count < TOGETHER
                    && let Ok(next) = waiting.try_recv()
                {
                    count += next.writes.len();
                    together.push(next);
                }
                commit(&mut connection, together, &told);
            }
        };
        let started = thread::Builder::new().name("store-writer".into()).spawn(run);
        started.map_err(|e| StoreError::Unreachable(format!("cannot start the writer's thread: {e}")))?;
        Ok(Self { jobs })
    }

    /// Answers when all are durable.
    pub(super) async fn write(&self, writes: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        let ended = || StoreError::Unreachable("its writer has ended".into());
        let (done, answer) = oneshot::channel();
        self.jobs.send(Job { writes, done }).map_err(|_gone| ended())?;
        answer.await.unwrap_or_else(|_gone| Err(ended()))
    }
}

fn commit(connection: &mut Connection, together: Vec<Job>, told: &watch::Sender<i64>) {
    match written(connection, &together) {
        Ok((answers, last)) => {
            for (job, answer) in together.into_iter().zip(answers) {
                // Whoever asked may have gone.
                job.done.send(Ok(answer)).ok();
            }
            told.send_replace(last);
        }
        Err(e) => {
            tracing::error!("{} changes were not made: {e}", together.len());
            for job in together {
                job.done.send(Err(unreachable(&e))).ok();
            }
        }
    }
}

/// Everything in one transaction: what each write became, and the number of the last one.
fn written(connection: &mut Connection, together: &[Job]) -> rusqlite::Result<(Vec<Vec<Written>>, i64)> {
    // Immediate: another process that writes is waited for here, before anything was read.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = read::end(&transaction)?;
    let mut last = before;
    let mut answers = Vec::with_capacity(together.len());
    for job in together {
        answers.push(job.writes.iter().map(|write| apply(&transaction, write, &mut last)).collect::<rusqlite::Result<_>>()?);
    }
    if last / FORGET_EVERY > before / FORGET_EVERY {
        forget(&transaction, last - REMEMBERED)?;
    }
    transaction.commit()?;
    Ok((answers, last))
}

fn apply(transaction: &Transaction<'_>, write: &Write, last: &mut i64) -> rusqlite::Result<Written> {
    let database = write.database.name();
    let sql = "SELECT revision FROM documents WHERE database = ? AND id = ? AND body IS NOT NULL";
    let found: Option<i64> =
        transaction.prepare_cached(sql)?.query_row(params![database, write.id], |row| row.get(0)).optional()?;
    let is_expected = found.map(|revision| revision.to_string()).as_ref() == write.expected.as_ref().map(|rev| &rev.0);
    let deletes_nothing = found.is_none() && write.body.is_none();
    if !is_expected || deletes_nothing {
        return Ok(Written::Conflict);
    }
    *last += 1;
    let body = write.body.as_ref().map(serde_json::to_string).transpose();
    let body = body.map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    let sql = "INSERT INTO documents (database, id, revision, body) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (database, id) DO UPDATE SET revision = ?3, body = ?4";
    transaction.prepare_cached(sql)?.execute(params![database, write.id, *last, body])?;
    Ok(Written::Done(Rev(last.to_string())))
}

/// Forgets deletions up to a number, but never the last write: the sequence goes on from it.
fn forget(transaction: &Transaction<'_>, until: i64) -> rusqlite::Result<()> {
    if until > 0 {
        transaction.execute("DELETE FROM documents WHERE revision <= ? AND body IS NULL", [until])?;
        transaction.execute("UPDATE feed SET forgotten = MAX(forgotten, ?)", [until])?;
    }
    Ok(())
}
