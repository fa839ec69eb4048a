//! Central's orders laid over a host's own settings: its documents win, but for the host's vetoes (`never_guard`, `guard = "advise"`) and
//! bounds (`host.max`). Containers that central has no documents of stay as the host's own settings say. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headroom_model::documents::limits::{Limits, ResourceLimits};
use headroom_model::documents::service::Service as Document;
use headroom_model::documents::structure::{Amounts, Container};
use headroom_model::policy::rules::RuleSet;
use headroom_model::policy::thresholds::BoundaryType;
use headroom_model::resource::{PerResource, Resource};
use headroom_model::settings::{Guardian, Guards, Scaler, Service};
use headroom_model::wire::Orders;

use crate::config::{Config, ContainerRule, NameRule, Profile, ResourceRule};
use crate::control::Settings;
use crate::status::GuardMode;

/// The settings in force, and what of the orders cannot be carried out, a sentence each.
pub(super) fn lay(own: &Settings, orders: &Orders) -> (Settings, Vec<String>) {
    let mut config = own.config.clone();
    let mut problems = Vec::new();
    for (resource, most) in orders.host_max.known.present() {
        let own = &mut config.host.max[resource];
        *own = Some(own.map_or(most.0, |own| own.min(most.0)));
    }
    for service in &orders.services {
        if let Err(problem) = set_service(&mut config, service) {
            problems.push(problem);
        }
    }
    let limits: HashMap<&str, &Limits> = orders.limits.iter().map(|limits| (limits.name.as_str(), limits)).collect();
    let profile = config.guardian.profile;
    let ordered = orders.structures.iter().map(|container| {
        let limits = limits.get(container.name.as_str()).copied();
        Arc::new(container_rule(container, limits, profile))
    });
    config.containers = ordered.chain(std::mem::take(&mut config.containers)).collect();
    let rules = RuleSet::compile(&orders.rules);
    problems.extend(rules.problems().iter().map(|problem| format!("{problem}; the rule is left out")));
    (Settings::new(config, rules).over(own), problems)
}

fn set_service(config: &mut Config, document: &Document) -> Result<(), String> {
    let stays = |e: headroom_model::settings::SettingError| format!("{e}; the service's settings stay as they were");
    let seconds = Duration::from_secs_f64;
    match Service::of_name(&document.name) {
        Some(Service::Guardian) => {
            let settings = Guardian::read(&document.config).map_err(stays)?;
            let guardian = &mut config.guardian;
            let window = settings.window.clamp(0.01, 3600.0);
            // What is not counted as it happens is read once a second.
            guardian.window = PerResource::from_fn(|r| seconds(if r == Resource::Cpu { window } else { window.max(1.0) }));
            guardian.active = settings.active && settings.guards == Guards::Containers;
            guardian.event_timeout = Some(seconds(settings.event_timeout.min(1e6)));
            guardian.guardable = settings.guardable;
            guardian.rejudge = settings.rejudge;
            guardian.cooldown = seconds(settings.cooldown.min(3600.0));
            guardian.at_central = settings.active && settings.guards == Guards::Applications;
        }
        Some(Service::Scaler) => {
            let settings = Scaler::read(&document.config).map_err(stays)?;
            config.scaler.active = settings.active;
            config.scaler.request_timeout = seconds(settings.request_timeout.min(1e6));
            config.scaler.check_core_map = settings.check_core_map;
        }
        _ => {}
    }
    Ok(())
}

fn container_rule(container: &Container, limits: Option<&Limits>, profile: Profile) -> ContainerRule {
    let mut problems = Vec::new();
    let resources = PerResource::from_fn(|resource| {
        let amounts = container.resources.known[resource].as_ref()?;
        let of = limits.and_then(|limits| limits.resources.known[resource].as_ref());
        let boundary = of.and_then(ResourceLimits::boundary).map(|boundary| (boundary.value, boundary.kind));
        resource_rule(resource, amounts, boundary.unwrap_or(profile.boundary()), &mut problems)
    });
    let guard = if container.guard { GuardMode::On } else { GuardMode::Off };
    let problems = if container.guard { problems } else { Vec::new() };
    let origin = "central's documents".to_owned();
    let name = Some(NameRule::Is(container.name.clone()));
    ContainerRule { origin, name, engine: None, path: None, label: None, guard, resources, problems }
}

fn resource_rule(
    resource: Resource,
    amounts: &Amounts,
    (boundary, boundary_type): (f64, BoundaryType),
    problems: &mut Vec<String>,
) -> Option<ResourceRule> {
    let (min, weight) = (amounts.min.unwrap_or(0.0), amounts.weight.unwrap_or(1.0));
    let Some(max) = amounts.max else {
        if amounts.guard {
            problems.push(format!("{resource}: not guarded: its document has no max"));
        }
        return None;
    };
    let wrong = if min > max {
        Some(format!("{resource}: not scaled while its min {min} is above its max {max}"))
    } else if max < 1.0 {
        Some(format!("{resource}: not scaled: its max is {max}, expected at least 1"))
    } else {
        None
    };
    let guard = amounts.guard && wrong.is_none();
    if amounts.guard {
        problems.extend(wrong);
    }
    Some(ResourceRule { min, max, boundary, boundary_type, guard, weight })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn own(text: &str) -> Settings {
        let config = Config::parse(text, "agent.toml").unwrap();
        let rules = RuleSet::compile(&config.guardian.profile.rules());
        Settings::new(config, rules)
    }

    fn orders(container: &serde_json::Value, guardian: &serde_json::Value) -> Orders {
        serde_json::from_value(json!({
            "revision": "1",
            "structures": [container],
            "limits": [{"type": "limit", "name": "cont0", "resources": {"cpu": {"boundary": "25", "boundary_type": "absolute"}}}],
            "rules": Profile::Classic.rules(),
            "services": [{"name": "guardian", "config": guardian}, {"name": "scaler", "config": {"ACTIVE": "false"}}],
        }))
        .unwrap()
    }

    #[test]
    fn documents_win_over_the_hosts_own_settings() {
        let own = own("[[container]]\nname = \"*\"\nguard = true\ncpu = { min = 10, max = 100 }");
        let container = json!({"name": "cont0", "host": "h", "guard": true,
            "resources": {"cpu": {"max": "200", "min": 50, "guard": true}, "mem": {"max": 512, "min": 600, "guard": true}}});
        let (settings, problems) = lay(&own, &orders(&container, &json!({"WINDOW_TIMELAPSE": 0.5, "EVENT_TIMEOUT": 5})));
        let config = &settings.config;
        assert_eq!(problems, [""; 0]);
        assert!(!config.scaler.active && config.guardian.active);
        assert_eq!(config.guardian.window[Resource::Cpu], Duration::from_millis(500));
        assert_eq!(config.guardian.window[Resource::Mem], Duration::from_secs(1));
        assert_eq!(config.guardian.event_timeout, Some(Duration::from_secs(5)));
        let [cont0, others] = config.containers.as_slice() else { panic!("two rules") };
        assert_eq!((cont0.origin.as_str(), cont0.guard), ("central's documents", GuardMode::On));
        let absolute = BoundaryType::Absolute;
        let cpu = ResourceRule { min: 50.0, max: 200.0, boundary: 25.0, boundary_type: absolute, guard: true, weight: 1.0 };
        assert_eq!(cont0.resources[Resource::Cpu], Some(cpu));
        assert_eq!(cont0.problems, ["mem: not scaled while its min 600 is above its max 512"]);
        assert!(cont0.resources[Resource::Mem].is_some_and(|mem| !mem.guard));
        assert_eq!(config.host.max[Resource::Cpu], None);
        assert_eq!(others.origin, "[[container]] in agent.toml:1");
    }

    #[test]
    fn what_is_not_guarded_by_its_document_is_not_guarded() {
        let own = own("[[container]]\nname = \"*\"\nguard = true\ncpu = { min = 10, max = 100 }");
        let container =
            json!({"name": "cont0", "host": "h", "guard": "false", "resources": {"cpu": {"max": 200, "guard": true}}});
        let (settings, _) = lay(&own, &orders(&container, &json!({})));
        assert_eq!(settings.config.containers[0].guard, GuardMode::Off);
    }

    #[test]
    fn the_hosts_own_bounds_hold() {
        let most = |own_max: &str, theirs: f64| {
            let own = own(own_max);
            let orders = Orders { host_max: serde_json::from_value(json!({"cpu": theirs})).unwrap(), ..Orders::default() };
            lay(&own, &orders).0.config.host.max[Resource::Cpu]
        };
        assert_eq!(most("", 400.0), Some(400.0));
        assert_eq!(most("host.max.cpu = 300", 400.0), Some(300.0));
        assert_eq!(most("host.max.cpu = 300", 200.0), Some(200.0));
    }

    #[test]
    fn what_cannot_be_carried_out_is_said() {
        let own = own("");
        let container = json!({"name": "a*b", "host": "h", "guard": true, "resources": {"cpu": {"guard": true}}});
        let (settings, problems) = lay(&own, &orders(&container, &json!({"WINDOW_TIMELAPSE": "soon"})));
        assert!(problems[0].contains("guardian.WINDOW_TIMELAPSE is \"soon\""), "{problems:?}");
        assert_eq!(settings.config.guardian.window[Resource::Cpu], own.config.guardian.window[Resource::Cpu]);
        let rule = &settings.config.containers[0];
        assert_eq!(rule.problems, ["cpu: not guarded: its document has no max"]);
        assert_eq!(rule.name, Some(NameRule::Is("a*b".to_owned())));
    }
}
