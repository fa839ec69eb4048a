//! What stands between central and CouchDB and does what networks and servers do: it is slow, refuses, breaks off, answers half.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It comes so much later.
    Slow(Duration),
    /// Half of it comes, then the connection breaks.
    CutBefore,
    /// It is carried out, and the connection breaks.
    CutAfter,
    /// It is carried out, and half of the answer comes.
    Half,
    /// It is answered with this status, and not carried out.
    Status(u16),
    /// It is not answered as long as this lasts.
    Stalls,
    /// A feed that ends at once.
    Ends,
    /// Nobody listens.
    Refused,
}

#[derive(Debug, Default)]
struct State {
    /// Which requests it is for: those whose path has this in it.
    fault: Mutex<Option<(Fault, &'static str)>>,
    /// For how many more.
    left: AtomicUsize,
    ended: AtomicBool,
    paths: Mutex<Vec<String>>,
}

impl State {
    fn fault(&self) -> Option<(Fault, &'static str)> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to a request, which counts.
    fn of(&self, path: &str) -> Option<Fault> {
        let (fault, _) = self.fault().filter(|(_, of)| path.contains(of))?;
        let take = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok().then_some(fault)
    }
}

/// Ends with the value.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Before the server at a URL.
    pub(crate) fn before(url: &str) -> Self {
        let upstream = url.strip_prefix("http://").unwrap().to_socket_addrs().unwrap().find(SocketAddr::is_ipv4).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let thread = thread::spawn({
            let state = Arc::clone(&state);
            move || listen(listener, address, upstream, &state)
        });
        Self { address, state, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, until it is healed.
    pub(crate) fn breaks(&self, fault: Fault, of: &'static str) {
        self.breaks_times(fault, of, usize::MAX);
    }

    /// So many times.
    pub(crate) fn breaks_times(&self, fault: Fault, of: &'static str, times: usize) {
        *self.state.fault.lock().unwrap() = Some((fault, of));
        self.state.left.store(times, Ordering::SeqCst);
        if fault == Fault::Refused {
            // The listener is closed before this goes on.
            while TcpStream::connect(self.address).is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// How many requests there were whose path has this in it.
    pub(crate) fn count(&self, of: &str) -> usize {
        self.state.paths.lock().unwrap().iter().filter(|path| path.contains(of)).count()
    }

    /// Everything works again.
    pub(crate) fn heals(&self) {
        *self.state.fault.lock().unwrap() = None;
        while TcpStream::connect(self.address).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or_default();
        }
    }
}

fn listen(listener: TcpListener, address: SocketAddr, upstream: SocketAddr, state: &Arc<State>) {
    let mut listener = Some(listener);
    while !state.ended.load(Ordering::SeqCst) {
        if state.fault().is_some_and(|(fault, _)| fault == Fault::Refused) {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).ok();
        }
        if let Some(listener) = &listener {
            listener.set_nonblocking(true).unwrap();
            while let Ok((client, _)) = listener.accept() {
                client.set_nonblocking(false).unwrap();
                let state = Arc::clone(state);
                thread::spawn(move || serve(client, upstream, &state));
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// One request a connection.
fn serve(mut client: TcpStream, upstream: SocketAddr, state: &State) -> Option<()> {
    let (head, body) = request(&mut client)?;
    let path = head.split(' ').nth(1)?.to_owned();
    state.paths.lock().unwrap().push(path.clone());
    let fault = state.of(&path);
    match fault {
        Some(Fault::Slow(by)) => thread::sleep(by),
        Some(Fault::CutBefore) => {
            let mut server = TcpStream::connect(upstream).ok()?;
            server.write_all(head.as_bytes()).ok()?;
            server.write_all(&body[..body.len() / 2]).ok()?;
            return client.shutdown(Shutdown::Both).ok();
        }
        Some(Fault::Status(status)) => {
            let body = "{\"error\":\"broken\",\"reason\":\"by the test\"}";
            return answer(&mut client, status, body);
        }
        Some(Fault::Stalls | Fault::Refused) => {
            while state.fault().map(|(now, _)| now) == fault && !state.ended.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(10));
            }
            return client.shutdown(Shutdown::Both).ok();
        }
        Some(Fault::Ends) => {
            let since = path.split(['?', '&']).find_map(|pair| pair.strip_prefix("since=")).unwrap_or("0");
            let (head, body) = without_waiting(&head, body);
            let now = exchange(upstream, &head, &body)?;
            let now = String::from_utf8_lossy(&now).contains("\"id\"").then_some(now);
            return match now {
                Some(now) => client.write_all(&now).ok(),
                None => answer(&mut client, 200, &format!("{{\"results\":[],\"last_seq\":\"{since}\",\"pending\":0}}")),
            };
        }
        Some(Fault::CutAfter | Fault::Half) | None => {}
    }
    let answered = exchange(upstream, &head, &body)?;
    match fault {
        Some(Fault::CutAfter) => {}
        Some(Fault::Half) => client.write_all(&answered[..answered.len() - 20.min(answered.len())]).ok()?,
        _ => client.write_all(&answered).ok()?,
    }
    client.shutdown(Shutdown::Both).ok()
}

fn answer(client: &mut TcpStream, status: u16, body: &str) -> Option<()> {
    let head = format!(
        "HTTP/1.1 {status} Broken\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close",
        body.len()
    );
    client.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).ok()
}

/// The head, which says that the connection ends, and the body.
fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        let mut part = [0; 16384];
        let read = client.read(&mut part).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let mut body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).ok()?;
    let of =
        |name: &str| head.lines().find_map(|line| line.to_lowercase().strip_prefix(name).map(|value| value.trim().to_owned()));
    let length = of("content-length:").map_or(0, |length| length.parse().unwrap());
    let mut rest = vec![0; length - body.len().min(length)];
    client.read_exact(&mut rest).ok()?;
    body.extend(rest);
    let lines: Vec<&str> = head.trim_end().split("\r\n").filter(|line| !line.to_lowercase().starts_with("connection:")).collect();
    Some((format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")), body))
}

fn exchange(upstream: SocketAddr, head: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(head.as_bytes()).ok()?;
    server.write_all(body).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    Some(answer)
}

/// A question to the feed that is answered at once.
fn without_waiting(head: &str, body: Vec<u8>) -> (String, Vec<u8>) {
    (head.replacen("feed=longpoll", "feed=normal", 1), body)
}
