//! A server with a made-up snapshot, a control loop that plays a script, and a bare HTTP client.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use headroom_agent::api::command::{Busy, Change, ContainerWrite, ControlHandle, Wanted, WriteError};
use headroom_agent::api::{ApiState, DecisionLog, Doors, Listeners};
use headroom_agent::cgroup::{CgroupPath, Mode, Throttling};
use headroom_agent::config::{Api, Config};
use headroom_agent::containers::{Container, Engine, Labels};
use headroom_agent::sampler::{SourceHealth, SourceKind};
use headroom_agent::status::{
    Areas, ContainerStatus, Counters, Decision, DiskDevice, GuardMode, HostStatus, Latency, NetDevice, ResourceStatus, Snapshot,
};
use headroom_model::limit::Limit;
use headroom_model::resource::{PerResource, Resource};
use headroom_model::wire::Counted;
use tokio::sync::oneshot;

pub(crate) const TOKEN: &str = "a-token-of-twenty-two-";

pub(crate) fn host() -> HostStatus {
    let topology = BTreeMap::from([(0, BTreeMap::from([(0, vec![0, 2]), (10, vec![1, 3]), (2, vec![4])]))]);
    let amounts = |cpu, mem| {
        PerResource::from_fn(|r| match r {
            Resource::Cpu => Some(cpu),
            Resource::Mem => Some(mem),
            _ => None,
        })
    };
    HostStatus {
        name: "host0".into(),
        cgroup_mode: Mode::Hybrid,
        online_cpus: Arc::new([0, 1, 2, 3, 4]),
        topology: Arc::new(topology),
        max: amounts(500.0, 8192.0),
        free: amounts(300.0, 4096.0),
        least_cpu: 1.0,
        source: SourceKind::Ebpf,
        source_reason: None,
        net_reason: Some("containers are followed in v1 hierarchies".into()),
        guardian_active: true,
        judged_at_central: false,
        scaler_active: true,
        core_usage_mapping: None,
    }
}

pub(crate) fn resource(limit: Limit, usage: f64) -> ResourceStatus {
    ResourceStatus {
        guard: false,
        usage: Some(usage),
        limit,
        applied: limit,
        effective: limit,
        min: None,
        max: None,
        upper: None,
        lower: None,
        areas: Areas { used: 10.0, allocated: 20.5, reserved: 40.0 },
    }
}

/// Guarded, with everything.
pub(crate) fn cont0() -> ContainerStatus {
    let mut resources = PerResource::default();
    let (min, max, upper, lower) = (Some(50.0), Some(200.0), Some(175.0), Some(150.0));
    resources[Resource::Cpu] = Some(ResourceStatus { guard: true, min, max, upper, lower, ..resource(Limit::At(200.0), 160.25) });
    let (upper, lower) = (Some(3840.0), Some(3584.0));
    resources[Resource::Mem] = Some(ResourceStatus { upper, lower, ..resource(Limit::At(4096.0), 700.0) });
    resources[Resource::DiskRead] = Some(resource(Limit::At(100.0), 0.0));
    resources[Resource::DiskWrite] = Some(resource(Limit::Unlimited, 0.5));
    resources[Resource::Net] = Some(resource(Limit::At(50.0), 3.0));
    ContainerStatus {
        container: container("cont0", Engine::Lxc, "lxc.payload.cont0", 11),
        guard: GuardMode::On,
        reason: "[[container]] in agent.toml:3".into(),
        notes: vec![],
        cpuset: "0-1".into(),
        effective_cpus: "0-1".into(),
        resources,
        cpu_total: None,
        counted: Counted::default(),
        throttling: Some(Throttling { periods: 100, throttled_periods: 7, throttled_us: 1_500_000 }),
        foreign_changes: 2,
        disk: Some(Arc::new(DiskDevice { major: 8, minor: 16, path: "/dev/sdb".to_owned() })),
        net: Some(Arc::new(NetDevice {
            in_container: "eth0".to_owned(),
            in_host: "veth0a1".to_owned(),
            receive_limit: Limit::At(100.0),
            send_limit: Limit::At(50.0),
        })),
    }
}

/// Not guarded, with almost nothing.
pub(crate) fn bare() -> ContainerStatus {
    let mut resources = PerResource::default();
    resources[Resource::Cpu] = Some(resource(Limit::At(33.3333), 1.0));
    ContainerStatus {
        container: container("b a/re", Engine::Docker, "docker/0123", 12),
        guard: GuardMode::Off,
        reason: "no [[container]] selects it".into(),
        notes: vec![],
        cpuset: "".into(),
        effective_cpus: "0-4".into(),
        resources,
        cpu_total: None,
        counted: Counted::default(),
        throttling: None,
        foreign_changes: 0,
        disk: None,
        net: None,
    }
}

fn container(name: &str, engine: Engine, path: &str, cgroup_id: u64) -> Arc<Container> {
    let path = CgroupPath::new(path).unwrap();
    Arc::new(Container {
        name: name.to_owned(),
        called: name.to_owned(),
        engine,
        engine_id: None,
        path,
        cgroup_id,
        application: None,
        labels: Labels::new(),
        trouble: None,
    })
}

pub(crate) fn rename(status: &mut ContainerStatus, name: &str) {
    name.clone_into(&mut Arc::make_mut(&mut status.container).name);
}

pub(crate) fn snapshot() -> Snapshot {
    let decisions =
        BTreeMap::from([(("CpuRescaleUp", "applied"), 3), (("CpuRescaleUp", "starved"), 2), (("MemRescaleUp", "starved"), 1)]);
    let latency =
        Latency { count: 4, sum_us: 900.0, buckets: vec![(100.0, 1), (1000.0, 4)], p50_us: 150, p99_us: 400, max_us: 400 };
    Snapshot {
        at: 1_760_000_000.5,
        host: host(),
        containers: vec![bare(), cont0()],
        counters: Counters {
            windows: 1000,
            missing_samples: 1,
            drift_corrected: 5,
            usage_drift_max: 0.004,
            decisions,
            source: SourceHealth { events_dropped: 6, ..SourceHealth::default() },
            ..Counters::default()
        },
        latencies: Arc::new(BTreeMap::from([("reaction", latency)])),
    }
}

pub(crate) fn decision(structure: &str, at: f64) -> Decision {
    Decision {
        at,
        structure: structure.to_owned(),
        resource: Resource::Cpu,
        action: "CpuRescaleUp".to_owned(),
        why: "rule CpuRescaleUp: up 2 >= 2 and down 0 <= 2, usage 160.3 over upper 100".to_owned(),
        from: Limit::At(125.0),
        to: Limit::At(200.0),
        outcome: "applied",
        detail: None,
    }
}

/// What the control loop does with the next write.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// Changes the snapshot.
    Obey,
    /// Answers so.
    Answer(WriteError),
    /// Has no room.
    Busy,
    /// Ends without an answer.
    Die,
}

pub(crate) struct Control {
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) script: Mutex<Script>,
    pub(crate) seen: Mutex<Vec<(String, Vec<Change>)>>,
}

impl ControlHandle for Control {
    fn submit(&self, write: ContainerWrite) -> Result<(), Busy> {
        self.seen.lock().unwrap().push((write.name.clone(), write.changes.clone()));
        match self.script.lock().unwrap().clone() {
            Script::Obey => {
                let mut next = Snapshot::clone(&self.snapshot.load());
                let status = next.containers.iter_mut().find(|c| c.container.name == write.name).unwrap();
                write.changes.iter().for_each(|change| obey(status, change));
                self.snapshot.store(Arc::new(next));
                write.reply.send(Ok(())).unwrap();
            }
            Script::Answer(error) => write.reply.send(Err(error)).unwrap(),
            Script::Busy => return Err(Busy),
            Script::Die => drop(write.reply),
        }
        Ok(())
    }

    fn request(&self, _wanted: Vec<Wanted>) -> Result<(), Busy> {
        // The API makes none.
        Err(Busy)
    }

    fn look(&self, _name: &str) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        done.send(()).unwrap();
        answer
    }
}

fn obey(status: &mut ContainerStatus, change: &Change) {
    let mut set = |r, limit| status.resources[r] = Some(resource(limit, 0.0));
    match change {
        Change::CpuLimit(limit) => set(Resource::Cpu, *limit),
        Change::Memory(limit) => set(Resource::Mem, *limit),
        Change::DiskRead(limit) => set(Resource::DiskRead, *limit),
        Change::DiskWrite(limit) => set(Resource::DiskWrite, *limit),
        Change::Net(limit) => set(Resource::Net, *limit),
        Change::Cpuset(cpus) => {
            let list = match cpus.as_slice() {
                [0, 1] => "0-1".to_owned(),
                cpus => cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
            };
            status.cpuset = list.as_str().into();
            status.effective_cpus = list.into();
        }
    }
}

/// A running server; ends with the value.
pub(crate) struct Server {
    pub(crate) control: Arc<Control>,
    pub(crate) decisions: Arc<DecisionLog>,
    pub(crate) tcp: SocketAddr,
    pub(crate) socket: PathBuf,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) doors: Doors,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The settings of `[api]` in a directory, port 0, with `more`.
pub(crate) fn settings(directory: &tempfile::TempDir, more: &str) -> Api {
    let socket = directory.path().join("agent.sock");
    let listen = if more.contains("listen") { "" } else { "listen = \"127.0.0.1:0\"" };
    Config::parse(&format!("[api]\n{listen}\nsocket = \"{}\"\n{more}", socket.display()), "test.toml").unwrap().api
}

impl Server {
    /// Writes over TCP need no token.
    pub(crate) fn open() -> Self {
        Self::start("open_writes = true")
    }

    pub(crate) fn start(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let api = settings(&directory, more);
        Self::with(&api, directory)
    }

    pub(crate) fn with(api: &Api, directory: tempfile::TempDir) -> Self {
        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot()));
        let control =
            Arc::new(Control { snapshot: Arc::clone(&snapshot), script: Mutex::new(Script::Obey), seen: Mutex::default() });
        let decisions = Arc::new(DecisionLog::new(100));
        let state = ApiState { snapshot, control: control.clone(), decisions: decisions.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listeners = runtime.block_on(Listeners::bind(api)).unwrap();
        let (tcp, doors) = (listeners.tcp_address().unwrap(), listeners.doors());
        let (shutdown, told) = oneshot::channel::<()>();
        let serving = listeners.serve(state, async { drop(told.await) });
        let thread = std::thread::spawn(move || runtime.block_on(serving));
        let socket = api.socket.clone().unwrap();
        Self { control, decisions, tcp, socket, directory, doors, shutdown: Some(shutdown), thread: Some(thread) }
    }

    pub(crate) fn script(&self, script: Script) {
        *self.control.script.lock().unwrap() = script;
    }

    /// The writes that reached the control loop since the last call.
    pub(crate) fn seen(&self) -> Vec<(String, Vec<Change>)> {
        std::mem::take(&mut self.control.seen.lock().unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, &["Content-Type: application/json"], body)
    }

    /// Over TCP, with the address for Host unless `headers` say otherwise.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        exchange(TcpStream::connect(self.tcp).unwrap(), method, path, &with_host(headers, &self.tcp.to_string()), body)
    }

    pub(crate) fn send_unix(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        exchange(UnixStream::connect(&self.socket).unwrap(), method, path, &with_host(headers, "localhost"), body)
    }

    /// Ends the server.
    pub(crate) fn end(&mut self) {
        drop(self.shutdown.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shutdown.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn with_host(headers: &[&str], host: &str) -> Vec<String> {
    let mut headers: Vec<String> = headers.iter().map(|&h| h.to_owned()).collect();
    if !headers.iter().any(|h| h.to_lowercase().starts_with("host:")) {
        headers.push(format!("Host: {host}"));
    }
    headers
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The message of an error, which has this status and is JSON.
    pub(crate) fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.to_lowercase().contains("content-type: application/json"), "{self:?}");
        let body = self.json();
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{self:?}");
        body["message"].as_str().unwrap().to_owned()
    }
}

/// One request as it stands; lines in `headers` are sent as they are (an empty "Host:" line is left out).
fn exchange(mut stream: impl Read + Write, method: &str, path: &str, headers: &[String], body: &str) -> Answer {
    let mut lines = vec![format!("{method} {path} HTTP/1.1")];
    lines.extend(headers.iter().filter(|h| *h != "Host:").cloned());
    if !body.is_empty() {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    let request = lines.join("\r\n") + "\r\nConnection: close\r\n\r\n" + body;
    // A server that refuses a long body may close before all of it is written.
    let wrote = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}, {wrote:?}, {read:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
