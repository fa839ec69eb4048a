//! Documents for what agents discover: hosts and containers that central has none of yet.

mod application;

use std::sync::Arc;

use headroom_model::documents::limits::{Limits, ResourceLimits};
use headroom_model::documents::structure::Amounts;
use headroom_model::number;
use headroom_model::profile::Profile;
use headroom_model::resource::Resource;
use headroom_model::wire::{ContainerReport, HostReport, Report};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::central::Central;
use crate::store::{Body, Database};

/// What of a container is guarded, once the container is.
const GUARDED: Resource = Resource::Cpu;

/// Makes a document for a host that has none.
pub(super) async fn host(central: &Central, report: &Report) -> Result<(), Answer> {
    if central.documents.has(Database::Structures, &report.host) {
        return Ok(());
    }
    created(central.documents.create(Database::Structures, &report.host, host_document(&report.host, &report.status)).await)
}

/// Makes documents for containers that have none, and notes where those are that have moved here.
pub(super) async fn containers(central: &Central, report: &Report, appeared: &[Arc<str>]) -> Result<(), Answer> {
    let news = report.containers.iter().filter(|container| appeared.iter().any(|name| **name == *container.name));
    // At once, so that the store commits them together.
    let mut writes = tokio::task::JoinSet::new();
    for container in news {
        let container = container.clone();
        let (central, host, status) = (central.clone(), report.host.clone(), report.status.clone());
        writes.spawn(async move { container_documents(&central, &host, &status, &container).await });
    }
    while let Some(written) = writes.join_next().await {
        written.unwrap_or_else(|e| Err(Answer::failed(e.to_string())))?;
    }
    Ok(())
}

async fn container_documents(
    central: &Central,
    host: &str,
    status: &HostReport,
    container: &ContainerReport,
) -> Result<(), Answer> {
    let (documents, name) = (&central.documents, &container.name);
    if documents.has(Database::Structures, name) {
        let moved = |body: &mut Body| {
            // An application or a host of this name is no container: it stays as it is.
            let is_container = body.get("subtype").is_none_or(|subtype| subtype == "container");
            if is_container && body.get("host").is_none_or(|of| of != host) {
                body.insert("host".into(), host.into());
                body.extend(rescaler(host, status));
            }
            Ok(())
        };
        documents.edit(Database::Structures, name, moved).await?;
    } else {
        // First, so that a report which has to come again finds it still to be done.
        application::join(central, container).await?;
        created(documents.create(Database::Structures, name, container_document(host, status, container)).await)?;
    }
    if !documents.has(Database::Limits, name) {
        created(documents.create(Database::Limits, name, limits_document(central.config.profile, container)).await)?;
    }
    Ok(())
}

/// Somebody else may have been first.
fn created(result: Result<(), Answer>) -> Result<(), Answer> {
    result.or_else(|answer| if answer.is_there_already() { Ok(()) } else { Err(answer) })
}

/// Where the host's Container Scaler listens, in the fields that programs look for.
fn rescaler(host: &str, status: &HostReport) -> Body {
    let port = status.api.as_deref().and_then(|api| api.rsplit_once(':')).and_then(|(_, port)| port.parse::<u16>().ok());
    Body::from_iter([("host_rescaler_ip".into(), host.into()), ("host_rescaler_port".into(), port.unwrap_or(8000).into())])
}

fn host_document(name: &str, status: &HostReport) -> Body {
    let of = |(resource, numbers): (Resource, &headroom_model::wire::HostResource)| {
        let mut entry = Body::new();
        entry.extend(numbers.max.map(|max| ("max".to_owned(), number::plain(max))));
        entry.extend(numbers.free.map(|free| ("free".to_owned(), number::plain(free))));
        if let (Resource::Cpu, Some(mapping)) = (resource, &status.core_usage_mapping) {
            entry.insert("core_usage_mapping".into(), mapping.clone());
        }
        (resource.key().to_owned(), Value::Object(entry))
    };
    let resources: Map<String, Value> = status.resources.known.present().map(of).collect();
    let mut body = Body::from_iter([
        ("type".into(), "structure".into()),
        ("subtype".into(), "host".into()),
        ("name".into(), name.into()),
        ("host".into(), name.into()),
        ("resources".into(), Value::Object(resources)),
        ("discovered".into(), true.into()),
    ]);
    body.extend(rescaler(name, status));
    body
}

/// As the host's own settings ask for it. Where they do not, it is not guarded, and `max` is what it has now, or the host.
fn container_document(host: &str, status: &HostReport, container: &ContainerReport) -> Body {
    let mut resources = Map::new();
    for (resource, report) in container.resources.known.present() {
        let seed = container.seed.as_ref().and_then(|seed| seed.resources.known[resource].as_ref());
        let host_max = status.resources.known[resource].as_ref().and_then(|of| of.max);
        let amounts = Amounts {
            max: seed.map(|seed| seed.max).or_else(|| report.current.amount().or(host_max).map(f64::round)),
            min: Some(seed.map_or(0.0, |seed| seed.min)),
            current: report.current.amount(),
            guard: seed.map_or(resource == GUARDED, |seed| seed.guard),
            weight: seed.map(|seed| seed.weight),
            ..Amounts::default()
        };
        resources.insert(resource.key().into(), json!(amounts));
    }
    let mut body = Body::from_iter([
        ("type".into(), "structure".into()),
        ("subtype".into(), "container".into()),
        ("name".into(), container.name.as_str().into()),
        ("host".into(), host.into()),
        ("guard".into(), container.seed.as_ref().is_some_and(|seed| seed.guard).into()),
        ("resources".into(), Value::Object(resources)),
        ("discovered".into(), true.into()),
    ]);
    body.extend(rescaler(host, status));
    body
}

fn limits_document(profile: Profile, container: &ContainerReport) -> Body {
    let mut limits = Limits { name: container.name.clone(), ..Limits::default() };
    for (resource, _) in container.resources.known.present() {
        let seed = container.seed.as_ref().and_then(|seed| seed.resources.known[resource].as_ref());
        let (boundary, kind) = seed.map_or(profile.boundary(), |seed| (seed.boundary, seed.boundary_type));
        limits.resources.known[resource] =
            Some(ResourceLimits { boundary: Some(boundary), boundary_type: Some(kind), ..ResourceLimits::default() });
    }
    let Value::Object(mut body) = json!(limits) else { return Body::new() };
    body.insert("type".into(), "limit".into());
    body
}

#[cfg(test)]
mod tests {
    use headroom_model::accounting::Areas;
    use headroom_model::documents::by_resource::ByResource;
    use headroom_model::limit::Limit;
    use headroom_model::policy::thresholds::BoundaryType;
    use headroom_model::wire::{GuardState, HostResource, ResourceReport, Seed, SeedResource};

    use super::*;

    fn container(current: Limit, seed: Option<Seed>) -> ContainerReport {
        let mut resources = ByResource::default();
        resources.known[Resource::Cpu] = Some(ResourceReport {
            guard: false,
            current,
            effective: current,
            usage: None,
            upper: None,
            lower: None,
            areas: Areas::default(),
        });
        let (name, engine, incarnation) = ("cont0".into(), "lxc".into(), "1".into());
        ContainerReport {
            name,
            engine,
            incarnation,
            application: None,
            guard: GuardState::Off,
            notes: Vec::new(),
            seed,
            cpu_total: None,
            counted: None,
            throttled: None,
            resources,
        }
    }

    fn status() -> HostReport {
        let mut status = HostReport { api: Some("127.0.0.1:8001".into()), ..HostReport::default() };
        status.resources.known[Resource::Cpu] = Some(HostResource { max: Some(400.0), free: Some(400.0) });
        status
    }

    #[test]
    fn what_is_only_discovered_is_not_guarded() {
        let body = container_document("host0", &status(), &container(Limit::Unlimited, None));
        let expected = json!({
            "type": "structure", "subtype": "container", "name": "cont0", "host": "host0", "host_rescaler_ip": "host0",
            "host_rescaler_port": 8001, "guard": false, "discovered": true,
            "resources": {"cpu": {"max": 400, "min": 0, "guard": true}},
        });
        assert_eq!(Value::Object(body), expected);
    }

    #[test]
    fn the_hosts_own_settings_are_the_seed() {
        let mut seed = Seed { guard: true, ..Seed::default() };
        let (boundary, boundary_type) = (25.0, BoundaryType::Absolute);
        seed.resources.known[Resource::Cpu] =
            Some(SeedResource { min: 50.0, max: 200.0, boundary, boundary_type, guard: true, weight: 2.0 });
        let container = container(Limit::At(150.0), Some(seed));
        let body = container_document("host0", &status(), &container);
        let cpu = json!({"max": 200, "min": 50, "current": 150, "guard": true, "weight": 2});
        assert_eq!((&body["guard"], &body["resources"]["cpu"]), (&json!(true), &cpu));
        let limits = limits_document(Profile::Classic, &container);
        let cpu = json!({"boundary": 25, "boundary_type": "absolute"});
        assert_eq!(Value::Object(limits), json!({"type": "limit", "name": "cont0", "resources": {"cpu": cpu}}));
    }
}
