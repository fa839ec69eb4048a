//! Stands before every route: the Host header, then the token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Access, Caller, Role};
use crate::answer::Answer;

/// What is asked of each request.
#[derive(Clone, Debug)]
pub struct Door {
    access: Arc<Access>,
    hosts: Arc<[String]>,
}

impl Door {
    /// Answers to loopback's names, the machine's, and `allowed_hosts`. An address is always answered: only names can be made to resolve
    /// to somebody else (DNS rebinding).
    pub fn new(access: Arc<Access>, allowed_hosts: &[String]) -> Self {
        let machine = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let own = ["localhost".to_owned()].into_iter().chain(machine);
        Self { access, hosts: own.chain(allowed_hosts.iter().cloned()).collect() }
    }

    fn admits(&self, request: &Request) -> Result<Caller, Answer> {
        self.knows_host(request)?;
        let path = request.uri().path();
        if matches!(path.trim_end_matches('/'), "/heartbeat" | "/openapi.json") {
            return Ok(Caller::Anyone);
        }
        let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = shown.and_then(bearer);
        let caller = self.access.caller(token).ok_or_else(|| {
            let message = match token {
                Some(_) => "the token is not known here",
                None => "a token is needed: the header \"Authorization: Bearer <token>\"",
            };
            Answer::new(StatusCode::UNAUTHORIZED, message)
        })?;
        match &caller {
            Caller::Anyone => Ok(caller),
            Caller::Holder { role, name } if may(role, request.method(), path) => {
                tracing::trace!(name, path, "let in");
                Ok(caller)
            }
            Caller::Holder { name, .. } => Err(Answer::new(
                StatusCode::FORBIDDEN,
                format!("the token of {name:?} is not good for {} {path}", request.method()),
            )),
        }
    }

    fn knows_host(&self, request: &Request) -> Result<(), Answer> {
        let mut headers = request.headers().get_all(header::HOST).iter();
        let header = match (headers.next(), headers.next()) {
            (Some(header), None) => header,
            (None, _) => return Err(Answer::bad("the Host header is missing")),
            (Some(_), Some(_)) => return Err(Answer::bad("there is more than one Host header")),
        };
        let authority = Authority::try_from(header.as_bytes())
            .map_err(|e| Answer::bad(format!("the Host header {header:?} is no host name: {e}")))?;
        let host = authority.host();
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if is_address || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        let message = format!("this service is not called {host:?}; allowed_hosts in central.toml can add names");
        Err(Answer::new(StatusCode::MISDIRECTED_REQUEST, message))
    }
}

/// What a role is good for.
fn may(role: &Role, method: &Method, path: &str) -> bool {
    let (of_agents, of_centrals) = (path.starts_with("/agent/"), path.starts_with("/central/"));
    let of_people = !of_agents && !of_centrals;
    match role {
        Role::Agent { .. } => of_agents,
        Role::Central => of_centrals,
        Role::Read => of_people && matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS),
        Role::Operate => of_people,
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The middleware. Routes find the [`Caller`] among the request's extensions.
pub async fn check(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    match door.admits(&request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(answer) => {
            let mut response = answer.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_good_for_what_they_say() {
        let agent = Role::Agent { host: "host0".into() };
        let table = [
            (&agent, Method::POST, "/agent/report", true),
            (&agent, Method::GET, "/structure/", false),
            (&Role::Read, Method::GET, "/structure/", true),
            (&Role::Read, Method::PUT, "/structure/a/guard", false),
            (&Role::Read, Method::GET, "/agent/orders", false),
            (&Role::Operate, Method::DELETE, "/user/a", true),
            (&Role::Operate, Method::POST, "/agent/report", false),
            (&Role::Operate, Method::POST, "/central/sets", false),
            (&Role::Read, Method::GET, "/central/hosts", false),
            (&agent, Method::GET, "/central/hosts", false),
            (&Role::Central, Method::POST, "/central/sets", true),
            (&Role::Central, Method::GET, "/structure/", false),
        ];
        for (role, method, path, expected) in table {
            assert_eq!(may(role, &method, path), expected, "{role:?} {method} {path}");
        }
    }
}
