//! HTTP to central: whichever of its URLs answers.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::config::Central;
use crate::https;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);

/// How long an answer may take, beyond what was asked for.
const ANSWER: Duration = Duration::from_secs(10);

pub(super) struct Client {
    http: reqwest::Client,
    urls: Vec<String>,
    /// The one that answered last.
    at: Cell<usize>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody answers, or not now: it is tried again.
    #[error("{url} does not answer: {why}")]
    Away { url: String, why: String },
    /// Central refuses.
    #[error("{url} refuses ({status}): {message}")]
    Refused { url: String, status: StatusCode, message: String },
}

impl Client {
    pub(super) fn new(central: &Central) -> Result<Self> {
        let mut headers = HeaderMap::new();
        if let Some(token) = central.token()? {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.secret())).context("central.token_file")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let authorities = central.authorities()?;
        let http = https::client(authorities.as_deref().map(|pem| (pem, "central.ca")))?
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { http, urls: central.urls.clone(), at: Cell::new(0) })
    }

    pub(super) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Sends a report, compressed with gzip.
    pub(super) async fn report(&self, report: &[u8], sent_at: f64) -> Result<(), Failure> {
        let url = self.url();
        let request = self
            .http
            .post(format!("{url}/agent/report"))
            .query(&[("sent_at", sent_at)])
            .timeout(ANSWER)
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_ENCODING, "gzip")
            .body(report.to_vec());
        self.answer(&url, request).await.map(|_| ())
    }

    /// Asks for orders newer than `after`; `None` when there are none within `wait`.
    pub(super) async fn orders(
        &self,
        host: &str,
        instance: &str,
        after: &str,
        wait: Duration,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let url = self.url();
        let request = self
            .http
            .get(format!("{url}/agent/orders"))
            .query(&[("host", host), ("instance", instance), ("after", after)])
            .query(&[("wait", wait.as_secs_f64())])
            .timeout(wait + ANSWER);
        self.answer(&url, request).await
    }

    /// `None` for "nothing new". Where nobody answers, the next question goes to the next URL.
    async fn answer(&self, url: &str, request: reqwest::RequestBuilder) -> Result<Option<Vec<u8>>, Failure> {
        let away = |e: reqwest::Error| {
            self.at.set(self.at.get() + 1);
            Failure::Away { url: url.to_owned(), why: https::why(&e) }
        };
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(away)?;
        match status {
            StatusCode::NO_CONTENT => Ok(None),
            status if status.is_success() => Ok(Some(body.to_vec())),
            status => {
                #[derive(Deserialize)]
                struct Told {
                    message: String,
                }
                let text = || String::from_utf8_lossy(&body).chars().take(200).collect();
                let message = serde_json::from_slice::<Told>(&body).map_or_else(|_| text(), |told| told.message);
                if status.is_server_error() {
                    self.at.set(self.at.get() + 1);
                    return Err(Failure::Away { url: url.to_owned(), why: format!("{status}: {message}") });
                }
                Err(Failure::Refused { url: url.to_owned(), status, message })
            }
        }
    }

    fn url(&self) -> String {
        self.urls.get(self.at.get() % self.urls.len().max(1)).cloned().unwrap_or_default()
    }
}
