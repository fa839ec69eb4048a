//! Where a test runs: a directory, a central, hosts with an agent each, and their containers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::net::Net;
use crate::process::{Process, agent_binary, until};
use crate::support::TestCgroup;

pub(crate) struct Bed {
    tag: &'static str,
    pub(crate) dir: TempDir,
    pub(crate) net: Option<Net>,
}

impl Bed {
    /// Everything on loopback.
    pub(crate) fn new(tag: &'static str) -> Self {
        Self { tag, dir: TempDir::new().unwrap(), net: None }
    }

    /// Each host in a network namespace of its own.
    pub(crate) fn with_hosts(tag: &'static str, hosts: &[&'static str]) -> Self {
        Self { tag, dir: TempDir::new().unwrap(), net: Some(Net::new(tag, hosts)) }
    }

    /// Runs central; `more` goes into its configuration.
    pub(crate) fn central(&self, more: &str) -> Central {
        self.central_of("central", more)
    }

    /// One of several, with a state directory of its own.
    pub(crate) fn central_of(&self, state: &'static str, more: &str) -> Central {
        let listen = if self.net.is_some() { format!("{}:0", Net::CENTRAL) } else { "127.0.0.1:0".to_owned() };
        Central::start(self, state, &listen, more)
    }

    /// A container that the host's agent calls `name`.
    pub(crate) fn container(&self, host: &str, name: &str) -> TestCgroup {
        TestCgroup::new(&format!("{}-{host}-{name}", self.tag))
    }

    /// The host's agent. It looks at its own containers only; `more` goes into its configuration.
    pub(crate) fn agent(&self, host: &'static str, central: &Central, more: &str) -> Agent {
        self.agent_of(host, host, central, more)
    }

    /// The same, of an agent that keeps its state under another name than its host's.
    pub(crate) fn agent_of(&self, state: &str, host: &'static str, central: &Central, more: &str) -> Agent {
        self.agent_with(state, host, &[central], more)
    }

    /// The same, with all these centrals to ask, the first of them first.
    pub(crate) fn agent_with(&self, state: &str, host: &'static str, centrals: &[&Central], more: &str) -> Agent {
        let dir = self.dir.path().join(state);
        fs::create_dir_all(&dir).unwrap();
        let (socket, at) = (dir.join("agent.sock"), dir.display());
        let urls: Vec<&str> = centrals.iter().map(|central| central.url.as_str()).collect();
        let pattern = format!("^headroom-test-{}-{}-{host}-(?<name>[a-z0-9-]+)$", std::process::id(), self.tag);
        let text = format!(
            "host.name = '{host}'\nhost.max.cpu = 1000\nagent.state_dir = '{at}/state'\n\
             guardian.window = {{ cpu = '200ms', mem = '200ms' }}\ndiscovery.engines = []\ndiscovery.pattern = [{{ path = '{pattern}' }}]\n\
             api.listen = '127.0.0.1:0'\napi.socket = '{at}/agent.sock'\n\
             [central]\nurl = {urls:?}\nreport_interval = '500ms'\n{more}"
        );
        fs::write(dir.join("agent.toml"), text).unwrap();
        let mut command =
            self.net.as_ref().map_or_else(|| Command::new(agent_binary()), |net| net.command(host, &agent_binary()));
        command.args(["run", "--config"]).arg(dir.join("agent.toml"));
        let process = Process::start("the agent", command, dir.join("agent.log"), "headroom-agent is up");
        Agent { process, socket }
    }
}

/// A running central, and a client for it.
pub(crate) struct Central {
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) http: Http,
    place: Place,
}

/// What it takes to run a central again where it was.
pub(crate) struct Place {
    state: &'static str,
    listen: String,
    more: String,
}

impl Central {
    fn start(bed: &Bed, state: &'static str, listen: &str, more: &str) -> Self {
        let dir = bed.dir.path().join(state);
        fs::create_dir_all(&dir).unwrap();
        let more = more.replace("{dir}", &bed.dir.path().display().to_string());
        let text = format!("listen = '{listen}'\nstate_dir = '{}'\n{more}", dir.join("state").display());
        fs::write(dir.join("central.toml"), text).unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_headroom-central"));
        let mut command = bed.net.as_ref().map_or_else(|| Command::new(binary), |net| net.command("central", binary));
        command.args(["serve", "--config"]).arg(dir.join("central.toml"));
        let process = Process::start("central", command, dir.join("central.log"), "headroom-central is up");
        let log = process.log();
        let address = log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
        let scheme = if more.contains("[tls]") { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        let http = Http { url: url.clone(), token: None };
        Self { process, url, http, place: Place { state, listen: address.to_owned(), more } }
    }

    /// Runs it again where it was.
    pub(crate) fn again(bed: &Bed, of: &Place) -> Self {
        Self::start(bed, of.state, &of.listen, &of.more)
    }

    /// Kills it, and says how to run it again.
    pub(crate) fn kill9(self) -> Place {
        self.process.kill9();
        self.place
    }
}

/// A plain client.
#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
}

impl Http {
    /// Status and body.
    pub(crate) fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.header("content-type", "application/json");
        let request = request.body(body.map(Value::to_string).unwrap_or_default()).unwrap();
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let mut answer = ureq::Agent::new_with_config(config).run(request).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.send("GET", path, None);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// A change that has to be taken.
    pub(crate) fn put(&self, path: &str, body: impl Into<Value>) {
        let body = body.into();
        let answer = self.send("PUT", path, Some(&body));
        assert_eq!(answer, (201, json!(201)), "{path} {body}");
    }

    /// One host of `/fleet`; null when it is not there.
    pub(crate) fn host(&self, name: &str) -> Value {
        let fleet = self.get("/fleet");
        fleet["hosts"].as_array().unwrap().iter().find(|host| host["name"] == name).cloned().unwrap_or_default()
    }

    pub(crate) fn until_known(&self, structure: &str) {
        until(&format!("{structure} is known"), || self.send("GET", &format!("/structure/{structure}"), None).0 == 200);
    }
}

/// A running agent.
pub(crate) struct Agent {
    pub(crate) process: Process,
    socket: PathBuf,
}

impl Agent {
    /// One container of its `/status`; null while it is not known.
    pub(crate) fn container(&self, name: &str) -> Value {
        let status = self.get("/status");
        let containers = status["containers"].as_array().unwrap();
        containers.iter().find(|c| c["container"]["name"] == name).cloned().unwrap_or_default()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        use std::io::{Read as _, Write as _};
        let mut stream = std::os::unix::net::UnixStream::connect(&self.socket).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    pub(crate) fn until_guarded(&self, name: &str, guard: &str) {
        until(&format!("{name} is guarded: {guard}"), || self.container(name)["guard"] == guard);
    }
}

/// The CPU quota that stands in a container's cgroup, in shares.
pub(crate) fn shares(container: &TestCgroup) -> Option<f64> {
    container.cpu_quota().unwrap().read().unwrap().quota.amount()
}
