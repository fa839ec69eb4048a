//! Asking another central.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::http::StatusCode;
use flate2::read::GzDecoder;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::config::Settings;
use crate::answer::Answer;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// The longest answer, in bytes: a large fleet's hosts, all at once.
const LONGEST: u64 = 1 << 30;

/// Shows the same token to all of them.
#[derive(Debug)]
pub(super) struct Client(reqwest::Client);

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        // Where another part of the program was first, it is the same.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        if let Some(file) = &settings.token_file {
            let read = || format!("peers.token_file = {}", file.display());
            let token = std::fs::read_to_string(file).with_context(read)?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim())).with_context(read)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = |trusted: Option<Vec<Certificate>>| {
            let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).default_headers(headers.clone());
            let client = client.connect_timeout(CONNECT).timeout(ANSWER);
            if let Some(trusted) = trusted { client.tls_certs_only(trusted) } else { client }.build()
        };
        let client = match &settings.ca {
            Some(file) => {
                let read = || format!("peers.ca = {}", file.display());
                let pem = std::fs::read(file).with_context(read)?;
                client(Some(Certificate::from_pem_bundle(&pem).with_context(read)?))
            }
            // A machine without authorities may have others to ask by plain HTTP.
            None => client(None).or_else(|_| client(Some(Vec::new()))),
        };
        Ok(Self(client.context("cannot make an HTTP client")?))
    }

    /// A question.
    pub(super) async fn get<T: DeserializeOwned>(&self, url: &str, path: &str, query: &[(&str, String)]) -> Result<T, Answer> {
        answer(url, self.0.get(format!("{url}{path}")).query(query)).await
    }

    /// An order, which may take so much longer.
    pub(super) async fn post(&self, url: &str, path: &str, body: &Value, longer: Duration) -> Result<(), Answer> {
        let request = self.0.post(format!("{url}{path}")).header(CONTENT_TYPE, "application/json").body(body.to_string());
        answer::<Value>(url, request.timeout(ANSWER + longer)).await.map(drop)
    }
}

/// What it answers; an error is passed on as its own.
async fn answer<T: DeserializeOwned>(url: &str, request: RequestBuilder) -> Result<T, Answer> {
    let away = |e: &dyn std::fmt::Display| Answer::unavailable(format!("the central at {url} does not answer: {e}"));
    let answer = request.send().await.map_err(|e| away(&why(&e)))?;
    let (status, is_gzip) = (answer.status(), answer.headers().get(CONTENT_ENCODING).is_some_and(|of| of == "gzip"));
    let mut body = answer.bytes().await.map_err(|e| away(&why(&e)))?.to_vec();
    if is_gzip {
        let mut plain = Vec::new();
        GzDecoder::new(body.as_slice()).take(LONGEST).read_to_end(&mut plain).map_err(|e| away(&e))?;
        body = plain;
    }
    if !status.is_success() {
        let said = serde_json::from_slice::<Value>(&body).ok();
        let message = said.as_ref().and_then(|said| said.get("message")?.as_str()).unwrap_or("no reason is given");
        let status = StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        return Err(Answer::new(status, message));
    }
    serde_json::from_slice(&body).map_err(|e| away(&format!("it is not understood: {e}")))
}

/// The innermost reason: the others only say that there is none.
fn why(error: &reqwest::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { reason.to_string() }
}
