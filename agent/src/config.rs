//! TOML in, checked config out. The only code that reads files of settings and the environment.

mod container;
mod error;
mod file;
mod kinds;
mod load;
mod reader;
mod sections;
#[cfg(test)]
mod tests;
mod token;
mod warnings;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use error::{ConfigError, Problem};
pub use token::{Token, certificates};

use headroom_model::policy::thresholds::BoundaryType;
pub use headroom_model::profile::Profile;
use headroom_model::resource::{PerResource, Resource};

use crate::sampler::SourceKind;
use crate::status::GuardMode;

/// Everything that `agent.toml` can say, checked. `configs/agent.toml` comments each key.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[host]`
    pub host: Host,
    /// `[agent]`
    pub agent: Agent,
    /// `[guardian]`
    pub guardian: Guardian,
    /// `[scaler]`
    pub scaler: Scaler,
    /// `[sampler]`
    pub sampler: Sampler,
    /// `[discovery]`
    pub discovery: Discovery,
    /// `[api]`
    pub api: Api,
    /// `[central]`, where there is one.
    pub central: Option<Central>,
    /// `[[container]]`, in the file's order: the first that selects a container is the one.
    pub containers: Vec<Arc<ContainerRule>>,
    /// What can stand but will hardly be meant, a sentence each; to be logged and shown by `check`.
    pub warnings: Vec<String>,
}

impl Config {
    /// For how long after a change of its limit a resource is not lowered: at least the kernel's period, since each write of a quota
    /// hands out a new one, and what is handed out in a period is to be what the limits say.
    pub fn cooldown(&self) -> Duration {
        self.guardian.cooldown.max(self.scaler.period)
    }

    /// Gives back to a config that was read anew what a running agent cannot change: then it is what really runs. Names the keys that
    /// differed; they take a restart.
    pub fn hold_fixed(&mut self, running: &Self) -> Vec<&'static str> {
        let patterns = |config: &Self| config.discovery.patterns.iter().map(|p| p.as_str().to_owned()).collect::<Vec<_>>();
        let other_patterns = patterns(self) != patterns(running);
        let (sampler, discovery) = (&mut self.sampler, &mut self.discovery);
        let fixed = [
            ("host.name", hold(&mut self.host.name, &running.host.name)),
            ("agent.state_dir", hold(&mut self.agent.state_dir, &running.agent.state_dir)),
            ("agent.realtime_priority", hold(&mut self.agent.realtime_priority, &running.agent.realtime_priority)),
            ("sampler.source", hold(&mut sampler.source, &running.sampler.source)),
            ("sampler.max_containers", hold(&mut sampler.max_containers, &running.sampler.max_containers)),
            ("discovery.engines", hold(&mut discovery.engines, &running.discovery.engines)),
            ("[[discovery.pattern]]", other_patterns),
            ("discovery.rescan", hold(&mut discovery.rescan, &running.discovery.rescan)),
            ("[discovery.roots]", hold(&mut discovery.roots, &running.discovery.roots)),
            ("api.listen", hold(&mut self.api.listen, &running.api.listen)),
            ("api.socket", hold(&mut self.api.socket, &running.api.socket)),
            ("[api.tls]", hold(&mut self.api.tls, &running.api.tls)),
            ("[central]", hold(&mut self.central, &running.central)),
        ];
        discovery.patterns.clone_from(&running.discovery.patterns);
        fixed.into_iter().filter(|(_, differed)| *differed).map(|(key, _)| key).collect()
    }
}

/// Whether `new` differed from what is running; then it no longer does.
fn hold<T: PartialEq + Clone>(new: &mut T, running: &T) -> bool {
    let differs = new != running;
    if differs {
        new.clone_from(running);
    }
    differs
}

/// `[host]`
#[derive(Clone, Debug)]
pub struct Host {
    /// The host's name; the machine's by default.
    pub name: String,
    /// `max.<resource>`: what may be given out; CPU defaults to 100 x online CPUs, memory to the machine's.
    pub max: PerResource<Option<f64>>,
    /// Whether the limits of containers that are not guarded count against `max`.
    pub reserve_unguarded: bool,
    /// Names that are never guarded, whatever else says so: globs.
    pub never_guard: Vec<globset::Glob>,
}

/// `[agent]`
#[derive(Clone, Debug)]
pub struct Agent {
    /// Originals and what a restart needs.
    pub state_dir: PathBuf,
    /// What `headroom-agent release` does after a death.
    pub on_death: OnDeath,
    /// Whether a clean end puts back the limits found at the first touch.
    pub restore_on_exit: bool,
    /// Real-time priority for the control thread, 1..=99; 0 for none.
    pub realtime_priority: u8,
}

/// What happens to guarded limits when the agent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeath {
    /// Lifted to the structure's `max`.
    Release,
    /// Left.
    Hold,
}

/// `[guardian]`
#[derive(Clone, Debug)]
pub struct Guardian {
    /// Rules and settings to start from.
    pub profile: Profile,
    /// Off: no events, no requests.
    pub active: bool,
    /// The window of each resource (CPU 100 ms, the others 1 s).
    pub window: PerResource<Duration>,
    /// How long an event counts; by default as long as ten of the resource's windows: [`Guardian::event_timeout`].
    pub event_timeout: Option<Duration>,
    /// Whether central judges, whole applications instead of containers. Only central's orders say so.
    pub at_central: bool,
    /// Which resources may be guarded at all.
    pub guardable: Vec<Resource>,
    /// Whether a window that raised the limit is judged again.
    pub rejudge: bool,
    /// For how long after a change of its limit a resource is not lowered; [`Config::cooldown`] is what counts.
    pub cooldown: Duration,
    /// A JSON array of rule documents, instead of the profile's.
    pub rules: Option<PathBuf>,
}

impl Guardian {
    /// How long an event of this resource counts. The contract's 100 s belong to windows of 10 s: ten windows.
    pub fn event_timeout(&self, resource: Resource) -> Duration {
        self.event_timeout.unwrap_or(self.window[resource] * 10)
    }

    /// The text of the rules file, where one is named, with its path.
    pub fn rules_text(&self) -> Result<Option<(&std::path::Path, String)>, ConfigError> {
        let Some(file) = &self.rules else { return Ok(None) };
        Ok(Some((file, file::read("rules file", file)?)))
    }
}

/// `[scaler]`
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, as the file has them")]
pub struct Scaler {
    /// Off: requests are made, nothing is written.
    pub active: bool,
    /// Requests older than this are dropped.
    pub request_timeout: Duration,
    /// Whether what others changed is noticed and handled.
    pub check_core_map: bool,
    /// What to do with a limit that something else changed.
    pub on_foreign_change: OnForeignChange,
    /// Whether containers get cores of their own.
    pub pin_cores: bool,
    /// The order in which cores are given out: `Group_PP_LL` and so on.
    pub core_distribution: String,
    /// The CFS period that we write, 1 ms to 1 s.
    pub period: Duration,
    /// The burst we write, as a fraction of the quota, 0..=1; 0 for none.
    pub burst: f64,
    /// The least quota that we write: small ones are gone before anybody can know, the more so on many cores, to each of which the
    /// kernel hands 5 ms at a time. No limit is lowered below it, whatever its `min`.
    pub min_quota: Duration,
    /// Whether memory limits may be lowered on cgroup v1.
    pub lower_memory_v1: bool,
}

impl Scaler {
    /// The least CPU limit that the kernel takes with this period, in shares: a quota of 1 ms.
    pub fn least_cpu(&self) -> f64 {
        0.1 / self.period.as_secs_f64()
    }

    /// `min_quota` in shares: the least CPU limit that a container is lowered to.
    pub fn floor_cpu(&self) -> f64 {
        100.0 * self.min_quota.as_secs_f64() / self.period.as_secs_f64()
    }
}

/// What to do with a limit that something else changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnForeignChange {
    /// Write ours again.
    Reassert,
    /// Go on from theirs.
    Adopt,
}

/// `[sampler]`
#[derive(Clone, Debug)]
pub struct Sampler {
    /// Forced, or `None` for eBPF where it works.
    pub source: Option<SourceKind>,
    /// Slots in the kernel side's arrays.
    pub max_containers: u32,
    /// How often our count is held against the kernel's.
    pub audit_interval: Duration,
}

/// `[discovery]`
#[derive(Clone, Debug)]
pub struct Discovery {
    /// The engines that are looked for: lxc (with LXD), docker, podman, kubernetes, systemd.
    pub engines: Vec<crate::containers::Engine>,
    /// `[[discovery.pattern]]`: a regular expression on the cgroup's path; its group `name` is the container's name.
    pub patterns: Vec<regex::Regex>,
    /// A full scan as a safety net beside the notifications, and for names and labels that have changed.
    pub rescan: Duration,
    /// `[discovery.roots]`: where the engines keep what they know of their containers.
    pub roots: crate::containers::identity::Roots,
}

/// `[api]`
#[derive(Clone, Debug)]
pub struct Api {
    /// TCP, 127.0.0.1:8000 by default; `None` for off.
    pub listen: Option<SocketAddr>,
    /// The unix socket (0660); `None` for off.
    pub socket: Option<PathBuf>,
    /// The file with the token that writes over TCP need.
    pub token_file: Option<PathBuf>,
    /// Writes over TCP without a token.
    pub open_writes: bool,
    /// Allow writes off loopback without a token.
    pub insecure: bool,
    /// Host headers that are answered beside the loopback's names and the addresses listened on.
    pub allowed_hosts: Vec<String>,
    /// `[api.tls]`: over TCP, TLS is spoken.
    pub tls: Option<Tls>,
}

/// `[api.tls]`: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, with those between it and the authority that clients trust.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[central]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Central {
    /// Where it is served: `http://..` or `https://..`, without a path. The next one is tried where one does not answer.
    pub urls: Vec<String>,
    /// The file with the token that central gave this host.
    pub token_file: Option<PathBuf>,
    /// The authorities that central's certificate may be signed by: a PEM file. The public ones if not given.
    pub ca: Option<PathBuf>,
    /// How often the agent reports.
    pub report_interval: Duration,
}

/// One `[[container]]`: which containers, and what they get.
#[derive(Clone, Debug)]
pub struct ContainerRule {
    /// Where it stands, for people: `[[container]] in agent.toml:12`.
    pub origin: String,
    /// Whom it means by name.
    pub name: Option<NameRule>,
    /// Its engine.
    pub engine: Option<crate::containers::Engine>,
    /// A glob on its cgroup path.
    pub path: Option<globset::Glob>,
    /// A label that its engine has on it.
    pub label: Option<LabelRule>,
    /// Whether to guard it.
    pub guard: GuardMode,
    /// The resources it is guarded for.
    pub resources: PerResource<Option<ResourceRule>>,
    /// What of it cannot be followed, a sentence each, to be shown with the container.
    pub problems: Vec<String>,
}

/// Whom a rule means by name. One that is written out is looked up, however many there are of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// The container of this very name.
    Is(String),
    /// Those whose names match.
    Like(globset::Glob),
}

/// `key`, or `key=value` with a glob for the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRule {
    /// The label's key.
    pub key: String,
    /// What its value matches; `None`: whatever it is.
    pub value: Option<globset::Glob>,
}

/// `[container.cpu]` and so on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResourceRule {
    /// The limit is never set below.
    pub min: f64,
    /// The limit is never set above.
    pub max: f64,
    /// Width of the two bands under the limit.
    pub boundary: f64,
    /// How `boundary` is meant.
    pub boundary_type: BoundaryType,
    /// Guard this resource.
    pub guard: bool,
    /// Its share of what is short.
    pub weight: f64,
}

/// Whether the user's environment asks for no colours (`NO_COLOR`).
pub fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// The state directory of a unit, where the service manager says which (`STATE_DIRECTORY`), else the default.
pub fn usual_state_dir() -> PathBuf {
    let given = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty());
    given.map_or_else(|| PathBuf::from(sections::STATE_DIR), PathBuf::from)
}
