//! HTTP to central: whichever of its URLs answers.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio::sync::watch;

use crate::config::Central;
use crate::https;

/// How long a connection may take to come about, and an answer beyond what was asked for: of the only URL.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(10));

/// The same where another URL can be tried.
const IMPATIENCE: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_secs(4));

/// How soon it is asked whether a machine that says nothing is still there; as often, once more, until it counts as gone.
const ALIVE: Duration = Duration::from_secs(1);

pub(super) struct Client {
    http: reqwest::Client,
    urls: Vec<String>,
    /// Which of them is asked: the one that answered last.
    at: watch::Sender<usize>,
    /// How long an answer may take.
    patience: Duration,
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
        let (connect, patience) = if central.urls.len() > 1 { IMPATIENCE } else { PATIENCE };
        let http = https::client(authorities.as_deref().map(|pem| (pem, "central.ca")))?
            .default_headers(headers)
            .connect_timeout(connect)
            .tcp_keepalive(ALIVE)
            .tcp_keepalive_interval(ALIVE)
            .tcp_keepalive_retries(2)
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { http, urls: central.urls.clone(), at: watch::Sender::new(0), patience })
    }

    pub(super) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Sends a report, compressed with gzip.
    pub(super) async fn report(&self, report: &[u8], sent_at: f64) -> Result<(), Failure> {
        let (at, url) = self.url();
        let request = self
            .http
            .post(format!("{url}/agent/report"))
            .query(&[("sent_at", sent_at)])
            .timeout(self.patience)
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_ENCODING, "gzip")
            .body(report.to_vec());
        self.answer(at, url, request).await.map(|_| ())
    }

    /// Asks for orders newer than `after`; `None` when there are none within `wait`. Goes along when reports go to another URL meanwhile.
    pub(super) async fn orders(
        &self,
        host: &str,
        instance: &str,
        after: &str,
        wait: Duration,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let mut moved = self.at.subscribe();
        loop {
            moved.borrow_and_update();
            let (at, url) = self.url();
            let request = self
                .http
                .get(format!("{url}/agent/orders"))
                .query(&[("host", host), ("instance", instance), ("after", after)])
                .query(&[("wait", wait.as_secs_f64())])
                .timeout(wait + self.patience);
            tokio::select! {
                biased;
                answer = self.answer(at, url, request) => return answer,
                Ok(()) = moved.changed() => {}
            }
        }
    }

    /// `None` for "nothing new". Where nobody answers, the next question goes to the next URL.
    async fn answer(&self, at: usize, url: &str, request: reqwest::RequestBuilder) -> Result<Option<Vec<u8>>, Failure> {
        let away = |e: reqwest::Error| {
            self.move_on(at);
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
                    self.move_on(at);
                    return Err(Failure::Away { url: url.to_owned(), why: format!("{status}: {message}") });
                }
                Err(Failure::Refused { url: url.to_owned(), status, message })
            }
        }
    }

    /// Which one is asked now, and where that is.
    fn url(&self) -> (usize, &str) {
        let at = *self.at.borrow();
        (at, self.urls.get(at).map_or("", String::as_str))
    }

    /// The next one is asked from now on, unless whoever failed before has seen to that.
    fn move_on(&self, from: usize) {
        let next = (from + 1) % self.urls.len().max(1);
        self.at.send_if_modified(|at| {
            let is_news = *at == from && next != from;
            if is_news {
                *at = next;
            }
            is_news
        });
    }
}
