//! One snapshot of everything after each step: what the REST API, the metrics and `status` show.

use std::collections::BTreeMap;
use std::sync::Arc;

pub use headroom_model::accounting::Areas;
use headroom_model::limit::Limit;
use headroom_model::policy::cores::Topology;
use headroom_model::resource::PerResource;
use headroom_model::wire::Counted;

use crate::cgroup::{Mode, Throttling};
use crate::containers::Container;
use crate::sampler::{SourceHealth, SourceKind};

/// The agent at one moment. Immutable once published.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Snapshot {
    /// Wall clock, seconds since the epoch.
    pub at: f64,
    /// The host.
    pub host: HostStatus,
    /// Every container that was found, by name.
    pub containers: Vec<ContainerStatus>,
    /// Counters of the agent itself; they only grow.
    pub counters: Counters,
    /// How long things take, by metric name (`reaction`, `sampling`, `cpu_write`, `slow_write`).
    pub latencies: Arc<BTreeMap<&'static str, Latency>>,
}

/// The host's side of a snapshot.
#[derive(Clone, Debug, serde::Serialize)]
pub struct HostStatus {
    /// Its name.
    pub name: Arc<str>,
    /// cgroup interfaces.
    pub cgroup_mode: Mode,
    /// Which CPUs are online, ascending.
    pub online_cpus: Arc<[u32]>,
    /// The online CPUs by where they sit.
    pub topology: Arc<Topology>,
    /// What may be given out, per resource; `None` where nothing bounds it.
    pub max: PerResource<Option<f64>>,
    /// What of it is free, never below 0.
    pub free: PerResource<Option<f64>>,
    /// The least CPU limit that the kernel takes with the period that is configured, in shares.
    pub least_cpu: f64,
    /// Who counts CPU time.
    pub source: SourceKind,
    /// Why it is not eBPF, where that was wanted.
    pub source_reason: Option<Arc<str>>,
    /// Why network usage is read from interfaces; `None` where it is counted at sockets.
    pub net_reason: Option<Arc<str>>,
    /// Whether the Guardian judges.
    pub guardian_active: bool,
    /// Whether central judges, whole applications instead of containers: while it does not answer, limits stay as they are.
    pub judged_at_central: bool,
    /// Whether the Scaler writes.
    pub scaler_active: bool,
    /// core -> container -> shares, where pinning is on. The key "free" is what the core still has.
    pub core_usage_mapping: Option<Arc<BTreeMap<u32, BTreeMap<String, f64>>>>,
}

/// What the config asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuardMode {
    /// Reported, never touched.
    Off,
    /// Decided, shown and accounted; nothing is written.
    Advise,
    /// Guarded.
    On,
}

/// One container in a snapshot.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ContainerStatus {
    /// Who it is.
    pub container: Arc<Container>,
    /// Whether it is guarded.
    pub guard: GuardMode,
    /// Why `guard` is what it is: `[[container]] in agent.toml:12`, `host.never_guard`, ..
    pub reason: Arc<str>,
    /// Why it is not guarded though the config asks for it, or what else a person should know.
    pub notes: Vec<Arc<str>>,
    /// Its cpuset: what is configured ("" for nothing) and what is effective, in kernel list form (`0-1`).
    pub cpuset: Arc<str>,
    /// The effective CPUs, in kernel list form.
    pub effective_cpus: Arc<str>,
    /// Each resource that was read.
    pub resources: PerResource<Option<ResourceStatus>>,
    /// The kernel's own count of its CPU time over its whole life, in share-seconds.
    pub cpu_total: Option<f64>,
    /// What else the kernel counted over its life.
    #[serde(skip)]
    pub counted: Counted,
    /// The kernel's throttling counters, where a CPU limit is or was set.
    pub throttling: Option<Throttling>,
    /// How often something else had changed a limit of it while it was guarded.
    pub foreign_changes: u64,
    /// The block device that the disk limits are for: major, minor, path.
    pub disk: Option<Arc<DiskDevice>>,
    /// Its network device, where it has one of its own.
    pub net: Option<Arc<NetDevice>>,
}

/// A network device that a container has for itself.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct NetDevice {
    /// What the container calls it: `eth0`.
    pub in_container: String,
    /// The host's end of it: `veth1a2b3c`; empty where it has none.
    pub in_host: String,
    /// What the container may receive by it, in Mbit/s. Read, never set.
    pub receive_limit: Limit,
    /// What it may send by it, in Mbit/s. Read, never set.
    pub send_limit: Limit,
}

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DiskDevice {
    /// Device major number.
    pub major: u32,
    /// Device minor number.
    pub minor: u32,
    /// `/dev/..`
    pub path: String,
}

/// One resource of one container in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct ResourceStatus {
    /// Guarded: by the config and for this resource.
    pub guard: bool,
    /// Mean of the last window; `None` when there was no sample.
    pub usage: Option<f64>,
    /// The limit in force, read back from cgroupfs; of an advised container the one that would be. Of the network the tighter of both
    /// directions.
    pub limit: Limit,
    /// What stands in the container's own cgroup: for CPU the quota, no matter its cpuset; for an advised container what really is.
    pub applied: Limit,
    /// What the kernel will really give: the limit, or a tighter one above.
    pub effective: Limit,
    /// Structure's bounds, where the config gives them.
    pub min: Option<f64>,
    /// Structure's bounds, where the config gives them.
    pub max: Option<f64>,
    /// Threshold.
    pub upper: Option<f64>,
    /// Threshold.
    pub lower: Option<f64>,
    /// Cumulative amounts since this incarnation was found.
    pub areas: Areas,
}

/// Counters of the agent; they only grow.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Counters {
    /// Windows judged.
    pub windows: u64,
    /// Windows without a sample.
    pub missing_samples: u64,
    /// Windows more than five times too long (suspend, a paused VM): not judged.
    pub gaps: u64,
    /// Windows judged before their end.
    pub early: u64,
    /// Windows that the kernel side was armed for and that were passed, but judged at their end only: its word was lost or came late.
    pub early_missed: u64,
    /// Windows that began anew with their container's burst, which the border would have cut in two.
    pub windows_moved: u64,
    /// Decisions and recorded windows that were not written down, since the journal was too slow.
    pub journal_dropped: u64,
    /// Decisions, by `action` and outcome (`applied`, `partial`, `starved`, `advised`, `inactive`, `refused`, `failed`).
    #[serde(serialize_with = "decision_counts")]
    pub decisions: BTreeMap<(&'static str, &'static str), u64>,
    /// Limits that something else had changed and that were put right, or adopted.
    pub drift_corrected: u64,
    /// Times our CPU count was put right after the kernel's own accounting.
    pub usage_corrected: u64,
    /// Biggest relative distance seen between our CPU count and the kernel's, over one audit.
    pub usage_drift_max: f64,
    /// The source's own.
    pub source: SourceHealth,
}

/// `[{"action": .., "outcome": .., "count": ..}, ..]`, since JSON has texts alone for keys.
fn decision_counts<S: serde::Serializer>(
    counts: &BTreeMap<(&'static str, &'static str), u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(serde::Serialize)]
    struct Decided<'a> {
        action: &'a str,
        outcome: &'a str,
        count: u64,
    }
    serializer.collect_seq(counts.iter().map(|((action, outcome), &count)| Decided { action, outcome, count }))
}

/// One decision, for people and audits.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Decision {
    /// Wall clock, seconds since the epoch.
    pub at: f64,
    /// The container's name.
    pub structure: String,
    /// Which resource: its key.
    pub resource: headroom_model::resource::Resource,
    /// `CpuRescaleUp`, .. or `Reassert`, `Adopt`, `Restore`, `FirstLimit`, `Pin`, `Unpin`, `Api`.
    pub action: String,
    /// The rule or the cause, and the numbers that it was judged by: why.
    pub why: String,
    /// The limit before.
    pub from: Limit,
    /// The limit after (as read back where it was written).
    pub to: Limit,
    /// `applied`, `partial`, `starved`, `advised`, `inactive`, `refused`, `failed`.
    pub outcome: &'static str,
    /// For `partial`, `refused`, `failed`: the reason.
    pub detail: Option<String>,
}

/// A histogram's summary. Times in µs.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// In sum.
    pub sum_us: f64,
    /// Cumulative counts at fixed upper bounds, in µs.
    pub buckets: Vec<(f64, u64)>,
    /// Median.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Worst.
    pub max_us: u64,
}
