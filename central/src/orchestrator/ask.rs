//! What comes with a request: names in the path, a body, and who asks.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::LONGEST_BODY;
use crate::access::Caller;
use crate::answer::{Answer, done, json};
use crate::central::Central;
use crate::store::Body;

/// Longer than it takes to send a body.
const LONGEST_SENDING: Duration = Duration::from_secs(10);

/// `GET /heartbeat`
pub(super) async fn heartbeat() -> Response {
    json(StatusCode::OK, &json!({ "status": "alive" }))
}

/// The names in the path, decoded.
pub(super) struct At<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(names)| Self(names)).map_err(|e| Answer::new(e.status(), e.body_text()))
    }
}

/// Who asks for a change, and of what.
pub(super) struct Asker {
    pub(super) central: Central,
    name: String,
}

impl Asker {
    /// It was made: the audit knows, and the answer says so.
    pub(super) fn did(&self, what: String) -> Response {
        self.central.audit.changed(&self.name, what);
        done()
    }

    /// The same, about one structure.
    pub(super) fn did_to(&self, structure: &str, what: String) -> Response {
        self.central.audit.changed_structure(&self.name, structure, what);
        done()
    }
}

impl FromRequestParts<Central> for Asker {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, central: &Central) -> Result<Self, Answer> {
        let caller = parts.extensions.get::<Caller>().unwrap_or(&Caller::Anyone);
        Ok(Self { central: central.clone(), name: caller.name().to_owned() })
    }
}

/// A body that does not matter: there may be none, whatever the Content-Type says.
pub(super) struct NoBody;

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Answer;

    async fn from_request(request: Request, state: &S) -> Result<Self, Answer> {
        bytes(request, state).await.map(|_| Self)
    }
}

/// The JSON object that a body is.
pub(super) struct Fields(pub(super) Body);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Answer;

    async fn from_request(request: Request, state: &S) -> Result<Self, Answer> {
        let other_type = other_type(request.headers());
        if let Some(answer) = &other_type
            && !is_curls(request.headers())
        {
            return Err(answer.clone());
        }
        let bytes = bytes(request, state).await?;
        if bytes.trim_ascii().is_empty() {
            return Err(Answer::bad("the body is empty; expected a JSON object"));
        }
        match (serde_json::from_slice(&bytes), other_type) {
            (Ok(Value::Object(fields)), _) => Ok(Self(fields)),
            (_, Some(answer)) => Err(answer),
            (parsed, None) => Err(no_object(parsed)),
        }
    }
}

fn no_object(parsed: Result<Value, serde_json::Error>) -> Answer {
    match parsed {
        Ok(other) => {
            let message = format!("the body is {}; expected a JSON object", kind(&other));
            Answer::new(StatusCode::UNPROCESSABLE_ENTITY, message)
        }
        Err(e) => Answer::bad(format!("the body is no JSON: {e}; expected a JSON object")),
    }
}

impl Fields {
    /// What stands under `value`.
    pub(super) fn value(&self) -> Result<&Value, Answer> {
        self.get("value")
    }

    /// What stands under a key that has to be there.
    pub(super) fn get(&self, key: &str) -> Result<&Value, Answer> {
        let expected = || Answer::bad(format!("{key:?} is missing; expected {{\"{key}\": ..}}"));
        self.0.get(key).filter(|value| !value.is_null()).ok_or_else(expected)
    }
}

/// 415 for what is said to be something else than JSON.
fn other_type(headers: &HeaderMap) -> Option<Answer> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    let media = media(text);
    if media == "application/json" || (media.starts_with("application/") && media.ends_with("+json")) {
        return None;
    }
    let message = format!("the Content-Type is {text:?}; expected application/json");
    Some(Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// What curl says of every body (`-d`) unless it is told otherwise: JSON is taken for JSON all the same.
fn is_curls(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|header| header.to_str().ok());
    text.is_some_and(|text| media(text) == "application/x-www-form-urlencoded")
}

fn media(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Answer> {
    match timeout(LONGEST_SENDING, Bytes::from_request(request, state)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(e)) => {
            let message = format!("{}; the longest body is {} KiB", e.body_text(), LONGEST_BODY / 1024);
            Err(Answer::new(e.status(), message))
        }
        Err(_) => Err(Answer::new(StatusCode::REQUEST_TIMEOUT, format!("the body was not sent within {LONGEST_SENDING:?}"))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
