use std::io::{self, Read as _, Write as _};
use std::net;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use axum::extract::Extension;
use axum::response::IntoResponse as _;
use axum::routing::get;
use tokio::io::ReadBuf;
use tokio::sync::oneshot;

use super::*;

const ASK: &[u8] = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn app() -> Router {
    Router::new().route("/x", get(async || "told"))
}

const QUICK: Pace = Pace { again: Duration::from_millis(1), header: Duration::from_millis(1) };

/// Both ends of a connection.
async fn pair() -> (net::TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Reads one answer.
fn answer(client: &mut net::TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"told") {
        assert_eq!(client.read(&mut byte).unwrap(), 1, "the connection has ended after {:?}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_its_buffers_were_given_back() {
    let (mut client, socket) = pair().await;
    let (_end, ends) = watch::channel(());
    let asks = thread::spawn(move || {
        for n in 0..300 {
            // Before, after, and just when the buffers go.
            thread::sleep(Duration::from_micros(n * 10));
            client.write_all(ASK).unwrap();
            assert!(answer(&mut client).starts_with("HTTP/1.1 200 OK"));
        }
    });
    speak(socket, app(), QUICK, ends).await;
    asks.join().unwrap();
}

/// A connection of which something has been read already, as by TLS with the end of its handshake.
struct Ahead {
    read: &'static [u8],
    socket: TcpStream,
}

impl Stream for Ahead {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl AsyncRead for Ahead {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        buffer.put_slice(std::mem::take(&mut self.read));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Ahead {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_came_with_the_end_of_the_handshake_is_answered() {
    let (mut client, socket) = pair().await;
    let (_end, ends) = watch::channel(());
    let asks = thread::spawn(move || answer(&mut client));
    speak(Ahead { read: ASK, socket }, app(), QUICK, ends).await;
    assert!(asks.join().unwrap().starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_comes_in_parts_is_waited_for_and_the_connection_goes_on() {
    let (mut client, socket) = pair().await;
    let (_end, ends) = watch::channel(());
    let pace = Pace { header: Duration::from_secs(30), ..QUICK };
    let asks = thread::spawn(move || {
        for cut in [1, 10, ASK.len() - 1] {
            client.write_all(&ASK[..cut]).unwrap();
            thread::sleep(Duration::from_millis(20));
            client.write_all(&ASK[cut..]).unwrap();
            assert!(answer(&mut client).starts_with("HTTP/1.1 200 OK"));
            client.write_all(ASK).unwrap();
            assert!(answer(&mut client).starts_with("HTTP/1.1 200 OK"));
        }
    });
    speak(socket, app(), pace, ends).await;
    asks.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_header_is_not_waited_for_forever() {
    let (mut client, socket) = pair().await;
    let (_end, ends) = watch::channel(());
    client.write_all(ASK).unwrap();
    client.write_all(&ASK[..10]).unwrap();
    speak(socket, app(), QUICK, ends).await;
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    assert!(all.ends_with("told"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_requests_in_flight_are_answered_and_other_connections_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, told) = oneshot::channel::<()>();
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    let slow = move || async move {
        begun.send(()).unwrap();
        sleep(Duration::from_millis(50)).await;
        "told"
    };
    let app = app().route("/slow", get(slow));
    let serves = tokio::spawn(serve(listener, None, app, async { drop(told.await) }));
    let (mut idle, mut waits) = (net::TcpStream::connect(address).unwrap(), net::TcpStream::connect(address).unwrap());
    idle.write_all(ASK).unwrap();
    assert!(!answer(&mut idle).contains("connection: close"));
    waits.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    begins.recv().await.unwrap();
    shutdown.send(()).unwrap();
    serves.await.unwrap();
    assert!(answer(&mut waits).contains("connection: close"));
    assert_eq!((idle.read(&mut [0]).unwrap(), waits.read(&mut [0]).unwrap()), (0, 0));
}

const LATER: &[u8] = b"GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Beside the other, one that answers with what the news are, and while they are 0 not for so long. It says each time that it was asked.
fn app_with_news(news: &watch::Sender<u64>, wait: Duration) -> (Router, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let (asked, asks) = tokio::sync::mpsc::unbounded_channel();
    let news = news.clone();
    let later = move |until: Option<Extension<Until>>| {
        let news = news.subscribe();
        asked.send(()).unwrap();
        async move {
            let until = until.map_or_else(|| Instant::now() + wait, |Extension(Until(until))| until);
            let are = *news.borrow();
            let mut answer = format!("{are} told").into_response();
            if are == 0 && Instant::now() < until {
                answer.extensions_mut().insert(Later { news, until });
            }
            answer
        }
    };
    (app().route("/later", get(later)), asks)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_news_is_answered_when_there_are_some_and_goes_on() {
    let (mut client, socket) = pair().await;
    let (_end, ends) = watch::channel(());
    let news = watch::Sender::new(0);
    let (app, mut asks) = app_with_news(&news, Duration::from_hours(1));
    let told = thread::spawn(move || {
        client.write_all(LATER).unwrap();
        let later = answer(&mut client);
        // With news nothing is waited for.
        client.write_all(&[LATER, ASK].concat()).unwrap();
        [later, answer(&mut client), answer(&mut client)]
    });
    let speaks = tokio::spawn(speak(socket, app, PACE, ends));
    asks.recv().await.unwrap();
    // No news: it is asked again and waits on.
    news.send_replace(0);
    asks.recv().await.unwrap();
    news.send_replace(7);
    let told = tokio::task::spawn_blocking(|| told.join().unwrap()).await.unwrap();
    assert!(told[0].ends_with("\r\n\r\n7 told") && told[1].ends_with("7 told") && told[2].ends_with("\r\n\r\ntold"), "{told:?}");
    speaks.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_news_it_is_answered_when_its_time_has_come() {
    let (mut client, socket) = pair().await;
    let (_end, ends) = watch::channel(());
    let news = watch::Sender::new(0);
    let (app, mut asks) = app_with_news(&news, Duration::from_millis(20));
    client.write_all(LATER).unwrap();
    let told = thread::spawn(move || answer(&mut client));
    speak(socket, app, PACE, ends).await;
    assert!(told.join().unwrap().ends_with("0 told"));
    asks.close();
    assert_eq!((asks.recv().await, asks.recv().await, asks.recv().await), (Some(()), Some(()), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_waits_ends_with_its_client_and_with_the_service() {
    let news = watch::Sender::new(0);
    for client_ends in [true, false] {
        let (mut client, socket) = pair().await;
        let (end, ends) = watch::channel(());
        let (app, mut asks) = app_with_news(&news, Duration::from_hours(1));
        client.write_all(LATER).unwrap();
        let speaks = tokio::spawn(speak(socket, app, PACE, ends));
        asks.recv().await.unwrap();
        if client_ends {
            drop(client);
        } else {
            drop(end);
        }
        speaks.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_more_is_answered_at_once() {
    let (mut client, socket) = pair().await;
    let (_end, ends) = watch::channel(());
    let news = watch::Sender::new(0);
    let (app, mut asks) = app_with_news(&news, Duration::from_secs(5));
    let speaks = tokio::spawn(speak(socket, app, PACE, ends));
    client.write_all(LATER).unwrap();
    asks.recv().await.unwrap();
    // By then it waits, but on a very slow machine.
    sleep(Duration::from_millis(20)).await;
    client.write_all(ASK).unwrap();
    let told = tokio::task::spawn_blocking(move || [answer(&mut client), answer(&mut client)]).await.unwrap();
    assert!(told[0].ends_with("0 told") && told[1].ends_with("\r\n\r\ntold"), "{told:?}");
    speaks.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_body_does_not_wait() {
    let (mut client, socket) = pair().await;
    let (_end, ends) = watch::channel(());
    let news = watch::Sender::new(0);
    let (app, _asks) = app_with_news(&news, Duration::from_hours(1));
    client.write_all(b"GET /later HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi").unwrap();
    let told = thread::spawn(move || answer(&mut client));
    speak(socket, app, PACE, ends).await;
    assert!(told.join().unwrap().ends_with("0 told"));
}
