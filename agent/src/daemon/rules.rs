//! The configuration with the rules that it names.

use std::path::Path;

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
    for warning in without_requests(&config, &rules).into_iter().chain(never_fire(&config, &rules)) {
        tracing::warn!("{warning}");
    }
    Ok(Settings::new(config, rules))
}

/// The guardable resources for which no active rule makes requests: nothing will be decided about them.
fn without_requests(config: &Config, rules: &RuleSet) -> Option<String> {
    let has_none = |resource: &&Resource| !rules.needs().iter().any(|need| need.resource == **resource);
    let without: Vec<_> = config.guardian.guardable.iter().filter(has_none).map(|resource| resource.key()).collect();
    let file = config.guardian.rules.as_ref().map_or_else(|| "the profile".into(), |file| file.display().to_string());
    (!without.is_empty())
        .then(|| format!("{file} has no active rule that makes requests for {}: nothing will be decided", without.join(", ")))
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
    fn resources_that_no_rule_decides_about_are_named() {
        let mut config = Config::parse("guardian.guardable = [\"cpu\", \"mem\"]", "agent.toml").unwrap();
        let mut documents = config.guardian.profile.rules();
        assert_eq!(without_requests(&config, &RuleSet::compile(&documents)), None);
        documents.retain(|rule| rule.resource == "cpu");
        config.guardian.rules = Some("/r.json".into());
        let says = |documents: &[Rule]| without_requests(&config, &RuleSet::compile(documents)).unwrap();
        assert_eq!(says(&documents), "/r.json has no active rule that makes requests for mem: nothing will be decided");
        assert!(says(&[]).contains("for cpu, mem:"));
    }

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
