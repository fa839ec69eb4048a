//! Answers that are to come later: when there is news, or when their time has come.
//!
//! A handler does not wait for that. It answers as things are, and says what the connection is to wait for ([`Later`]). That answer is not
//! given: HTTP's buffers go, and the request is asked again, as it came, when there is news. Each agent has a connection for orders, which
//! waits nearly always.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// In an answer's extensions: it is to be given when its time has come, and before that it is asked again when there is news.
#[derive(Clone, Debug)]
pub(crate) struct Later {
    /// Changes when there is.
    pub(crate) news: watch::Receiver<u64>,
    pub(crate) until: Instant,
}

/// In the extensions of a request that is asked again: until when it waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until(pub(crate) Instant);

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) later: Later,
    /// As it is said, with what was said after it.
    pub(super) request: Bytes,
}

impl Waiting {
    pub(super) fn followed_by(self, more: &[u8]) -> Self {
        Self { request: [&self.request[..], more].concat().into(), ..self }
    }
}

/// Answers one request after the other, until one has to wait.
#[derive(Debug)]
pub(super) struct Answers<'a> {
    app: &'a TowerToHyperService<Router>,
    /// Of the first request, where that one is asked again.
    until: Mutex<Option<Instant>>,
    waiting: Mutex<Option<Waiting>>,
}

/// Nothing was answered: HTTP ends, and the connection does not.
#[derive(Debug, thiserror::Error)]
#[error("the answer is to come later")]
pub(super) struct Unanswered;

impl<'a> Answers<'a> {
    pub(super) fn new(app: &'a TowerToHyperService<Router>, until: Option<Instant>) -> Self {
        Self { app, until: Mutex::new(until), waiting: Mutex::new(None) }
    }

    pub(super) async fn answer(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Unanswered> {
        let again = (request.method() == Method::GET).then(|| head(&request));
        // A body cannot be asked again: what has one does not wait.
        let now = (again.is_none() || !request.body().is_end_stream()).then(Instant::now);
        if let Some(until) = now.or(self.until.lock().take()) {
            request.extensions_mut().insert(Until(until));
        }
        let Ok(mut response) = self.app.call(request).await;
        match (response.extensions_mut().remove(), again) {
            (Some(later), Some(request)) => {
                *self.waiting.lock() = Some(Waiting { later, request: request.into() });
                Err(Unanswered)
            }
            _ => Ok(response),
        }
    }

    /// The request that has to wait.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        self.waiting.lock().take()
    }
}

/// A request without a body, as it is said.
fn head(request: &Request<Incoming>) -> Vec<u8> {
    let mut head = format!("{} {} {:?}\r\n", request.method(), request.uri(), request.version()).into_bytes();
    for (name, value) in request.headers() {
        for part in [name.as_str().as_bytes(), &b": "[..], value.as_bytes(), &b"\r\n"[..]] {
            head.extend(part);
        }
    }
    head.extend(b"\r\n");
    head
}
