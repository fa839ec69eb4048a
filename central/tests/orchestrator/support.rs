//! A server on a port of its own, and what to ask it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use headroom_central::central::Central;
use headroom_central::config::Config;
use headroom_central::seed;
use headroom_central::serve::Listener;
use headroom_central::store::Sqlite;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// What the State Database has at first, beside the profile's rules and services.
pub(crate) fn documents() -> Value {
    json!({
        "structures": [
            {"type": "structure", "subtype": "host", "name": "host0", "host": "host0", "host_rescaler_ip": "host0",
             "host_rescaler_port": 8000, "resources": {
                "cpu": {"max": 400, "free": 200}, "mem": {"max": 16384, "free": 8192},
                "disks": {"sda": {"type": "SSD", "path": "/", "load": 1, "max_read": 500, "free_read": 400,
                                  "max_write": 400, "free_write": 350}}}},
            {"type": "structure", "subtype": "container", "name": "cont0", "host": "host0", "host_rescaler_ip": "host0",
             "host_rescaler_port": 8000, "guard": false, "theirs": {"kept": [1]}, "resources": {
                "cpu": {"max": 200, "min": 50, "current": 200, "guard": true, "weight": 1},
                "mem": {"max": 8192, "min": 1024, "current": 4096, "guard": false},
                "disk": {"name": "sda", "path": "/"}}},
            {"type": "structure", "subtype": "container", "name": "cont1", "host": "host0", "guard": false, "resources": {
                "cpu": {"max": 100, "min": 25, "current": 100, "guard": true}, "mem": {"max": 2048, "min": 512, "guard": false}}},
            {"type": "structure", "subtype": "application", "name": "app1", "guard": false, "state": "stopped", "containers": [],
             "resources": {"cpu": {"max": 400, "min": 100, "guard": true}, "mem": {"max": 8192, "min": 1024, "guard": false}}},
            {"type": "structure", "subtype": "application", "name": "app2", "guard": false, "containers": ["gone"],
             "resources": {"cpu": {"max": 400, "min": 100, "guard": true}, "mem": {"max": 8192, "min": 1024, "guard": false}}},
        ],
        "limits": [
            {"type": "limit", "name": "cont0", "resources": {
                "cpu": {"boundary": 25, "boundary_type": "absolute", "upper": 175, "lower": 150},
                "mem": {"boundary": 10, "boundary_type": "percentage_of_max"}}},
            {"type": "limit", "name": "app1", "resources": {"cpu": {"boundary": 50}, "mem": {"boundary": 512}}},
        ],
        "users": [
            {"type": "user", "subtype": "user", "name": "user0", "clusters": [], "resources": {
                "cpu": {"max": 800, "min": 0}, "mem": {"max": 16384, "min": 0}, "energy": {"max": 100, "min": 10}}},
        ],
    })
}

/// A running server; ends with the value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    directory: Option<tempfile::TempDir>,
}

impl Server {
    /// With [`documents`].
    pub(crate) fn start() -> Self {
        Self::with(&documents())
    }

    /// With these documents, and the classic profile's rules and services.
    pub(crate) fn with(documents: &Value) -> Self {
        Self::on(tempfile::tempdir().unwrap(), documents)
    }

    fn on(directory: tempfile::TempDir, documents: &Value) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = Config { listen, state_dir: directory.path().to_owned(), ..Config::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (listener, central) = runtime.block_on(async {
            let store = Sqlite::open(&directory.path().join("state.db")).unwrap();
            seed::load(&store, &documents.to_string()).await.unwrap();
            drop(store);
            let central = Central::open(config).await.unwrap();
            (Listener::bind(&central).await.unwrap(), central)
        });
        let address = listener.address().unwrap();
        let (shutdown, told) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                // Those of its roles that requests depend on; the others change documents by themselves.
                let mut roles = tokio::task::JoinSet::new();
                roles.spawn(Arc::clone(&central.documents).follow());
                roles.spawn(headroom_central::agents::orders::follow(central.clone()));
                roles.spawn(headroom_central::requests::run(central.clone()));
                let ending = async { drop(told.await) };
                listener.serve(central.clone(), ending).await;
                drop(roles);
                central.close().await.unwrap();
            });
        });
        Self { address, shutdown: Some(shutdown), thread: Some(thread), directory: Some(directory) }
    }

    /// Ends it and starts another on the same State Database.
    pub(crate) fn restart(mut self) -> Self {
        self.end();
        Self::on(self.directory.take().unwrap(), &json!({}))
    }

    pub(crate) fn state_dir(&self) -> &Path {
        self.directory.as_ref().unwrap().path()
    }

    fn end(&mut self) {
        drop(self.shutdown.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// What a path answers with 200.
    pub(crate) fn shows(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        answer.json()
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[JSON], &body.to_string())
    }

    /// A PUT that works, with and without a slash at the end of its path.
    pub(crate) fn changes(&self, path: &str, body: &Value) {
        for path in [path.to_owned(), format!("{path}/")] {
            self.put(&path, body).is_done(&path);
        }
    }

    /// The same as existing scripts do it where no body is needed.
    pub(crate) fn does(&self, path: &str) {
        for path in [path.to_owned(), format!("{path}/")] {
            self.send("PUT", &path, &[JSON], "").is_done(&path);
            self.send("PUT", &path, &[], "").is_done(&path);
        }
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[JSON], "")
    }

    /// Each of these (method, path, body) is refused with a status and a message that has these words; nothing is changed by it.
    pub(crate) fn refuses(&self, table: &[(&str, &str, Value, u16, &str)]) {
        let before = self.everything();
        for (method, path, body, status, words) in table {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let message = self.send(method, path, &[JSON], &body).error(*status);
            assert!(message.contains(words), "{method} {path} {body}: {message:?} does not say {words:?}");
        }
        assert_eq!(self.everything(), before);
    }

    /// All documents.
    pub(crate) fn everything(&self) -> Value {
        let mut all: Vec<Value> = ["structure", "service", "rule", "user"].map(|path| self.shows(&format!("/{path}/"))).into();
        let limits = |name: &Value| self.get(&format!("/structure/{}/limits", encoded(name["name"].as_str().unwrap()))).body;
        all.push(all[0].as_array().unwrap().iter().map(limits).collect());
        all.into()
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        send(self.address, method, path, headers, body)
    }
}

/// One request as it stands; the address for Host.
pub(crate) fn send(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut lines = vec![format!("{method} {path} HTTP/1.1"), format!("Host: {address}")];
    lines.extend(headers.iter().map(|&header| header.to_owned()));
    if !body.is_empty() {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    let request = lines.join("\r\n") + "\r\nConnection: close\r\n\r\n" + body;
    let mut answer = Vec::new();
    // A server that refuses a long body may close before all of it is written.
    let exchanged = TcpStream::connect(address).and_then(|mut stream| {
        let wrote = stream.write_all(request.as_bytes());
        stream.read_to_end(&mut answer).map(|_| wrote)
    });
    let answer = String::from_utf8(answer).unwrap();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Answer { status: 0, head: format!("no answer: {answer:?}, {exchanged:?}"), body: String::new() };
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shutdown.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

pub(crate) const JSON: &str = "Content-Type: application/json";

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert!(self.head.to_lowercase().contains("content-type: application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// 201, and the body `201`.
    pub(crate) fn is_done(&self, what: &str) {
        assert_eq!((self.status, self.body.as_str()), (201, "201"), "{what}: {self:?}");
        assert_eq!(self.json(), 201);
    }

    /// The message of an error, which has this status and is JSON.
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{self:?}");
        body["message"].as_str().unwrap().to_owned()
    }
}

/// A name as it goes into a path.
pub(crate) fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
