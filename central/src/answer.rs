//! What routes answer: documents as JSON, and `{"message": ".."}` for everything that is no success.

use std::fmt;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::StoreError;

/// A status and what to tell: what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// No success.
    pub status: StatusCode,
    /// For people.
    pub message: String,
    there_already: bool,
}

impl Answer {
    /// Any status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), there_already: false }
    }

    /// 400: the request is wrong, or not allowed.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400: what was to be made is there.
    pub fn exists(message: impl Into<String>) -> Self {
        Self { there_already: true, ..Self::bad(message) }
    }

    /// 404: there is no such thing.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 503: something that is needed does not answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 500: we are broken.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// Whether it says that what was to be made is there.
    pub fn is_there_already(&self) -> bool {
        self.there_already
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Answer {}

impl From<StoreError> for Answer {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreachable(_) => Self::unavailable(format!("{error}; the change was not made")),
            StoreError::Unanswered(_) => {
                Self::unavailable(format!("{error}; whether the change was made is not known, look before you make it again"))
            }
            StoreError::Refused(_) => Self::bad(format!("{error}; the change was not made")),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            message: String,
        }
        json(self.status, &Body { message: self.message })
    }
}

/// Answers with a document.
pub fn json(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(e) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{{\"message\": \"cannot write the answer: {e}\"}}")).into_response()
        }
    }
}

/// A change that was made, durably: 201, and the body `201`.
pub fn done() -> Response {
    json(StatusCode::CREATED, &201)
}
