//! An agent, played over the paths that real ones use: it reports, asks for orders, and does what it is told to do at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Answer, JSON, Server};

/// One container's numbers, as its agent reports them.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) guard: &'static str,
    /// By its label.
    pub(crate) application: Option<&'static str>,
    /// `resources` in a report.
    pub(crate) resources: BTreeMap<&'static str, Value>,
}

impl Container {
    /// CPU with this limit and usage, memory without a limit.
    pub(crate) fn new(cpu: f64, usage: f64) -> Self {
        let areas = json!({"used": 0, "allocated": 0, "reserved": 0});
        let limit = json!({"at": cpu});
        let cpu = json!({"guard": false, "current": limit, "effective": limit, "usage": usage, "upper": cpu - 30.0,
            "lower": cpu - 60.0, "areas": areas});
        let mem = json!({"current": "unlimited", "effective": {"at": 16000}, "areas": areas});
        Self { guard: "off", application: None, resources: BTreeMap::from([("cpu", cpu), ("mem", mem)]) }
    }
}

#[derive(Debug)]
struct State {
    host: String,
    sequence: u64,
    status: Value,
    containers: BTreeMap<String, Container>,
    /// Limits that were set: structure, resource, limit.
    set: Vec<(String, String, Value)>,
    /// Requests that were carried out.
    requests: Vec<Value>,
    /// Which requests are refused, and why; whether those that come are left unanswered.
    refuses: Option<&'static str>,
    is_mute: bool,
    /// Which resource's limit cannot be set, and why.
    fails: Option<(&'static str, &'static str)>,
}

/// It goes on in the background until it is dropped.
pub(crate) struct Agent {
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Has reported once when it returns. `free` of CPU and memory.
    pub(crate) fn start(server: &Server, host: &str, free: (f64, f64), containers: &[(&str, Container)]) -> Self {
        let status = json!({"cgroup_mode": "v2", "source": "ebpf", "profile": "classic", "resources": {
            "cpu": {"max": 400, "free": free.0}, "mem": {"max": 16384, "free": free.1}},
            "core_usage_mapping": {"0": {"free": 100}}, "api": "127.0.0.1:8000"});
        let containers = containers.iter().map(|(name, container)| ((*name).to_owned(), container.clone())).collect();
        let state = State {
            host: host.into(),
            sequence: 0,
            status,
            containers,
            set: Vec::new(),
            requests: Vec::new(),
            refuses: None,
            is_mute: false,
            fails: None,
        };
        let state = Arc::new(Mutex::new(state));
        let asker = Asker(server.address);
        let answer = asker.report(&mut state.lock().unwrap(), &[], &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let over = Arc::new(AtomicBool::new(false));
        let (shared, ending) = (Arc::clone(&state), Arc::clone(&over));
        let thread = std::thread::spawn(move || asker.follow(&shared, &ending));
        Self { state, over, thread: Some(thread) }
    }

    /// Limits that were set since the last call, sorted.
    pub(crate) fn set(&self) -> Vec<(String, String, Value)> {
        let mut set = std::mem::take(&mut self.state.lock().unwrap().set);
        set.sort_by_key(|(structure, resource, _)| (structure.clone(), resource.clone()));
        set
    }

    /// Requests that were carried out, each once, in the order in which they came.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.state.lock().unwrap().requests.clone()
    }

    /// From now on requests are refused.
    pub(crate) fn refuses(&self, why: &'static str) {
        self.state.lock().unwrap().refuses = Some(why);
    }

    /// From now on requests are carried out, and nothing is said of it; or all is said.
    pub(crate) fn is_mute(&self, is_mute: bool) {
        self.state.lock().unwrap().is_mute = is_mute;
    }

    /// From now on limits of a resource cannot be set.
    pub(crate) fn fails(&self, resource: &'static str, why: &'static str) {
        self.state.lock().unwrap().fails = Some((resource, why));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Asks for orders again and again.
struct Asker(std::net::SocketAddr);

impl Asker {
    fn follow(&self, state: &Mutex<State>, over: &AtomicBool) {
        let (mut revision, mut done) = (String::new(), Vec::new());
        while !over.load(Ordering::Relaxed) {
            let host = state.lock().unwrap().host.clone();
            let path = format!("/agent/orders?host={host}&instance=of-{host}&after={revision}&wait=0.2");
            let answer = self.send("GET", &path, "");
            if answer.status != 200 {
                // Nothing new; or the server ends before its agents.
                std::thread::sleep(std::time::Duration::from_millis(5));
                continue;
            }
            let orders = answer.json();
            orders["revision"].as_str().unwrap().clone_into(&mut revision);
            let mut state = state.lock().unwrap();
            let mut answers = Vec::new();
            for set in orders["sets"].as_array().into_iter().flatten() {
                if done.contains(&set["id"]) {
                    continue;
                }
                let text = |key: &str| set[key].as_str().unwrap().to_owned();
                let error = state.fails.filter(|(of, _)| set["resource"] == *of).map(|(_, why)| why);
                if error.is_none() {
                    state.set.push((text("structure"), text("resource"), set["limit"].clone()));
                }
                answers.push(json!({"id": set["id"], "error": error}));
                done.push(set["id"].clone());
            }
            let asked = orders["requests"].as_array().cloned().unwrap_or_default();
            let outcomes: Vec<Value> = asked.iter().map(|request| carry_out(&mut state, request)).collect();
            let told = if state.is_mute { &[] } else { outcomes.as_slice() };
            if !answers.is_empty() || !told.is_empty() {
                self.report(&mut state, &answers, told);
            }
            if state.is_mute && !asked.is_empty() {
                // Asked again, as an agent that reports what the orders still have.
                revision.clear();
            }
        }
    }

    fn report(&self, state: &mut State, sets: &[Value], requests: &[Value]) -> Answer {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        state.sequence += 1;
        let container = |(name, container): (&String, &Container)| {
            json!({"name": name, "engine": "lxc", "incarnation": "1", "guard": container.guard,
            "application": container.application, "resources": container.resources})
        };
        let containers: Vec<Value> = state.containers.iter().map(container).collect();
        let report = json!({"host": state.host, "instance": format!("of-{}", state.host), "started_at": 1, "sequence": state.sequence,
            "at": now, "version": "0.1.0", "status": state.status, "containers": containers, "decisions": [],
            "sets": sets, "requests": requests});
        self.send("POST", &format!("/agent/report?sent_at={now}"), &report.to_string())
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        crate::support::send(self.0, method, path, &[JSON], body)
    }
}

/// As an agent does: each once, the outcome again and again.
fn carry_out(state: &mut State, request: &Value) -> Value {
    if let Some(why) = state.refuses {
        return json!({"id": request["id"], "reason": why});
    }
    if !state.requests.iter().any(|done| done["id"] == request["id"]) {
        state.requests.push(request.clone());
    }
    let amount = request["amount"].as_f64().unwrap();
    let max = (request["field"] == "max").then_some(200.0 + amount);
    json!({"id": request["id"], "limits": [{"at": 200.0}, {"at": 200.0 + amount}], "max": max})
}
