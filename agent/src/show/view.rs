//! What is shown of `/status`; keys that are not shown are passed over.

use std::collections::BTreeMap;

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use serde::Deserialize;

use crate::containers::Engine;
use crate::status::GuardMode;

#[derive(Debug, Deserialize)]
pub(super) struct View {
    pub(super) version: String,
    pub(super) at: f64,
    pub(super) host: Host,
    pub(super) containers: Vec<Container>,
    pub(super) last_decisions: Vec<Decision>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) cgroup_mode: String,
    pub(super) online_cpus: Vec<u32>,
    pub(super) max: BTreeMap<Resource, f64>,
    pub(super) free: BTreeMap<Resource, f64>,
    pub(super) source: String,
    pub(super) source_reason: Option<String>,
    pub(super) net_reason: Option<String>,
    pub(super) guardian_active: bool,
    #[serde(default)]
    pub(super) judged_at_central: bool,
    pub(super) scaler_active: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Container {
    #[serde(rename = "container")]
    pub(super) identity: Identity,
    pub(super) guard: GuardMode,
    pub(super) reason: String,
    pub(super) notes: Vec<String>,
    pub(super) resources: BTreeMap<Resource, Numbers>,
}

impl Container {
    /// What is really done about it: nothing, where none of its resources is guarded.
    pub(super) fn standing(&self) -> Standing {
        match self.guard {
            GuardMode::Off => Standing::Off,
            _ if !self.resources.values().any(|numbers| numbers.guard) => Standing::Refused,
            GuardMode::Advise => Standing::Advised,
            GuardMode::On => Standing::Guarded,
        }
    }
}

/// What is really done about a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody asks for it.
    Off,
    /// It is asked for, and cannot be.
    Refused,
    /// Decided on paper.
    Advised,
    /// Guarded.
    Guarded,
}

#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) engine: Engine,
    #[serde(default)]
    pub(super) application: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Numbers {
    pub(super) guard: bool,
    pub(super) usage: Option<f64>,
    pub(super) limit: Limit,
    pub(super) applied: Limit,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) upper: Option<f64>,
    pub(super) lower: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    pub(super) at: f64,
    pub(super) structure: String,
    pub(super) resource: Resource,
    pub(super) action: String,
    pub(super) why: String,
    pub(super) from: Limit,
    pub(super) to: Limit,
    pub(super) outcome: String,
    pub(super) detail: Option<String>,
}
