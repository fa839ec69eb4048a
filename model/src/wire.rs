//! What an agent and central say to each other: JSON over HTTP, compressed with gzip.
//!
//! | who | request | answer |
//! | --- | --- | --- |
//! | agent | `POST /agent/report?sent_at=<s>` with a [`Report`] | 200 [`Received`]; 409 when another agent has that host's name |
//! | agent | `GET /agent/orders?host=..&instance=..&after=<revision>&wait=<s>` | 200 [`Orders`]; 204 when nothing changed meanwhile |
//!
//! An agent reports every few seconds, and at once when a container came or went or a limit moved. It asks for orders again as soon as
//! it has an answer. `sent_at` is the time at which a report is sent, by the agent's clock in seconds since the epoch: later than its `at`
//! where it had to wait. It tells how far that clock is off. Errors are `{"message": ".."}`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::accounting::Areas;
use crate::documents::by_resource::ByResource;
use crate::documents::limits::Limits;
use crate::documents::rule::Rule;
use crate::documents::service::Service;
use crate::documents::structure::Container;
use crate::limit::Limit;
use crate::policy::request::Field;
use crate::policy::thresholds::BoundaryType;
use crate::resource::Resource;

/// One agent's state at one moment, with what it decided since its last report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The host's name.
    pub host: String,
    /// Who says so: made up once and kept in the agent's state directory. Tells two agents apart that have one host's name.
    pub instance: String,
    /// When the agent's process started: seconds since the epoch, by its own clock. With `sequence`, tells a report that comes twice.
    pub started_at: f64,
    /// Grows by one with each report of a process.
    pub sequence: u64,
    /// When what it says was so: seconds since the epoch, by the agent's clock.
    pub at: f64,
    /// The agent's version.
    pub version: String,
    /// The host.
    pub status: HostReport,
    /// Every container on it, by name.
    pub containers: Vec<ContainerReport>,
    /// Oldest first.
    pub decisions: Vec<Decision>,
    /// What became of [`Orders::sets`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetDone>,
    /// What became of [`Orders::requests`]: in every report, for as long as the orders have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestDone>,
}

/// The host's side of a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostReport {
    /// `v1`, `v2`, `hybrid`.
    pub cgroup_mode: String,
    /// Who counts CPU time: `ebpf`, `cgroupfs`.
    pub source: String,
    /// Why it is not eBPF.
    pub source_reason: Option<String>,
    /// `classic`, `responsive`.
    pub profile: String,
    /// What may be given out, and what of it is free.
    pub resources: ByResource<HostResource>,
    /// core -> container -> shares; the key `free` is what the core still has. Only where pinning is on.
    pub core_usage_mapping: Option<Value>,
    /// Where the Container Scaler API listens over TCP.
    pub api: Option<String>,
    /// Whether the Guardian judges.
    pub guardian_active: bool,
    /// Whether the Scaler writes.
    pub scaler_active: bool,
    /// The revision of the orders that are in force.
    pub revision: Option<String>,
    /// What of the orders cannot be carried out here, a sentence each.
    pub problems: Vec<String>,
    /// Reports that found no room to wait while central was away. Their decisions are lost to the audit; the accounting loses nothing.
    pub reports_dropped: u64,
}

/// One resource of a host, in the resource's unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostResource {
    /// What may be given out.
    pub max: Option<f64>,
    /// What of it is not given out.
    pub free: Option<f64>,
}

/// One container in a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Unique on its host.
    pub name: String,
    /// `lxc`, `docker`, ..
    pub engine: String,
    /// Tells a container from one that was made anew under its name. The counters in `areas` grow as long as it stays the same.
    pub incarnation: String,
    /// The application that a label on the container names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// What happens to it.
    pub guard: GuardState,
    /// Why something that was asked for is not done, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the host's own configuration asks for, for a container that central has no documents of yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// The kernel's own count of its CPU time over its whole life, in share-seconds: it outlives the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_total: Option<f64>,
    /// Times the kernel throttled it, and for how long in sum, in s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<(u64, f64)>,
    /// Where [`Orders::wants_counted`] asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// What was read of it.
    pub resources: ByResource<ResourceReport>,
}

/// What the kernel counted over a container's life, each with when that was read: seconds since the epoch, by the agent's clock. It is read at the
/// pace of windows, and of a container that rests less often. None where it counts no such thing for a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// CPU time in user mode and in the kernel, in share-seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Pair>,
    /// Read and written, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Pair>,
    /// In and out, in Mbit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<Pair>,
}

/// Two counters that were read at one time: `[at, first, second]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 3]", into = "[f64; 3]")]
pub struct Pair {
    /// When.
    pub at: f64,
    /// Both, in the order in which the field names them.
    pub counters: [f64; 2],
}

impl From<[f64; 3]> for Pair {
    fn from([at, first, second]: [f64; 3]) -> Self {
        Self { at, counters: [first, second] }
    }
}

impl From<Pair> for [f64; 3] {
    fn from(Pair { at, counters: [first, second] }: Pair) -> Self {
        [at, first, second]
    }
}

/// What happens to a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuardState {
    /// It is watched only.
    #[default]
    Off,
    /// Decided and shown; nothing is written.
    Advise,
    /// Guarded.
    On,
}

/// One resource of one container, in the resource's unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceReport {
    /// Whether it is scaled now.
    #[serde(default)]
    pub guard: bool,
    /// The limit in force, read back from the kernel.
    pub current: Limit,
    /// What the kernel will really give: a cgroup above may be tighter.
    pub effective: Limit,
    /// Mean of the last window; none where there was no sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<f64>,
    /// Threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Cumulative over this incarnation, as far as this agent's process has seen it.
    pub areas: Areas,
}

impl ResourceReport {
    /// The limit in force. Where the container has none, what a cgroup above or the machine allows.
    pub fn in_force(&self) -> Option<f64> {
        let limit = match self.current {
            Limit::At(amount) => Some(amount),
            Limit::Unlimited => self.effective.amount(),
        };
        limit.filter(|amount| amount.is_finite())
    }
}

/// What a host's own configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seed {
    /// Whether to guard it.
    pub guard: bool,
    /// The resources it is about.
    pub resources: ByResource<SeedResource>,
}

/// One resource of a [`Seed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedResource {
    /// The limit is never set below.
    pub min: f64,
    /// The limit is never set above.
    pub max: f64,
    /// Width of the bands.
    pub boundary: f64,
    /// How it is meant.
    pub boundary_type: BoundaryType,
    /// Whether it is scaled.
    pub guard: bool,
    /// Its share of what is short.
    pub weight: f64,
}

/// One decision of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Seconds since the epoch, by the agent's clock.
    pub at: f64,
    /// The container's name.
    pub structure: String,
    /// Which resource.
    pub resource: Resource,
    /// `CpuRescaleUp`, `FirstLimit`, ..
    pub action: String,
    /// The rule or the cause, and the numbers that it was judged by.
    pub why: String,
    /// The limit before.
    pub from: Limit,
    /// The limit after.
    pub to: Limit,
    /// `applied`, `partial`, `starved`, `advised`, `inactive`, `refused`, `failed`.
    pub outcome: String,
    /// The reason, where it was not done as wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The answer to a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// Central's clock, seconds since the epoch.
    pub at: f64,
}

/// The documents that concern one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    /// Which these are: any text, to be shown when asking for newer ones.
    pub revision: String,
    /// Its containers.
    pub structures: Vec<Container>,
    /// Their limits.
    pub limits: Vec<Limits>,
    /// All rules.
    pub rules: Vec<Rule>,
    /// The Guardian and the Scaler.
    pub services: Vec<Service>,
    /// Whether reports are to have [`ContainerReport::counted`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_counted: bool,
    /// What may be given out on the host, where somebody has said so; the host's own settings may say less.
    #[serde(default)]
    pub host_max: ByResource<Most>,
    /// Limits to be set at once, whatever the Guardian thinks: on subscription, or when a person resets them. Repeated until
    /// [`Report::sets`] has their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetLimit>,
    /// Requests that are not the agent's own, for its Scaler to carry out under all of its rules: each once, however often it is repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Asked>,
}

/// The most of one resource that a host may give out, in the resource's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Most(pub f64);

/// A limit to be set at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetLimit {
    /// Unique for the central that made it.
    pub id: u64,
    /// The container's name.
    pub structure: String,
    /// Which resource.
    pub resource: Resource,
    /// In the resource's unit.
    pub limit: Limit,
}

/// What became of a [`SetLimit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDone {
    /// Its id.
    pub id: u64,
    /// Why it could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A request from outside the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// No other request in the fleet has it, ever.
    pub id: String,
    /// The container's name.
    pub structure: String,
    /// Which resource.
    pub resource: Resource,
    /// What is to change.
    #[serde(default)]
    pub field: Field,
    /// By how much, in the resource's unit; negative downwards.
    pub amount: f64,
    /// Goes before requests of lower priority.
    #[serde(default)]
    pub priority: f64,
    /// The structure whose request is carried out with this one, both whole or neither. Its request is among the same orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// How old it was when the orders were given, in s. What the orders' revision is of has 0.
    #[serde(default)]
    pub age: f64,
}

/// What became of an [`Asked`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestDone {
    /// Its id.
    pub id: String,
    /// The limit before and after. None: nothing was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<(Limit, Limit)>,
    /// The structure's `max` from now on, where that was asked for and is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Why it was not carried out, or not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl RequestDone {
    /// Nothing was changed, for this reason.
    pub fn refused(id: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { id: id.into(), limits: None, max: None, reason: Some(reason.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_limit_has_what_is_above_it() {
        let report = |current, effective| ResourceReport {
            guard: false,
            current,
            effective,
            usage: None,
            upper: None,
            lower: None,
            areas: Areas::default(),
        };
        let (at, unlimited) = (Limit::At, Limit::Unlimited);
        assert_eq!(report(at(150.0), at(100.0)).in_force(), Some(150.0));
        assert_eq!(report(unlimited, at(200.0)).in_force(), Some(200.0));
        assert_eq!(report(unlimited, unlimited).in_force(), None);
    }
}
