//! A running agent: the binary with its own configuration, state directory, socket and port, and a bare HTTP client for it.

use std::fmt::Write as _;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take that should happen; long, for an emulated machine is slow and a busy one slower.
const LONGEST: Duration = Duration::from_mins(2);

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_headroom-agent");

/// One process. Dropped, it is killed; what it logged is shown when the test failed.
pub(crate) struct Agent {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Agent {
    /// Starts it by `command`, to which `run --config` is added, and waits until it answers.
    pub(crate) fn start(command: Command, dir: &Path) -> Self {
        let mut agent = Self::logging_to(File::create(dir.join("agent.log")).unwrap(), command, dir);
        agent.comes_up(|agent| agent.log().contains("headroom-agent is up"));
        agent
    }

    /// The same with a log of the caller's, of which nothing is seen here.
    pub(crate) fn logging_to(log: impl Into<Stdio>, mut command: Command, dir: &Path) -> Self {
        let (config, socket, file) = (dir.join("agent.toml"), dir.join("agent.sock"), dir.join("agent.log"));
        command.args(["run", "--record"]).arg(dir.join("recorded")).arg("--config").arg(config);
        let child = command.env("RUST_LOG", "info").stderr(log).spawn().unwrap();
        let mut agent = Self { child, socket, log: file };
        agent.comes_up(|agent| UnixStream::connect(&agent.socket).is_ok());
        agent
    }

    fn comes_up(&mut self, is_up: impl Fn(&Self) -> bool) {
        let until = Instant::now() + LONGEST;
        while !is_up(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "it did not come up: {ended:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// What it logged up to now.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The port that it was given.
    pub(crate) fn tcp(&self) -> SocketAddr {
        let log = self.log();
        let at = log.find("127.0.0.1:").unwrap();
        log[at..].split(|c: char| c != ':' && c != '.' && !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Stops it until it gets a SIGCONT, and waits until each of its threads has.
    pub(crate) fn halt(&self) {
        self.signal(Signal::SIGSTOP);
        let threads = format!("/proc/{}/task", self.pid());
        let runs =
            |thread: io::Result<DirEntry>| !fs::read_to_string(thread.unwrap().path().join("stat")).unwrap().contains(") T ");
        while fs::read_dir(&threads).unwrap().any(runs) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// Ends it with SIGTERM; gives how it ended and how long that took.
    pub(crate) fn end(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, begun.elapsed());
            }
            assert!(begun.elapsed() < LONGEST, "it does not end");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Over the unix socket.
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        exchange(stream, method, path, &["Host: localhost"], body)
    }

    /// Over TCP, with these headers and no others.
    pub(crate) fn send_tcp(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let stream = TcpStream::connect(self.tcp()).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        exchange(stream, method, path, headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, body)
    }

    pub(crate) fn status(&self) -> Value {
        self.get("/status")
    }

    /// One container of `/status`; null while it is not known.
    pub(crate) fn container(&self, name: &str) -> Value {
        let mut status = self.status();
        let containers = status["containers"].as_array_mut().unwrap();
        containers.iter_mut().find(|c| c["container"]["name"] == name).map_or(Value::Null, Value::take)
    }

    /// What was decided about a container, oldest first. The journal's thread may be a moment behind the limits: this waits until
    /// it has told what it has.
    pub(crate) fn decisions(&self, name: &str) -> Vec<Decided> {
        let mut all = self.get("/decisions?limit=1000");
        loop {
            thread::sleep(Duration::from_millis(30));
            let again = self.get("/decisions?limit=1000");
            if again == all {
                break;
            }
            all = again;
        }
        let of_it = all.as_array().unwrap().iter().rev().filter(|d| d["structure"] == name);
        of_it.map(Decided::of).collect()
    }

    /// The reasons why it is not guarded as wanted.
    pub(crate) fn notes(&self, name: &str) -> String {
        self.container(name)["notes"].to_string()
    }

    /// Waits until `done` says so.
    pub(crate) fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        eprintln!("waiting: {what}");
        let until = Instant::now() + LONGEST;
        while !done(self) {
            assert!(Instant::now() < until, "waited in vain: {what}");
            // Each look costs the agent milliseconds where the machine is emulated.
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it is shown what a container may receive and send, in Mbit/s.
    pub(crate) fn until_network_limits(&self, name: &str, [receive, send]: [Option<f64>; 2]) {
        self.until(&format!("{receive:?} may be received and {send:?} sent"), |agent| {
            let net = &agent.container(name)["net"];
            net["in_host"].as_str().is_some_and(|device| !device.is_empty())
                && [&net["receive_limit"], &net["send_limit"]].map(limit) == [receive, send]
        });
    }

    pub(crate) fn until_guarded(&self, name: &str) {
        self.until(&format!("{name} is guarded"), |agent| agent.container(name)["guard"] == "on");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("--- the agent's log\n{}---", self.log());
        }
    }
}

/// One decision, as people read it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decided {
    pub(crate) action: String,
    pub(crate) outcome: String,
    pub(crate) resource: String,
    /// `None` for no limit.
    pub(crate) from: Option<f64>,
    pub(crate) to: Option<f64>,
    pub(crate) why: String,
    pub(crate) detail: String,
}

impl Decided {
    fn of(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Self {
            action: text("action"),
            outcome: text("outcome"),
            resource: text("resource"),
            from: limit(&value["from"]),
            to: limit(&value["to"]),
            why: text("why"),
            detail: text("detail"),
        }
    }

    /// The usage that it was judged by, from its reason.
    pub(crate) fn usage(&self) -> f64 {
        let rest = self.why.split("usage ").nth(1).unwrap().trim_start_matches(">= ");
        rest.split(',').next().unwrap().parse().unwrap()
    }
}

/// `"unlimited"` or `{"at": 100}`.
pub(crate) fn limit(value: &Value) -> Option<f64> {
    value["at"].as_f64()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The message of an error that has this status.
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.json()["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn exchange(mut stream: impl Read + Write, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers {
        request.extend([header, "\r\n"]);
    }
    if !body.is_empty() {
        write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()).unwrap();
    }
    stream.write_all((request + "\r\n" + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), body: body.to_owned() }
}
