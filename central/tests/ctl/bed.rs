//! A real central on a port of its own, a client for it, and agents that are played.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headroom_model::accounting::Areas;
use headroom_model::documents::by_resource::ByResource;
use headroom_model::limit::Limit;
use headroom_model::resource::{PerResource, Resource};
use headroom_model::wire::{ContainerReport, GuardState, HostReport, HostResource, Report, ResourceReport};
use serde_json::Value;

/// How long anything may take that should happen; long, for a busy machine is slow.
pub(crate) const LONGEST: Duration = Duration::from_mins(2);

/// A running central. Killed when it is dropped.
pub(crate) struct Central {
    child: Child,
    directory: PathBuf,
    pub(crate) url: String,
}

impl Central {
    /// Starts it with its state in `state` of a directory, and what else its settings say.
    pub(crate) fn start(directory: &Path, settings: &str) -> Self {
        let config = directory.join("central.toml");
        let state = directory.join("state");
        fs::write(&config, format!("listen = '127.0.0.1:0'\nstate_dir = '{}'\n{settings}", state.display())).unwrap();
        let log = directory.join("central.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_headroom-central"));
        command.arg("serve").arg("--config").arg(config).env("RUST_LOG", "info").env("NO_COLOR", "1");
        let child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut central = Self { child, directory: directory.to_owned(), url: String::new() };
        until("central is up", || {
            let ended = central.child.try_wait().unwrap();
            assert!(ended.is_none(), "central has ended: {ended:?}\n{}", central.log());
            central.log().contains("headroom-central is up")
        });
        let log = central.log();
        let address = log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        let scheme = if settings.contains("[tls]") { "https" } else { "http" };
        central.url = format!("{scheme}://{address}");
        central
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("central.log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to end, and waits.
    pub(crate) fn end(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }

    /// Status and body.
    pub(crate) fn send(&self, method: &str, path: &str, accept: Option<&str>, body: &str) -> (u16, String) {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json").header("accept", accept.unwrap_or("*/*"));
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let mut answer = ureq::Agent::new_with_config(config).run(request.body(body.to_owned()).unwrap()).unwrap();
        let text = answer.body_mut().with_config().limit(1 << 30).read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, text) = self.send("GET", path, None, "");
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A change that has to be taken.
    pub(crate) fn put(&self, path: &str, body: &Value) {
        let (status, text) = self.send("PUT", path, None, &body.to_string());
        assert_eq!(status, 201, "{path} {body}: {text}");
    }

    /// A report that has to be taken.
    pub(crate) fn report(&self, report: &Report) {
        let path = format!("/agent/report?sent_at={}", report.at);
        let (status, text) = self.send("POST", &path, None, &serde_json::to_string(report).unwrap());
        assert_eq!(status, 200, "{text}");
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        if thread::panicking() {
            std::io::Write::write_all(&mut std::io::stderr(), self.log().as_bytes()).unwrap_or_default();
        }
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Waits for something that should come.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < LONGEST, "not within {LONGEST:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// An agent that is played: what it reports is what is said here.
pub(crate) struct Agent {
    host: &'static str,
    started_at: f64,
    sequence: u64,
}

impl Agent {
    /// Its process starts now.
    pub(crate) fn start(host: &'static str) -> Self {
        Self { host, started_at: now(), sequence: 0 }
    }

    /// Its next report: containers with the CPU time in share-seconds that each used so far; four times as much was reserved, twice allocated.
    pub(crate) fn next(&mut self, containers: &[(&str, f64)]) -> Report {
        let (at, sequence) = (now(), self.sequence);
        self.sequence += 1;
        let capacity = HostResource { max: Some(400.0), free: Some(100.0) };
        let status = HostReport {
            resources: of_cpu_and_mem(capacity),
            guardian_active: true,
            scaler_active: true,
            ..HostReport::default()
        };
        let container = |(name, used): &(&str, f64)| ContainerReport {
            name: (*name).to_owned(),
            engine: "lxc".into(),
            incarnation: "1".into(),
            application: None,
            guard: GuardState::Off,
            notes: Vec::new(),
            seed: None,
            cpu_total: None,
            counted: None,
            throttled: None,
            resources: of_cpu_and_mem(ResourceReport {
                guard: false,
                current: Limit::At(200.0),
                effective: Limit::At(200.0),
                usage: Some(12.5),
                upper: Some(175.0),
                lower: Some(150.0),
                areas: Areas { used: *used, allocated: 2.0 * used, reserved: 4.0 * used },
            }),
        };
        Report {
            host: self.host.to_owned(),
            instance: format!("agent of {}", self.host),
            started_at: self.started_at,
            sequence,
            at,
            version: "0.0.0".into(),
            status,
            containers: containers.iter().map(container).collect(),
            decisions: Vec::new(),
            sets: Vec::new(),
            requests: Vec::new(),
        }
    }
}

fn of_cpu_and_mem<T: Clone>(entry: T) -> ByResource<T> {
    let mut known = PerResource::from_fn(|_| None);
    known[Resource::Cpu] = Some(entry.clone());
    known[Resource::Mem] = Some(entry);
    ByResource { known, rest: serde_json::Map::new() }
}
