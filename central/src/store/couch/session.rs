//! Who we are to CouchDB.
//!
//! CouchDB locks an account for minutes after five wrong passwords. So a password is shown once, for a session, by one caller at a time;
//! everything else shows the session's cookie, and a cookie that has run out is no wrong password. One that was refused is not shown again
//! for a minute and longer, until the file has another.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use couch_rs::Client;
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, SET_COOKIE};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::http;

/// How long a refused password is not shown again: doubled each time, up to the last. Five within five minutes would lock the account.
const PAUSE: (Duration, Duration) = (Duration::from_mins(1), Duration::from_mins(10));

/// How long CouchDB may take to say whether a password is right.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a request shows.
#[derive(Debug)]
pub(super) struct Pass {
    name: HeaderName,
    value: HeaderValue,
}

impl Pass {
    fn new(name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self { name, value }
    }

    pub(super) fn header(&self) -> (HeaderName, HeaderValue) {
        (self.name.clone(), self.value.clone())
    }
}

#[derive(Debug)]
pub(super) struct Session {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pass: Option<Arc<Pass>>,
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    /// What the file had.
    credentials: String,
    until: Instant,
    pause: Duration,
    why: String,
}

impl Session {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file, state: Mutex::default() }
    }

    /// What the next request has to show; nothing where nobody is named. An error says why none can be made now.
    pub(super) async fn pass(&self, client: &Client) -> Result<Option<Arc<Pass>>, String> {
        let Some(file) = &self.file else { return Ok(None) };
        let mut state = self.state.lock().await;
        if let Some(pass) = &state.pass {
            return Ok(Some(Arc::clone(pass)));
        }
        let credentials = tokio::fs::read_to_string(file).await;
        let credentials = credentials.map_err(|e| format!("couchdb.credentials_file = {}: {e}", file.display()))?;
        if let Some(refused) = state.refused.as_ref().filter(|refused| refused.credentials == credentials)
            && Instant::now() < refused.until
        {
            return Err(refused.why.clone());
        }
        let (name, password) = credentials
            .trim_end_matches(['\n', '\r'])
            .split_once(':')
            .ok_or_else(|| format!("couchdb.credentials_file = {}: expected one line, name:password", file.display()))?;
        let (basic, answer) = begin(client, name, password).await.map_err(|e| format!("no session: {}", http::chain(&e)))?;
        let status = answer.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let text = answer.text().await.unwrap_or_default();
            let why = format!("it refuses the name and password in {} ({status} {})", file.display(), text.trim());
            state.refuse(credentials.clone(), &why);
            return Err(state.refused.as_ref().map_or(why, |refused| refused.why.clone()));
        }
        if status.is_server_error() {
            return Err(format!("no session: it answers {status}"));
        }
        // A server that knows no sessions has accepted the password nevertheless.
        let cookie = cookie(&answer).and_then(|cookie| Some(Pass::new(COOKIE, HeaderValue::from_str(&cookie).ok()?)));
        let pass = cookie.or_else(|| Some(Pass::new(AUTHORIZATION, basic?)));
        let pass = Arc::new(pass.ok_or("the name or the password has characters that cannot be sent")?);
        (state.pass, state.refused) = (Some(Arc::clone(&pass)), None);
        Ok(Some(pass))
    }

    /// It was not accepted: another one has to be made.
    pub(super) async fn forget(&self, pass: &Arc<Pass>) {
        let mut state = self.state.lock().await;
        if state.pass.as_ref().is_some_and(|current| Arc::ptr_eq(current, pass)) {
            state.pass = None;
        }
    }

    /// One that was just made was not accepted either: nothing is shown for a while.
    pub(super) async fn give_up(&self, pass: &Arc<Pass>, why: &str) {
        self.forget(pass).await;
        let Some(file) = &self.file else { return };
        let credentials = tokio::fs::read_to_string(file).await.unwrap_or_default();
        self.state.lock().await.refuse(credentials, why);
    }
}

impl State {
    fn refuse(&mut self, credentials: String, why: &str) {
        let before = self.refused.take().filter(|before| before.credentials == credentials);
        let pause = before.map_or(PAUSE.0, |before| (before.pause * 2).min(PAUSE.1));
        let why = format!("{why}; they are not tried again for {} s, or until the file changes", pause.as_secs());
        self.refused = Some(Refused { credentials, until: Instant::now() + pause, pause, why });
    }
}

/// Asks for a session. With what a request has to show where there are none.
async fn begin(client: &Client, name: &str, password: &str) -> reqwest::Result<(Option<HeaderValue>, Response)> {
    let request = client.req(Method::POST, "_session", None).timeout(PATIENCE).basic_auth(name, Some(password));
    let (client, request) = request.body(json!({"name": name, "password": password}).to_string()).build_split();
    let request = request?;
    let basic = request.headers().get(AUTHORIZATION).cloned();
    Ok((basic, client.execute(request).await?))
}

fn cookie(answer: &Response) -> Option<String> {
    let cookies = answer.headers().get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
    let is_session = |pair: &&str| pair.strip_prefix("AuthSession=").is_some_and(|value| !value.is_empty());
    cookies.filter_map(|cookie| cookie.split(';').next()).find(is_session).map(str::to_owned)
}
