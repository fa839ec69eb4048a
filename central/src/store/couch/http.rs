//! Requests, one at a time: with a session, under a clock, bounded, and with what is wrong written down.

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;

use couch_rs::Client;
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Settings;
use super::health::{Health, What};
use super::session::Session;
use crate::store::StoreError;

/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How many requests are on their way at once, beside the feeds.
const AT_ONCE: usize = 32;

/// The longest answer that is taken, in bytes: a document has 8 MB by default.
const LONGEST: usize = 128 << 20;

/// A question, or an order.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// `db/_bulk_docs`; escaped.
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<String>,
    pub(super) patience: Duration,
    /// What it is for.
    pub(super) what: What,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str, query: &'a [(&'a str, &'a str)], what: What) -> Self {
        Self { method: Method::GET, path, query, body: None, patience: PATIENCE, what }
    }
}

/// What did not come back.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It never got there.
    Unsent(String),
    /// It may have been carried out.
    Unanswered(String),
    /// It was answered with this status, for this reason.
    Status(StatusCode, String),
    /// The answer is longer than [`LONGEST`].
    TooLong,
}

impl Failure {
    pub(super) fn is(&self, status: StatusCode) -> bool {
        matches!(self, Self::Status(is, _) if *is == status)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsent(why) | Self::Unanswered(why) => f.write_str(why),
            Self::Status(status, why) => write!(f, "it answers {status}: {why}"),
            Self::TooLong => write!(f, "its answer is longer than {LONGEST} bytes"),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::Unreachable(failure.to_string())
    }
}

#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    session: Session,
    permits: Semaphore,
    pub(super) health: Health,
}

impl Http {
    pub(super) fn new(settings: &Settings) -> Result<Self, StoreError> {
        // Where another part of the program was first, it is the same.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = Client::new_with_timeout(&settings.url, None, None, None);
        let client = client.map_err(|e| StoreError::Refused(format!("couchdb.url = {:?}: {e}", settings.url)))?;
        let session = Session::new(settings.credentials_file.clone());
        Ok(Self { client, session, permits: Semaphore::new(AT_ONCE), health: Health::default() })
    }

    /// The answer, as JSON.
    pub(super) async fn ask<T: DeserializeOwned>(&self, ask: &Ask<'_>) -> Result<T, Failure> {
        let text = self.text(ask).await?;
        serde_json::from_slice(&text).map_err(|e| {
            let failure = Failure::Unanswered(format!("its answer is not understood: {e}"));
            self.health.fails(ask.what, &failure);
            failure
        })
    }

    async fn text(&self, ask: &Ask<'_>) -> Result<Vec<u8>, Failure> {
        let permit = match ask.what {
            What::Feed(_) => None,
            _ => self.permits.acquire().await.ok(),
        };
        let asked = Instant::now();
        let answered = self.with_session(ask).await;
        drop(permit);
        match &answered {
            Ok(_) => self.health.works(ask.what, asked.elapsed()),
            // What is not there is an answer too.
            Err(failure) if failure.is(StatusCode::NOT_FOUND) && matches!(ask.what, What::Read) => {}
            Err(failure) => self.health.fails(ask.what, failure),
        }
        answered
    }

    /// A session that has run out is made anew, once.
    async fn with_session(&self, ask: &Ask<'_>) -> Result<Vec<u8>, Failure> {
        let mut is_new = false;
        loop {
            let pass = self.session.pass(&self.client).await.map_err(Failure::Unsent)?;
            let opts: HashMap<String, String> = ask.query.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            let mut request = self.client.req(ask.method.clone(), ask.path, Some(&opts)).timeout(ask.patience);
            if let Some(pass) = &pass {
                let (name, value) = pass.header();
                request = request.header(name, value);
            }
            if let Some(body) = &ask.body {
                request = request.body(body.clone());
            }
            let answer = request.send().await.map_err(|e| failed(&e))?;
            let status = answer.status();
            let text = read(answer).await;
            match pass {
                Some(pass) if status == StatusCode::UNAUTHORIZED && is_new => {
                    let why = format!("it does not accept the session that it gave: {}", reason(&text?));
                    self.session.give_up(&pass, &why).await;
                    return Err(Failure::Status(status, why));
                }
                Some(pass) if status == StatusCode::UNAUTHORIZED => {
                    self.session.forget(&pass).await;
                    is_new = true;
                }
                _ if status.is_success() => return text,
                _ => return Err(Failure::Status(status, text.map_or_else(|e| e.to_string(), |text| reason(&text)))),
            }
        }
    }
}

async fn read(mut answer: Response) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| failed(&e))? {
        if text.len() + chunk.len() > LONGEST {
            return Err(Failure::TooLong);
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

fn failed(error: &reqwest::Error) -> Failure {
    let why = chain(error);
    if error.is_connect() || error.is_builder() { Failure::Unsent(why) } else { Failure::Unanswered(why) }
}

/// An error with what it comes from.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "no answer in time".to_owned() } else { "no answer".to_owned() };
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = error.source();
    }
    text
}

/// What CouchDB says of an error: `{"error": "conflict", "reason": "Document update conflict."}`.
fn reason(text: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        error: String,
        #[serde(default)]
        reason: serde_json::Value,
    }
    match serde_json::from_slice::<Said>(text) {
        Ok(Said { error, reason: serde_json::Value::String(reason) }) => format!("{error}: {reason}"),
        Ok(Said { error, .. }) => error,
        Err(_no_couchdb) => String::from_utf8_lossy(text).chars().take(200).collect(),
    }
}

/// A name as a part of a path.
pub(super) fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_of_paths() {
        assert_eq!((escaped("cont0"), escaped("a/b ü+")), ("cont0".into(), "a%2Fb%20%C3%BC%2B".into()));
    }

    #[test]
    fn reasons_are_couchdbs_or_the_beginning_of_what_came() {
        assert_eq!(
            reason(br#"{"error":"conflict","reason":"Document update conflict."}"#),
            "conflict: Document update conflict."
        );
        assert_eq!(reason(br#"{"error":"odd","reason":null}"#), "odd");
        assert_eq!(reason(b"<html>"), "<html>");
    }
}
