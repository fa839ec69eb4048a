//! What changes in seven databases, as one feed.
//!
//! Each database is asked by itself and answers when something changes. Questions that are not answered yet go on while the answer to
//! another is taken over. CouchDB's sequences are opaque, and its feed is in no order. A database that was deleted and made again is
//! another one, and its sequences are too: then everything is read again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::health::What;
use super::http::{Ask, Failure, PATIENCE};
use super::{Inner, document};
use crate::store::{Body, Change, Cursor, Database, StoreError};

/// How long CouchDB waits for a change before it says that there is none; one that is silent for longer has stalled.
const WAIT: Duration = Duration::from_secs(10);

/// The most changes that are told at once. Where that is too long an answer, one.
const MANY: &str = "500";

/// How often one looks for a database that is not there, and after what time it is made.
const MISSING: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(15));

/// Before a feed that ended too early is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the feed of a database is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// When the database was made, as CouchDB tells it.
    made: String,
    since: String,
}

type Places = BTreeMap<String, Place>;

/// What one database told.
#[derive(Debug)]
struct Told {
    changes: Vec<Change>,
    place: Place,
}

type Slot = Arc<Mutex<Option<Result<Told, StoreError>>>>;

/// A question on its way.
#[derive(Debug)]
struct Poll {
    from: Place,
    told: Slot,
    task: JoinHandle<()>,
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
pub(super) struct Feed {
    polls: tokio::sync::Mutex<BTreeMap<Database, Poll>>,
    told: Arc<Notify>,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Row>,
    last_seq: Value,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    #[serde(default)]
    deleted: bool,
    doc: Option<Body>,
}

impl Feed {
    pub(super) async fn end(&self, inner: &Inner) -> Result<Cursor, StoreError> {
        let places = futures_util::future::try_join_all(Database::ALL.map(async |database| {
            let made = inner.info(database).await?.instance_start_time;
            let (_, since) = inner.look(database, &[("since", "now"), ("limit", "1")], PATIENCE).await?;
            Ok::<_, Failure>((database.name().to_owned(), Place { made, since }))
        }));
        Ok(cursor(&places.await?.into_iter().collect()))
    }

    pub(super) async fn changes(
        &self,
        inner: &Arc<Inner>,
        since: &Cursor,
        wait: Duration,
    ) -> Result<(Vec<Change>, Cursor), StoreError> {
        let refused = |why: String| StoreError::Refused(format!("{:?} is no place in the feed: {why}", since.0));
        let mut places: Places = serde_json::from_str(&since.0).map_err(|e| refused(e.to_string()))?;
        let mut changes = Vec::new();
        if let Some(missing) = Database::ALL.iter().find(|database| !places.contains_key(database.name())) {
            return Err(refused(format!("it does not name {missing}")));
        }
        if wait.is_zero() {
            let all = Database::ALL.into_iter().filter_map(|database| Some((database, places.get(database.name())?.clone())));
            let told =
                all.map(async |(database, place)| Ok::<_, StoreError>((database, inner.once(database, &place, None).await?)));
            for (database, told) in futures_util::future::try_join_all(told).await? {
                changes.extend(told.changes);
                places.insert(database.name().into(), told.place);
            }
            return Ok((changes, cursor(&places)));
        }
        let until = Instant::now() + wait;
        let mut polls = self.polls.lock().await;
        loop {
            for database in Database::ALL {
                let Some(place) = places.get(database.name()) else { continue };
                if polls.get(&database).is_none_or(|poll| poll.from != *place) {
                    polls.insert(database, self.start(inner, database, place.clone()));
                }
            }
            if let Some(error) = polls.values().find_map(|poll| poll.told.lock().as_ref()?.as_ref().err().cloned()) {
                polls.retain(|_, poll| poll.told.lock().as_ref().is_none_or(Result::is_ok));
                return Err(error);
            }
            // Gone with its answer: who cannot take that over asks from the same place again.
            polls.retain(|database, poll| {
                let mut slot = poll.told.lock();
                match slot.take() {
                    Some(Ok(told)) => {
                        changes.extend(told.changes);
                        places.insert(database.name().into(), told.place);
                        false
                    }
                    // An error is for the next look.
                    other => {
                        *slot = other;
                        true
                    }
                }
            });
            if !changes.is_empty() || tokio::time::timeout_at(until, self.told.notified()).await.is_err() {
                return Ok((changes, cursor(&places)));
            }
        }
    }

    fn start(&self, inner: &Arc<Inner>, database: Database, from: Place) -> Poll {
        let (inner, notify, told) = (Arc::clone(inner), Arc::clone(&self.told), Slot::default());
        let (slot, place) = (Arc::clone(&told), from.clone());
        let task = tokio::spawn(async move {
            let answer = inner.poll(database, place).await;
            *slot.lock() = Some(answer);
            notify.notify_one();
        });
        Poll { from, told, task }
    }
}

impl Inner {
    /// Asks until something has changed.
    async fn poll(&self, database: Database, mut place: Place) -> Result<Told, StoreError> {
        loop {
            let asked = Instant::now();
            match self.once(database, &place, Some(WAIT)).await {
                Ok(told) if told.changes.is_empty() => {
                    place = told.place;
                    if asked.elapsed() < PAUSE {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                Ok(told) => return Ok(told),
                Err(Failed::Missing(why)) => {
                    self.wait_for(database, &why).await;
                    return Err(self.made_again(database).into());
                }
                // It may have been deleted while it was asked; the next question finds that out.
                Err(Failed::Http(failure)) => match self.info(database).await {
                    Err(gone) if gone.is(StatusCode::NOT_FOUND) => {}
                    Ok(info) if info.instance_start_time != place.made => {}
                    _ => return Err(failure.into()),
                },
                Err(failed) => return Err(failed.into()),
            }
        }
    }

    /// What has changed since; waits for it.
    async fn once(&self, database: Database, place: &Place, wait: Option<Duration>) -> Result<Told, Failed> {
        let info = self.info(database).await;
        let made = info.inspect_err(|failure| self.http.health.fails(What::Feed(database), failure))?.instance_start_time;
        if made != place.made {
            return Err(self.made_again(database));
        }
        let timeout = wait.unwrap_or_default().as_millis().to_string();
        let ask = async |limit: &str| {
            let mut query = vec![("since", place.since.as_str()), ("include_docs", "true"), ("limit", limit)];
            if wait.is_some() {
                query.extend([("feed", "longpoll"), ("timeout", &timeout)]);
            }
            self.look(database, &query, wait.unwrap_or_default() + PATIENCE).await
        };
        let (rows, since) = match ask(MANY).await {
            Err(Failure::TooLong) => ask("1").await?,
            told => told?,
        };
        let rows = rows.into_iter().filter(|row| !row.id.starts_with('_'));
        let changes = rows.map(|row| {
            let document = row.doc.filter(|_| !row.deleted).and_then(document);
            Change { database, id: row.id, document }
        });
        Ok(Told { changes: changes.collect(), place: Place { made, since } })
    }

    fn made_again(&self, database: Database) -> Failed {
        Failed::Another(format!("the database {} was deleted and made again", self.name(database)))
    }

    async fn look(&self, database: Database, query: &[(&str, &str)], patience: Duration) -> Result<(Vec<Row>, String), Failure> {
        let path = format!("{}/_changes", self.name(database));
        let ask = Ask { patience, ..Ask::get(&path, query, What::Feed(database)) };
        let Answer { results, last_seq } = self.http.ask(&ask).await?;
        let since = if let Value::String(since) = last_seq { since } else { last_seq.to_string() };
        Ok((results, since))
    }

    /// Waits until a database is there. Whoever deleted it is given time to make it again; then we do.
    async fn wait_for(&self, database: Database, why: &str) {
        let since = Instant::now();
        self.http.health.is_wrong(What::Feed(database), why.to_owned());
        loop {
            tokio::time::sleep(MISSING.0).await;
            match self.info(database).await {
                Err(failure) if failure.is(StatusCode::NOT_FOUND) => {
                    if since.elapsed() >= MISSING.1 && self.make(database).await.is_ok() {
                        tracing::warn!("the database {} was not there: it is made again, empty", self.name(database));
                    }
                }
                _ => return,
            }
        }
    }
}

/// Why a feed does not go on.
#[derive(Debug)]
enum Failed {
    /// The database is not there.
    Missing(String),
    /// It is not the one that it was.
    Another(String),
    Http(Failure),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Status(StatusCode::NOT_FOUND, why) => Self::Missing(why),
            // A sequence that means nothing there.
            Failure::Status(StatusCode::BAD_REQUEST, why) => Self::Another(why),
            other => Self::Http(other),
        }
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Missing(why) => Self::Unreachable(why),
            Failed::Another(why) => Self::Refused(why),
            Failed::Http(failure) => failure.into(),
        }
    }
}

fn cursor(places: &Places) -> Cursor {
    Cursor(serde_json::to_string(places).unwrap_or_default())
}
