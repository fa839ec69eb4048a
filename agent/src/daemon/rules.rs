//! The configuration with the rules that it names.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use headroom_model::documents::rule::Rule;
use headroom_model::policy::rules::RuleSet;
use headroom_model::resource::{PerResource, Resource};

use crate::config::Config;
use crate::control::Settings;

/// Reads and checks both, and logs what is doubtful.
pub(super) fn load(path: &Path) -> Result<Settings> {
    let config = Config::load(path)?;
    for warning in &config.warnings {
        tracing::warn!("{}: {warning}", path.display());
    }
    let rules = match config.guardian.rules_text()? {
        Some((file, text)) => {
            let documents: Vec<Rule> =
                serde_json::from_str(&text).with_context(|| format!("{}: not a JSON array of rule documents", file.display()))?;
            RuleSet::compile(&documents)
        }
        None => RuleSet::compile(&config.guardian.profile.rules()),
    };
    for problem in rules.problems() {
        tracing::warn!("{problem}; the rule is left out");
    }
    for warning in never_fire(&config, &rules) {
        tracing::warn!("{warning}");
    }
    Ok(Settings { config, rules: Arc::new(rules) })
}

/// The rules for guardable resources that cannot fire with these windows: a sentence each.
fn never_fire(config: &Config, rules: &RuleSet) -> Vec<String> {
    let guardian = &config.guardian;
    let windows = PerResource::from_fn(|resource| guardian.window[resource].as_secs_f64());
    let of_resource = |&resource: &Resource| {
        let timeout = guardian.event_timeout(resource);
        let needs = rules.unreachable(&windows, timeout.as_secs_f64()).filter(move |need| need.resource == resource);
        needs.map(move |need| match need.windows {
            Some(n) => format!(
                "rule {} can never fire: it counts {n} windows of {:?}, and guardian.event_timeout is {timeout:?}",
                need.rule, guardian.window[resource]
            ),
            None => format!("rule {} can never fire: no active rule makes the events that it counts", need.rule),
        })
    };
    guardian.guardable.iter().flat_map(of_resource).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_outlast_the_timeout_are_named() {
        let never = |text: &str| {
            let config = Config::parse(text, "agent.toml").unwrap();
            let rules = RuleSet::compile(&config.guardian.profile.rules());
            never_fire(&config, &rules)
        };
        assert_eq!(never(""), [""; 0]);
        let warnings = never("[guardian]\nguardable = [\"cpu\", \"mem\"]\nevent_timeout = \"600ms\"");
        let names = ["CpuRescaleDown", "MemRescaleUp", "MemRescaleDown"];
        assert_eq!(warnings.len(), names.len(), "{warnings:?}");
        assert!(warnings.iter().zip(names).all(|(warning, name)| warning.contains(name)), "{warnings:?}");
    }
}
