//! Connections: taken, spoken HTTP/1.1 over, with or without TLS, and ended.
//!
//! Each agent keeps two of them, and over most nothing goes most of the time. So what HTTP needs, two buffers of 8 KiB above all, is there from
//! a request's first byte until shortly after its answer, and not in between; nor while an answer is to come later ([`later`]).

mod later;

use std::io::Cursor;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::answer::Answer;
use later::{Answers, Waiting};
pub(crate) use later::{Later, Until};

/// How long a connection may take for the first byte of its next request.
const IDLE: Duration = Duration::from_secs(75);

/// What a connection may take once something goes over it.
const PACE: Pace = Pace { again: Duration::from_millis(100), header: Duration::from_secs(30) };

/// How long it may take to agree on TLS.
const AGREE: Duration = Duration::from_secs(10);

/// How long requests in flight may go on at the end.
const GRACE: Duration = Duration::from_secs(2);

/// How long is waited after a connection that could not be taken: there are too many.
const PAUSE: Duration = Duration::from_millis(50);

/// The first byte of whoever begins to speak TLS: the type of its record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

#[derive(Clone, Copy)]
struct Pace {
    /// How long it has its buffers after an answer, for who asks again at once.
    again: Duration,
    /// How long the rest of a header may take that has not come within `again`.
    header: Duration,
}

/// Takes connections until `shutdown` is ready, then lets requests in flight end.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    app: Router,
    shutdown: impl Future<Output = ()>,
) {
    let tls = tls.map(TlsAcceptor::from);
    let (end, ends) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            taken = listener.accept() => match taken {
                Ok((socket, _)) => drop(connections.spawn(take(socket, tls.clone(), app.clone(), ends.clone()))),
                Err(e) => {
                    tracing::debug!("a connection is not taken: {e}");
                    sleep(PAUSE).await;
                }
            },
        }
    }
    drop((listener, end));
    let all = async { while connections.join_next().await.is_some() {} };
    // Those that are still there then are cut off.
    timeout(GRACE, all).await.ok();
}

async fn take(socket: TcpStream, tls: Option<TlsAcceptor>, app: Router, ends: watch::Receiver<()>) {
    // Answers go as they are made. Without it they only go later.
    socket.set_nodelay(true).ok();
    let Some(tls) = tls else { return speak(socket, app, PACE, ends).await };
    let mut first = [0];
    let peeked = timeout(AGREE, socket.peek(&mut first)).await;
    match peeked {
        Ok(Ok(1..)) if first == [TLS_HANDSHAKE] => {
            if let Ok(Ok(stream)) = timeout(AGREE, tls.accept(socket)).await {
                // Apart: it is larger than what a connection without TLS has.
                Box::pin(speak(stream, app, PACE, ends)).await;
            }
        }
        Ok(Ok(1..)) => {
            let refuse = async || {
                Answer::bad("this address speaks TLS: ask https://, and trust the authority that its certificate is from")
            };
            speak(socket, Router::new().fallback(refuse), PACE, ends).await;
        }
        _ => {}
    }
}

/// What is spoken over, and the socket below it.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Answers requests until the connection ends.
async fn speak(mut stream: impl Stream, app: Router, pace: Pace, mut ends: watch::Receiver<()>) {
    let app = TowerToHyperService::new(app);
    // What was read and not answered; whether its rest is slow; and until when it waits.
    let (mut said, mut is_slow, mut until) = (Bytes::new(), false, None);
    loop {
        let (reader, writer) = tokio::io::split(&mut stream);
        let whole = tokio::io::join(Cursor::new(said).chain(reader), writer);
        let patience = if is_slow { pace.header } else { pace.again };
        // The first request may have come with the end of TLS's handshake: then the socket has nothing more.
        let left = Box::pin(requests(whole, &app, patience, until, &mut ends)).await;
        let mut first = [0];
        (said, is_slow, until) = match left {
            Left::Nothing => tokio::select! {
                peeked = timeout(IDLE, stream.socket().peek(&mut first)) => match peeked {
                    Ok(Ok(1..)) => (Bytes::new(), false, None),
                    _ => return,
                },
                _ = ends.changed() => return,
            },
            Left::Part(part) if !is_slow => (part, true, None),
            Left::Waiting(Waiting { mut later, request }) => tokio::select! {
                _ = later.news.changed() => (request, false, Some(later.until)),
                () = sleep_until(later.until) => (request, false, Some(later.until)),
                peeked = stream.socket().peek(&mut first) => match peeked {
                    // Who says more is given its answer first.
                    Ok(1..) => (request, false, Some(Instant::now())),
                    _ => return,
                },
                _ = ends.changed() => return,
            },
            Left::Part(_) | Left::Ended => return,
        };
    }
}

/// What is left of a connection's requests.
enum Left {
    /// All were answered; more may come later.
    Nothing,
    /// The beginning of a header, whose rest is slow.
    Part(Bytes),
    /// A request whose answer is to come later.
    Waiting(Waiting),
    /// No more can come.
    Ended,
}

/// Answers requests that follow on each other, each header within `patience`. `until`: how long the first one waits, if it has waited.
async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    app: &TowerToHyperService<Router>,
    patience: Duration,
    until: Option<Instant>,
    ends: &mut watch::Receiver<()>,
) -> Left {
    let answers = Answers::new(app, until);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let mut connection = http.serve_connection(TokioIo::new(stream), service_fn(|request| answers.answer(request)));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = ends.changed() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            // Nobody is left to be told what went wrong.
            connection.await.ok();
            return Left::Ended;
        }
    };
    let read = connection.into_parts().read_buf;
    match (answers.waiting(), ended) {
        (Some(waiting), _) => Left::Waiting(waiting.followed_by(&read)),
        (None, Err(e)) if e.is_timeout() && read.is_empty() => Left::Nothing,
        (None, Err(e)) if e.is_timeout() => Left::Part(read),
        _ => Left::Ended,
    }
}

#[cfg(test)]
mod tests;
