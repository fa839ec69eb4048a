//! The listener: every route behind one door, plain or over TLS.

mod connections;
mod fleet;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _, SizeAbove};
use tower_http::decompression::RequestDecompressionLayer;

use crate::access::{Door, check};
use crate::answer::Answer;
use crate::central::Central;
use crate::{accounting, agents, audit, openapi, orchestrator, peers, series};

pub(crate) use connections::{Later, Until};

/// A longer body is refused with 413; reports may be longer.
const LONGEST_BODY: usize = 1024 * 1024;

/// Shorter answers are not compressed, in bytes: they fit into one packet anyway.
const WORTH_IT: u64 = 1024;

/// Everything that central answers.
pub fn app(central: Central) -> Router {
    let door = Door::new(central.access.clone(), &central.config.allowed_hosts);
    Router::new()
        .merge(orchestrator::router())
        .merge(series::router())
        .merge(accounting::router())
        .merge(audit::router())
        .merge(fleet::router())
        .merge(openapi::router())
        .merge(peers::router())
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .merge(agents::router())
        .fallback(async |uri: Uri| Answer::new(StatusCode::NOT_FOUND, format!("there is no path {:?}", uri.path())))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            Answer::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not for {:?}", uri.path()))
        })
        .layer(RequestDecompressionLayer::new())
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(SizeAbove::new(WORTH_IT))))
        .layer(from_fn_with_state(door, check))
        .with_state(central)
}

/// A listener that is bound, not yet served: what cannot be had is known before anything starts.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

impl Listener {
    /// Binds. Off loopback somebody has to have a token, unless the configuration says `insecure`.
    pub async fn bind(central: &Central) -> Result<Self> {
        let config = &central.config;
        ensure!(
            config.is_open() || central.access.has_tokens(),
            "listen = \"{}\" is no loopback address, and nobody has a token: make one (headroom-central token add), or set insecure = true",
            config.listen
        );
        let tls = config.tls.as_ref().map(tls::read).transpose()?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
        Ok(Self { listener, tls })
    }

    /// Where it listens: with port 0 in the configuration, the kernel chose one.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until `shutdown` is ready, then lets requests in flight end.
    pub async fn serve(self, central: Central, shutdown: impl Future<Output = ()>) {
        connections::serve(self.listener, self.tls, app(central), shutdown).await;
    }
}
