//! Bounds what connections cost: so many at once, and none that just sits there.
//!
//! A connection has a few seconds for the whole header of its next request, the first one or another. Where all places are taken, who
//! comes gets that of the connection that has gone longest without a request; where all are being answered, it waits for one. Each
//! listener has its own places, so a crowd on TCP does not shut out who uses the unix socket.

mod handshake;
mod places;
mod stalled;

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use self::places::{Place, Places};
use self::stalled::Stalled;

/// What a listener's connections may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections at once.
    most: usize,
    /// Within this a connection has sent the whole header of its next request.
    header: Duration,
    /// A connection on which nothing moves for so long is closed, also in the middle of a request.
    stalled: Duration,
}

impl Bounds {
    /// The longest write is answered well within `stalled`.
    pub(super) const USUAL: Self = Self { most: 64, header: Duration::from_secs(5), stalled: Duration::from_mins(1) };
}

/// Serves, over TLS where there is a `tls`, until `ending` holds true, and then until the last request is answered.
pub(super) async fn serve<L: Listener>(
    mut listener: L,
    tls: Option<TlsAcceptor>,
    router: Router,
    bounds: Bounds,
    ending: watch::Receiver<bool>,
) {
    let places = Places::new(bounds.most);
    let mut open = JoinSet::new();
    let mut ended = pin!(ended(ending.clone()));
    loop {
        let come = async {
            let (io, _) = listener.accept().await;
            (io, places.take().await)
        };
        let (io, place) = tokio::select! {
            () = &mut ended => break,
            come = come => come,
        };
        while open.try_join_next().is_some() {}
        let (router, ending) = (router.clone(), ending.clone());
        match tls.clone() {
            None => open.spawn(attend(io, place, router, bounds, ending)),
            Some(tls) => open.spawn(async move {
                // Who does not shake hands in time loses its place, as who sends no header.
                match tokio::time::timeout(bounds.header, handshake::shake_hands(&tls, io)).await {
                    Ok(Ok(io)) => attend(io, place, router, bounds, ending).await,
                    Ok(Err(e)) => tracing::debug!("a connection to the API speaks no TLS that we do: {e}"),
                    Err(_) => tracing::debug!("a connection to the API took too long to begin TLS"),
                }
            }),
        };
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

async fn ended(mut ending: watch::Receiver<bool>) {
    // Who would tell is gone: that is the end, too.
    drop(ending.wait_for(|ends| *ends).await);
}

/// Serves one connection until it ends, is sent away, or the agent ends.
async fn attend<Io>(io: Io, place: Place, router: Router, bounds: Bounds, ending: watch::Receiver<bool>)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let place = Arc::new(place);
    let service = Attended { router: TowerToHyperService::new(router), place: Arc::clone(&place) };
    let io = TokioIo::new(Stalled::new(io, bounds.stalled));
    let mut connection =
        pin!(http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(bounds.header).serve_connection(io, service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = place.sent_away() => return,
        () = ended(ending) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = served {
        tracing::debug!("a connection to the API ended: {e}");
    }
}

/// The router, for one connection: its place is not given to others while it is being answered.
struct Attended {
    router: TowerToHyperService<Router>,
    place: Arc<Place>,
}

impl Service<hyper::Request<Incoming>> for Attended {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let busy = self.place.busy();
        let answer = self.router.call(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(busy);
            answer
        })
    }
}

#[cfg(test)]
mod tests;
