//! Every answer that is no success: `{"message": ".."}`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::command::{Busy, WriteError};

/// A status and what to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400: the request is wrong.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404 for a container.
    pub(super) fn no_container(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no container {name:?} on this host; GET /container/ lists them"))
    }

    /// What became of a write to the container `name`.
    pub(super) fn write(name: &str, error: &WriteError) -> Self {
        let status = match error {
            WriteError::Gone => StatusCode::NOT_FOUND,
            WriteError::Refused { .. } => StatusCode::BAD_REQUEST,
            WriteError::Conflict { .. } => StatusCode::CONFLICT,
            WriteError::HalfDone { .. } | WriteError::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, format!("container {name:?}: {error}"))
    }
}

impl From<Busy> for ApiError {
    fn from(busy: Busy) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, busy.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            message: String,
        }
        let mut response = json(self.status, &Body { message: self.message });
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Answers with a document.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(e) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{{\"message\": \"cannot write the answer: {e}\"}}")).into_response()
        }
    }
}
