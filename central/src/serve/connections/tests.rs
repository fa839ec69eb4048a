use std::io::{self, Read as _, Write as _};
use std::net;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

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
