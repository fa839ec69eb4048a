//! What a checked config says that will hardly be what its writer wants.

use std::collections::HashMap;

use headroom_model::policy::thresholds::BoundaryType;
use headroom_model::resource::Resource;

use super::{Config, ContainerRule, ResourceRule};
use crate::containers::Engine;
use crate::status::GuardMode;

/// One sentence each, in the file's order.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let (window, period) = (config.guardian.window[Resource::Cpu], config.scaler.period);
    if window < period {
        warnings.push(format!(
            "guardian.window.cpu is {window:?}, shorter than scaler.period ({period:?}): a container that has used its quota looks idle for \
             the rest of the period, and is lowered"
        ));
    }
    let mut first = HashMap::new();
    for rule in &config.containers {
        let selects = format!("{:?}", (&rule.name, rule.engine, &rule.path, &rule.label));
        if let Some(before) = first.insert(selects, &rule.origin) {
            warnings.push(format!("{}: selects nothing that {before} does not select before it", rule.origin));
        }
    }
    for rule in config.containers.iter().filter(|rule| rule.guard != GuardMode::Off) {
        warnings.extend(of_rule(config, rule).into_iter().map(|warning| format!("{}: {warning}", rule.origin)));
    }
    warnings
}

fn of_rule(config: &Config, rule: &ContainerRule) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(engine) = rule.engine
        && engine != Engine::Custom
        // What is looked for as LXC's may turn out to be LXD's.
        && !config.discovery.engines.contains(if engine == Engine::Lxd { &Engine::Lxc } else { &engine })
    {
        warnings.push(format!("selects engine {engine:?}, which discovery.engines does not look for"));
    }
    for (resource, wanted) in rule.resources.present().filter(|(_, wanted)| wanted.guard) {
        if matches!(resource, Resource::Net | Resource::Energy) {
            warnings.push(format!("{resource} is read and reported, but not scaled by this version"));
        } else if !config.guardian.guardable.contains(&resource) {
            warnings.push(format!("{resource} is not guarded, since guardian.guardable does not name it"));
        }
        if matches!(resource, Resource::DiskRead | Resource::DiskWrite) && config.host.max[resource].is_none() {
            warnings
                .push(format!("{resource}: host.max.{resource} is not set, so nothing bounds what all containers get together"));
        }
        let floor = config.scaler.floor_cpu();
        if resource == Resource::Cpu && floor > lowest(wanted) {
            warnings.push(format!(
                "cpu is not lowered below {floor} shares, which is scaler.min_quota, though its min is {}",
                wanted.min
            ));
        }
        if lowest(wanted) >= wanted.max {
            warnings.push(format!(
                "{resource} can never be lowered: min + 2 x boundary is {}, and max is {}",
                lowest(wanted),
                wanted.max
            ));
        }
    }
    warnings
}

/// How low an idle container's limit gets: `min + 2 x margin`.
fn lowest(rule: &ResourceRule) -> f64 {
    let margin = match rule.boundary_type {
        BoundaryType::Absolute => rule.boundary,
        BoundaryType::PercentageOfMax => (rule.max * rule.boundary / 100.0).floor(),
        // Shrinks with the limit.
        BoundaryType::PercentageOfCurrent => 1.0,
    };
    2.0f64.mul_add(margin.max(1.0), rule.min)
}
