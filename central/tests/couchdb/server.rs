//! A CouchDB to test with: `HEADROOM_TEST_COUCHDB` names one (`http://user:pass@host:port`), else a server that speaks its protocol is
//! started.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use headroom_central::store::CouchSettings;
use serde_json::Value;

/// Who may do everything on a server that tests start.
pub(crate) const ADMIN: (&str, &str) = ("admin", "right");

/// The server that this program's tests share.
static SHARED: OnceLock<Server> = OnceLock::new();

/// A server, and who we are there. One that was started ends with the value, or with the process: its standard input ends then.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) password: String,
    child: Option<Child>,
}

impl Server {
    /// The one that all share.
    pub(crate) fn shared() -> &'static Self {
        SHARED.get_or_init(|| match std::env::var("HEADROOM_TEST_COUCHDB") {
            Ok(url) => Self::genuine(&url),
            Err(_) => Self::start(&[]),
        })
    }

    /// `http://user:pass@host:port`.
    fn genuine(given: &str) -> Self {
        let expected = || panic!("HEADROOM_TEST_COUCHDB is {given:?}, expected http://user:pass@host:port");
        let (scheme, rest) = given.split_once("://").unwrap_or_else(expected);
        let (who, place) = rest.rsplit_once('@').unwrap_or_else(expected);
        let (name, password) = who.split_once(':').unwrap_or_else(expected);
        let url = format!("{scheme}://{}", place.trim_end_matches('/'));
        Self { url, name: name.into(), password: password.into(), child: None }
    }

    /// One of its own, which a test may treat badly.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = directory.parent().unwrap().join("target/couchdb/node_modules");
        assert!(modules.is_dir(), "{} is not there: `cargo xtask setup` fetches it", modules.display());
        let mut node = Command::new("node");
        node.arg(directory.join("tests/couchdb/server.js")).args(["0", ADMIN.0, ADMIN.1]).env("NODE_PATH", modules);
        node.envs(environment.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = node.spawn().unwrap_or_else(|e| panic!("node cannot be started ({e}): apt install nodejs"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("node said {line:?}"));
        let (name, password) = (ADMIN.0.into(), ADMIN.1.into());
        Self { url: url.trim_end_matches('/').into(), name, password, child: Some(child) }
    }

    /// A request as curl would make it.
    pub(crate) fn curl(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        curl(&self.url, Some((&self.name, &self.password)), method, path, body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Seven databases of one's own on a server; deleted in the end.
#[derive(Debug)]
pub(crate) struct Databases<'a> {
    server: &'a Server,
    pub(crate) settings: CouchSettings,
    _directory: tempfile::TempDir,
}

impl Databases<'static> {
    pub(crate) fn new() -> Self {
        Databases::on(Server::shared())
    }
}

impl<'a> Databases<'a> {
    pub(crate) fn on(server: &'a Server) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let directory = tempfile::tempdir().unwrap();
        let file: PathBuf = directory.path().join("credentials");
        std::fs::write(&file, format!("{}:{}\n", server.name, server.password)).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let prefix = format!("headroom-test-{now}-{}-{}_", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let settings = CouchSettings { url: server.url.clone(), credentials_file: Some(file), prefix };
        Self { server, settings, _directory: directory }
    }

    /// `path` begins with a database's name, without the prefix.
    pub(crate) fn curl(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.server.curl(method, &format!("{}{path}", self.settings.prefix), body)
    }
}

impl Drop for Databases<'_> {
    fn drop(&mut self) {
        for database in headroom_central::store::Database::EVERY {
            self.curl("DELETE", database.name(), None);
        }
    }
}

/// The status and what was answered.
pub(crate) fn curl(url: &str, who: Option<(&str, &str)>, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}", "--request", method]);
    if let Some((name, password)) = who {
        curl.args(["--user", &format!("{name}:{password}")]);
    }
    if let Some(body) = body {
        curl.args(["--header", "Content-Type: application/json", "--data-binary", &body.to_string()]);
    }
    let output = curl.arg(format!("{url}/{path}")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (answer, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(answer).unwrap_or(Value::Null))
}
