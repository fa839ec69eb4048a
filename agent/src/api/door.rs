//! Who may come in by a listener: the Host header, and the token for writes.
//!
//! A web page that a person of this host looks at must not reach the API by a name that resolves to loopback (DNS rebinding):
//! only names that were asked for are answered. A container that shares the host's network reaches loopback: writes need a token.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use crate::config::Token;

/// What one listener asks of requests.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// Host names that are answered, without port.
    hosts: Vec<String>,
    writes: Writes,
}

/// A door that is changed while requests come in.
pub(super) type SharedDoor = Arc<ArcSwap<Door>>;

/// Who may write.
#[derive(Clone, Debug)]
pub(super) enum Writes {
    /// Everybody who can connect.
    Open,
    /// Who shows the token.
    Token(Token),
    /// Nobody.
    Closed,
}

impl Door {
    /// A TCP listener's door.
    pub(super) fn tcp(address: SocketAddr, allowed_hosts: &[String], writes: Writes) -> Self {
        let own = match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        let mut door = Self::unix(allowed_hosts);
        door.hosts.push(own);
        door.writes = writes;
        door
    }

    /// A unix socket's door: its file mode says who may come in.
    pub(super) fn unix(allowed_hosts: &[String]) -> Self {
        let mut hosts = ["127.0.0.1", "localhost", "[::1]"].map(str::to_owned).to_vec();
        hosts.extend_from_slice(allowed_hosts);
        Self { hosts, writes: Writes::Open }
    }

    fn admits(&self, request: &Request) -> Result<(), ApiError> {
        self.knows_host(request)?;
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let refused = |message| Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
        match &self.writes {
            Writes::Open => Ok(()),
            Writes::Closed => {
                refused("writes over TCP need a token, and api.token_file is not set: set it, or use the unix socket")
            }
            Writes::Token(token) => match bearer(request) {
                Some(shown) if token.is(shown) => Ok(()),
                Some(_) => refused("the token is wrong"),
                None => refused("writes over TCP need the header \"Authorization: Bearer <token>\", or use the unix socket"),
            },
        }
    }

    fn knows_host(&self, request: &Request) -> Result<(), ApiError> {
        let mut headers = request.headers().get_all(header::HOST).iter();
        let header = match (headers.next(), headers.next()) {
            (Some(header), None) => header,
            (None, _) => return Err(ApiError::bad("the Host header is missing")),
            (Some(_), Some(_)) => return Err(ApiError::bad("there is more than one Host header")),
        };
        let authority = Authority::try_from(header.as_bytes());
        let authority = authority.map_err(|e| ApiError::bad(format!("the Host header {header:?} is no host name: {e}")))?;
        let named = [Some(&authority), request.uri().authority()];
        match named.into_iter().flatten().find(|name| !self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name.host()))) {
            None => Ok(()),
            Some(unknown) => Err(ApiError::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!("this agent is not called {:?}; api.allowed_hosts can add names", unknown.host()),
            )),
        }
    }
}

/// The token of an Authorization header.
fn bearer(request: &Request) -> Option<&[u8]> {
    let (scheme, token) = request.headers().get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Stands before every route.
pub(super) async fn check(State(door): State<SharedDoor>, request: Request, next: Next) -> Response {
    match door.load().admits(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}
