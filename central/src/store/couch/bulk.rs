//! Writes, many in one request, each answered by itself.
//!
//! `_bulk_docs` is no transaction: some of its documents are written and others are not, and when no answer comes nobody knows which. So
//! what was not answered is sent again with the same expected versions: what was written the first time conflicts now, and is recognized
//! by what is there. Nothing is written twice by that, and what cannot be found out is answered as unknown.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Inner;
use super::health::What;
use super::http::{Ask, Failure, PATIENCE};
use crate::store::{Body, Database, Rev, StoreError, Write, Written};

/// The most documents of a request.
const TOGETHER: usize = 500;

/// The longest request of several documents, in bytes.
const LONGEST: usize = 4 << 20;

/// How often is sent again what was not answered, and after how long.
const AGAIN: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1500)];

/// What CouchDB says of each document.
#[derive(Debug, Deserialize)]
struct Said {
    rev: Option<String>,
    error: Option<String>,
    #[serde(default)]
    reason: Value,
}

/// What is known of a write: `None`, nothing.
pub(super) type Known = Option<Written>;

impl Inner {
    /// Each by itself. A document that is there twice is written twice, one after the other. What became of each, and why nothing is
    /// known of some.
    pub(super) async fn bulk(&self, database: Database, writes: &[Write]) -> (Vec<Known>, Option<StoreError>) {
        let mut known: Vec<Known> = writes.iter().map(|write| deletes_nothing(write).then_some(Written::Conflict)).collect();
        let texts: Vec<String> = writes.iter().map(text).collect();
        while let Some(chosen) = choose(writes, &texts, &known) {
            if let Err(error) = self.send(database, writes, &texts, &chosen, &mut known).await {
                return (known, Some(error));
            }
        }
        (known, None)
    }

    /// One request's worth, until each of it is known.
    async fn send(
        &self,
        database: Database,
        writes: &[Write],
        texts: &[String],
        chosen: &[usize],
        known: &mut [Known],
    ) -> Result<(), StoreError> {
        let mut left = vec![chosen.to_vec()];
        let mut pauses = AGAIN.iter();
        // Sent before, and not answered.
        let mut unsure: HashSet<usize> = HashSet::new();
        while let Some(some) = left.pop() {
            let why = match self.post(database, texts, &some).await {
                Ok(answers) => {
                    let mut again = Vec::new();
                    for (&at, said) in some.iter().zip(answers) {
                        match of(said) {
                            Some(Written::Conflict) if unsure.contains(&at) => {
                                known[at] = Some(self.recognized(database, &writes[at]).await?);
                            }
                            Some(written) => known[at] = Some(written),
                            None => again.push(at),
                        }
                    }
                    if again.is_empty() {
                        continue;
                    }
                    unsure.extend(&again);
                    left.push(again);
                    "it did not say what became of some documents".to_owned()
                }
                // One of them is not wanted, and all are refused for it.
                Err(Failure::Status(status, why)) if is_refusal(status) => {
                    match some[..] {
                        [at] => known[at] = Some(Written::Refused(format!("it answers {status}: {why}"))),
                        _ => left.extend(some.chunks(some.len().div_ceil(2)).map(<[usize]>::to_vec)),
                    }
                    continue;
                }
                Err(Failure::Unsent(why)) if unsure.is_empty() => return Err(StoreError::Unreachable(why)),
                Err(failure @ Failure::Status(status, _)) if unsure.is_empty() && !status.is_server_error() => {
                    return Err(failure.into());
                }
                Err(failure) => {
                    if !matches!(failure, Failure::Unsent(_)) {
                        unsure.extend(&some);
                    }
                    left.push(some);
                    failure.to_string()
                }
            };
            match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(StoreError::Unanswered(why)),
            }
        }
        Ok(())
    }

    async fn post(&self, database: Database, texts: &[String], some: &[usize]) -> Result<Vec<Said>, Failure> {
        let documents: Vec<&str> = some.iter().map(|&at| texts[at].as_str()).collect();
        let body = format!("{{\"docs\":[{}]}}", documents.join(","));
        let path = format!("{}/_bulk_docs", self.name(database));
        let ask = Ask { method: Method::POST, path: &path, query: &[], body: Some(body), patience: PATIENCE, what: What::Write };
        let answers: Vec<Said> = self.http.ask(&ask).await?;
        if answers.len() == some.len() {
            return Ok(answers);
        }
        Err(Failure::Unanswered(format!("it was given {} documents, and answers for {}", some.len(), answers.len())))
    }

    /// Whether what conflicts was written by us, when no answer came.
    async fn recognized(&self, database: Database, write: &Write) -> Result<Written, StoreError> {
        let found = self.read(database, &write.id).await.map_err(|e| StoreError::Unanswered(e.to_string()))?;
        Ok(match (found, &write.body) {
            (Some(found), Some(body)) if alike_bodies(&found.body, body) => Written::Done(found.rev),
            // The version of what is gone is asked for by nobody.
            (None, None) => Written::Done(Rev(String::new())),
            _ => Written::Conflict,
        })
    }
}

/// Those that go into the next request: none twice, and not too much together.
fn choose(writes: &[Write], texts: &[String], known: &[Known]) -> Option<Vec<usize>> {
    let (mut chosen, mut ids, mut length) = (Vec::new(), HashSet::new(), 0);
    for (at, _) in known.iter().enumerate().filter(|(_, known)| known.is_none()) {
        if chosen.len() == TOGETHER || (length > 0 && length + texts[at].len() > LONGEST) {
            break;
        }
        if ids.insert(&writes[at].id) {
            length += texts[at].len();
            chosen.push(at);
        }
    }
    (!chosen.is_empty()).then_some(chosen)
}

fn deletes_nothing(write: &Write) -> bool {
    write.body.is_none() && write.expected.is_none()
}

/// A document as CouchDB takes it.
fn text(write: &Write) -> String {
    let mut document = write.body.clone().unwrap_or_default();
    document.retain(|key, _| !super::is_couchdbs(key));
    document.insert("_id".into(), write.id.as_str().into());
    if let Some(rev) = &write.expected {
        document.insert("_rev".into(), rev.0.as_str().into());
    }
    if write.body.is_none() {
        document.insert("_deleted".into(), true.into());
    }
    Value::Object(document).to_string()
}

/// What an answer means; `None`: it may have been written or not.
fn of(said: Said) -> Known {
    match (said.error.as_deref(), said.rev) {
        (None, Some(rev)) => Some(Written::Done(Rev(rev))),
        (Some("conflict"), _) => Some(Written::Conflict),
        (Some(error @ ("forbidden" | "unauthorized" | "too_large" | "bad_request" | "illegal_docid" | "doc_validation")), _) => {
            Some(Written::Refused(format!("{error}: {}", said.reason.as_str().unwrap_or_default())))
        }
        _ => None,
    }
}

/// Whether CouchDB will say the same the next time, for one of the documents.
fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::EXPECTATION_FAILED
            | StatusCode::UNPROCESSABLE_ENTITY
    )
}

/// Whether a stored document is what was written: CouchDB may write `1.0` as `1`.
fn alike_bodies(stored: &Body, written: &Body) -> bool {
    let own = |body: &Body| body.iter().filter(|(key, _)| !super::is_couchdbs(key)).map(|(k, v)| (k.clone(), plain(v))).collect();
    let (stored, written): (Body, Body) = (own(stored), own(written));
    stored == written
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), |number| json!(number)),
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(fields) => Value::Object(fields.iter().map(|(key, value)| (key.clone(), plain(value))).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
