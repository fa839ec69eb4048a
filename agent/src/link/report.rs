//! From the agent's snapshot to a report. Pure.

use std::sync::Arc;

use headroom_model::documents::by_resource::ByResource;
use headroom_model::resource::{PerResource, Resource};
use headroom_model::wire::{
    ContainerReport, Decision, GuardState, HostReport, HostResource, Report, RequestDone, ResourceReport, Seed, SeedResource,
    SetDone,
};

use super::Parts;
use super::identity::Identity;
use crate::config::{ContainerRule, Profile};
use crate::containers::select::Selection;
use crate::control::Settings;
use crate::status::{self, ContainerStatus, GuardMode, HostStatus, Snapshot};

/// What a report is made of.
pub(super) struct Moment<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// This host's own settings, without orders.
    pub(super) own: &'a Settings,
    pub(super) decisions: &'a [Arc<status::Decision>],
    pub(super) sets: Vec<SetDone>,
    pub(super) requests: Vec<RequestDone>,
    pub(super) revision: Option<String>,
    pub(super) problems: Vec<String>,
    pub(super) dropped: u64,
    pub(super) sequence: u64,
    pub(super) wants_counted: bool,
}

pub(super) fn report(identity: &Identity, parts: &Parts, moment: Moment<'_>) -> Report {
    let Moment { snapshot, own, decisions, sets, requests, revision, problems, dropped, sequence, wants_counted } = moment;
    let host = host(&snapshot.host, own.config.guardian.profile);
    Report {
        host: identity.host().to_owned(),
        instance: identity.instance().to_owned(),
        started_at: identity.started_at(),
        sequence,
        at: snapshot.at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        status: HostReport { api: parts.api.map(|a| a.to_string()), revision, problems, reports_dropped: dropped, ..host },
        containers: snapshot
            .containers
            .iter()
            .map(|c| ContainerReport { counted: wants_counted.then_some(c.counted), ..container(c, own, &parts.boot_id) })
            .collect(),
        decisions: decisions.iter().map(|d| decision(d)).collect(),
        sets,
        requests,
    }
}

fn host(host: &HostStatus, profile: Profile) -> HostReport {
    let name = |value: serde_json::Value| value.as_str().map(str::to_owned).unwrap_or_default();
    let known = PerResource::from_fn(|resource| {
        let (max, free) = (host.max[resource], host.free[resource]);
        (max.is_some() || free.is_some()).then_some(HostResource { max, free })
    });
    HostReport {
        cgroup_mode: name(serde_json::json!(host.cgroup_mode)),
        source: name(serde_json::json!(host.source)),
        source_reason: host.source_reason.as_deref().map(str::to_owned),
        profile: name(serde_json::json!(profile)),
        resources: ByResource { known, ..ByResource::default() },
        core_usage_mapping: host.core_usage_mapping.as_ref().map(|mapping| serde_json::json!(mapping)),
        guardian_active: host.guardian_active,
        scaler_active: host.scaler_active,
        ..HostReport::default()
    }
}

fn container(container: &ContainerStatus, own: &Settings, boot_id: &str) -> ContainerReport {
    let is = &container.container;
    let rule = match own.selector.select(is) {
        Selection::Rule(at) => own.config.containers.get(at),
        Selection::None | Selection::Vetoed { .. } => None,
    };
    let known = PerResource::from_fn(|resource| {
        let status = container.resources[resource]?;
        let status::ResourceStatus { guard, usage, limit, effective, upper, lower, areas, .. } = status;
        Some(ResourceReport { guard, current: limit, effective, usage, upper, lower, areas })
    });
    ContainerReport {
        name: is.name.clone(),
        engine: is.engine.name().to_owned(),
        incarnation: format!("{boot_id}/{}", is.cgroup_id),
        application: is.application.clone(),
        guard: match container.guard {
            GuardMode::Off => GuardState::Off,
            GuardMode::Advise => GuardState::Advise,
            GuardMode::On => GuardState::On,
        },
        notes: container.notes.iter().map(ToString::to_string).collect(),
        seed: rule.map(|rule| seed(rule)),
        cpu_total: container.cpu_total,
        counted: None,
        throttled: container.throttling.map(|t| (t.throttled_periods, t.throttled_us as f64 / 1e6)),
        resources: ByResource { known, ..ByResource::default() },
    }
}

fn seed(rule: &ContainerRule) -> Seed {
    let known = PerResource::from_fn(|resource: Resource| {
        let of = rule.resources[resource]?;
        let (boundary, boundary_type) = (of.boundary, of.boundary_type);
        Some(SeedResource { min: of.min, max: of.max, boundary, boundary_type, guard: of.guard, weight: of.weight })
    });
    Seed { guard: rule.guard == GuardMode::On, resources: ByResource { known, ..ByResource::default() } }
}

fn decision(decision: &status::Decision) -> Decision {
    Decision {
        at: decision.at,
        structure: decision.structure.clone(),
        resource: decision.resource,
        action: decision.action.clone(),
        why: decision.why.clone(),
        from: decision.from,
        to: decision.to,
        outcome: decision.outcome.to_owned(),
        detail: decision.detail.clone(),
    }
}
