//! Small bounds on a real socket.

use std::path::Path;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

use super::*;

const LONG: Duration = Duration::from_mins(10);
const BOUNDS: Bounds = Bounds { most: 2, header: LONG, stalled: LONG };
const FAST: &str = "GET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n";
const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Runs `test` beside a server that answers `/fast` at once, and `/slow` when it is told to.
fn run<F: Future<Output = ()>>(bounds: Bounds, test: impl FnOnce(std::path::PathBuf, Arc<Notify>) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let go = Arc::new(Notify::new());
        let told = Arc::clone(&go);
        let slow = async move || {
            told.notified().await;
            "slow"
        };
        let router = Router::new().route("/fast", get(async || "fast")).route("/slow", get(slow));
        let (ending, told) = watch::channel(false);
        let serving = tokio::spawn(serve(UnixListener::bind(&path).unwrap(), None, router, bounds, told));
        test(path.clone(), go).await;
        ending.send_replace(true);
        serving.await.unwrap();
    });
}

async fn connect(path: &Path) -> UnixStream {
    UnixStream::connect(path).await.unwrap()
}

/// The answer's last letters, which are its body.
async fn ask(client: &mut UnixStream, request: &str) -> String {
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let length = client.read(&mut answer).await.unwrap();
    String::from_utf8(answer[length - 4..length].to_vec()).unwrap()
}

/// Whether the server has closed it: waits for that.
async fn is_closed(client: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    // An answer such as 408 may come before.
    client.read_to_end(&mut rest).await.is_ok() || rest.is_empty()
}

#[test]
fn who_comes_gets_the_place_of_who_is_quiet_longest() {
    run(BOUNDS, async |path, _| {
        let (mut silent, mut kept) = (connect(&path).await, connect(&path).await);
        assert_eq!(ask(&mut kept, FAST).await, "fast");
        assert_eq!(ask(&mut connect(&path).await, FAST).await, "fast");
        assert!(is_closed(&mut silent).await);
        assert_eq!(ask(&mut kept, FAST).await, "fast");
    });
}

#[test]
fn who_is_being_answered_keeps_the_place() {
    run(BOUNDS, async |path, go| {
        let mut busy = [connect(&path).await, connect(&path).await];
        for client in &mut busy {
            client.write_all(SLOW.as_bytes()).await.unwrap();
        }
        let mut third = connect(&path).await;
        third.write_all(FAST.as_bytes()).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(100), third.read_u8()).await.is_err(), "there is no place yet");
        go.notify_one();
        go.notify_one();
        for client in &mut busy {
            assert_eq!(client.read_u8().await.unwrap(), b'H');
        }
        assert_eq!(third.read_u8().await.unwrap(), b'H');
    });
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    run(Bounds { header: Duration::from_millis(50), ..BOUNDS }, async |path, _| {
        let mut silent = connect(&path).await;
        assert!(is_closed(&mut silent).await);
        let mut half = connect(&path).await;
        half.write_all(b"GET /fast HTTP/1.1\r\nHost: ").await.unwrap();
        assert!(is_closed(&mut half).await);
        let mut idle = connect(&path).await;
        assert_eq!(ask(&mut idle, FAST).await, "fast");
        assert!(is_closed(&mut idle).await);
    });
}

#[test]
fn what_stalls_in_the_middle_is_closed() {
    run(Bounds { stalled: Duration::from_millis(50), ..BOUNDS }, async |path, _| {
        let mut client = connect(&path).await;
        client.write_all(SLOW.as_bytes()).await.unwrap();
        assert!(is_closed(&mut client).await);
    });
}
