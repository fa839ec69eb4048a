//! The store on CouchDB 3: seven databases, shared with whoever else writes there, and with other centrals.
//!
//! `couch_rs` speaks to it. Where its calls hide what CouchDB said (statuses, the outcome of each document of a bulk, the feed), it is its
//! plain requests. What others do is survived: a database that is deleted and made again, documents without sense, versions that changed.

mod bulk;
mod feed;
mod health;
mod http;
mod session;
mod settings;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Body, Change, Cursor, Database, Document, Pace, Rev, StateStore, StoreError, Trouble, Write, Written};
use feed::Feed;
use health::What;
use http::{Ask, Failure, Http, PATIENCE, escaped};
use writer::Writer;

pub use settings::Settings;

/// What goes to CouchDB that nobody waits for.
const PACE: Pace = Pace { every: Duration::from_secs(1), most: 450 };

/// The store on CouchDB.
#[derive(Debug)]
pub struct Couch {
    inner: Arc<Inner>,
    feed: Feed,
    writers: Vec<Writer>,
}

#[derive(Debug)]
struct Inner {
    http: Http,
    prefix: String,
}

/// What CouchDB says of a database.
#[derive(Deserialize)]
struct Info {
    /// When it was made; older versions say `"0"`.
    instance_start_time: String,
}

impl Couch {
    /// Makes the databases that are missing, and nothing else. In a tokio runtime.
    pub async fn open(settings: &Settings) -> Result<Self, StoreError> {
        let inner = Arc::new(Inner { http: Http::new(settings)?, prefix: settings.prefix.clone() });
        // One first: with a name that is not known there, seven would ask in vain.
        for database in Database::EVERY {
            if inner.is_missing(database).await? {
                inner.make(database).await?;
                tracing::info!("the database {} was made", inner.name(database));
            }
        }
        let writers = Database::EVERY.map(|database| Writer::start(Arc::clone(&inner), database));
        Ok(Self { inner, feed: Feed::default(), writers: writers.into() })
    }

    /// Whether all databases are there.
    pub async fn is_there(settings: &Settings) -> Result<bool, StoreError> {
        let inner = Inner { http: Http::new(settings)?, prefix: settings.prefix.clone() };
        for database in Database::ALL {
            if inner.is_missing(database).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Inner {
    fn name(&self, database: Database) -> String {
        format!("{}{database}", self.prefix)
    }

    async fn info(&self, database: Database) -> Result<Info, Failure> {
        self.http.ask(&Ask::get(&self.name(database), &[], What::Read)).await
    }

    async fn is_missing(&self, database: Database) -> Result<bool, StoreError> {
        match self.info(database).await {
            Ok(_) => Ok(false),
            Err(failure) if failure.is(StatusCode::NOT_FOUND) => Ok(true),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn make(&self, database: Database) -> Result<(), StoreError> {
        let name = self.name(database);
        let ask = Ask { method: Method::PUT, ..Ask::get(&name, &[], What::Write) };
        match self.http.ask::<Value>(&ask).await {
            // Another central was first.
            Err(failure) if failure.is(StatusCode::PRECONDITION_FAILED) => Ok(()),
            Err(failure) => Err(StoreError::Unreachable(format!("the database {name} cannot be made: {failure}"))),
            Ok(_) => Ok(()),
        }
    }

    async fn read(&self, database: Database, id: &str) -> Result<Option<Document>, StoreError> {
        if id.is_empty() || id.starts_with('_') {
            return Ok(None);
        }
        if id.chars().all(|c| c == '.') {
            // In a path it would be a step.
            return Ok(self.read_many(database, &[id.to_owned()]).await?.pop().flatten());
        }
        let found = self.http.ask::<Body>(&Ask::get(&format!("{}/{}", self.name(database), escaped(id)), &[], What::Read)).await;
        match found {
            Ok(body) => Ok(document(body)),
            Err(Failure::Status(StatusCode::NOT_FOUND, why)) if !is_of_database(&why) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Many in one request.
    async fn read_many(&self, database: Database, ids: &[String]) -> Result<Vec<Option<Document>>, StoreError> {
        #[derive(Deserialize)]
        struct Found {
            rows: Vec<Row>,
        }
        /// One for each key, in their order; none of the fields where there is no document.
        #[derive(Deserialize)]
        struct Row {
            doc: Option<Body>,
        }
        let path = format!("{}/_all_docs", self.name(database));
        let (mut left, mut found) = (vec![ids], Vec::with_capacity(ids.len()));
        while let Some(some) = left.pop() {
            let body = Some(json!({ "keys": some }).to_string());
            let query = [("include_docs", "true")];
            let ask = Ask { method: Method::POST, body, ..Ask::get(&path, &query, What::Read) };
            let Found { rows } = match self.http.ask(&ask).await {
                Err(Failure::TooLong) if some.len() > 1 => {
                    let (first, second) = some.split_at(some.len() / 2);
                    left.extend([second, first]);
                    continue;
                }
                answered => answered?,
            };
            if rows.len() != some.len() {
                let why = format!("{path} was asked for {} documents, and answers for {}", some.len(), rows.len());
                return Err(StoreError::Unreachable(why));
            }
            found.extend(rows.into_iter().map(|row| row.doc.and_then(document)));
        }
        Ok(found)
    }

    /// From `after` on, `limit` rows. Whether there may be more, and where.
    async fn rows(
        &self,
        database: Database,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Body>, Option<String>), StoreError> {
        #[derive(Deserialize)]
        struct Rows {
            rows: Vec<Row>,
        }
        #[derive(Deserialize)]
        struct Row {
            id: String,
            doc: Option<Body>,
        }
        let path = format!("{}/_all_docs", self.name(database));
        // The first one may be `after` itself.
        let many = limit.saturating_add(1).to_string();
        let key = after.map(|after| Value::from(after).to_string());
        let mut query = vec![("include_docs", "true"), ("limit", many.as_str())];
        query.extend(key.as_deref().map(|key| ("startkey", key)));
        let ask = Ask { patience: PATIENCE * 6, ..Ask::get(&path, &query, What::Read) };
        let Rows { mut rows } = match self.http.ask(&ask).await {
            // Nothing that people made is in there: it is ours to make again.
            Err(failure) if database == Database::Centrals && failure.is(StatusCode::NOT_FOUND) => {
                self.make(database).await?;
                Rows { rows: Vec::new() }
            }
            answered => answered?,
        };
        let is_more = rows.len() > limit;
        rows.retain(|row| Some(row.id.as_str()) != after);
        rows.truncate(limit);
        let last = rows.last().filter(|_| is_more).map(|row| row.id.clone());
        Ok((rows.into_iter().filter(|row| !row.id.starts_with('_')).filter_map(|row| row.doc).collect(), last))
    }
}

#[async_trait]
impl StateStore for Couch {
    async fn read(&self, database: Database, id: &str) -> Result<Option<Document>, StoreError> {
        self.inner.read(database, id).await
    }

    async fn read_many(&self, database: Database, ids: &[String]) -> Result<Vec<Option<Document>>, StoreError> {
        self.inner.read_many(database, ids).await
    }

    async fn page(&self, database: Database, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        let (mut page, mut after) = (Vec::new(), after.map(str::to_owned));
        while page.len() < limit {
            let (rows, last) = self.inner.rows(database, after.as_deref(), limit - page.len()).await?;
            page.extend(rows.into_iter().filter_map(document));
            after = last;
            if after.is_none() {
                break;
            }
        }
        Ok(page)
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        let mut parts: Vec<(Vec<usize>, Vec<Write>)> = vec![Default::default(); Database::EVERY.len()];
        let count = writes.len();
        for (at, write) in writes.into_iter().enumerate() {
            let (places, part) = &mut parts[write.database as usize];
            places.push(at);
            part.push(write);
        }
        let parts = parts.into_iter().zip(&self.writers).filter(|((places, _), _)| !places.is_empty());
        let parts = parts.map(async |((places, part), writer)| Ok::<_, StoreError>((places, writer.write(part).await?)));
        let mut written = vec![Written::Conflict; count];
        for (places, answers) in try_join_all(parts).await? {
            for (at, answer) in places.into_iter().zip(answers) {
                written[at] = answer;
            }
        }
        Ok(written)
    }

    async fn end(&self) -> Result<Cursor, StoreError> {
        self.feed.end(&self.inner).await
    }

    async fn changes(&self, since: &Cursor, wait: Duration) -> Result<(Vec<Change>, Cursor), StoreError> {
        self.feed.changes(&self.inner, since, wait).await
    }

    fn pace(&self) -> Option<Pace> {
        Some(PACE)
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.inner.http.health.troubles()
    }
}

/// A document as CouchDB gives it.
fn document(mut body: Body) -> Option<Document> {
    let (id, rev) = (body.remove("_id")?, body.remove("_rev")?);
    match (id, rev) {
        (Value::String(id), Value::String(rev)) => Some(Document { id, rev: Rev(rev), body }),
        _ => None,
    }
}

/// Fields that a document cannot be given. Attachments stay by being named.
fn is_couchdbs(key: &str) -> bool {
    key.starts_with('_') && key != "_attachments"
}

/// Whether a 404 is about the database, not the document.
fn is_of_database(why: &str) -> bool {
    why.contains("atabase") || why.contains("no_db_file")
}
