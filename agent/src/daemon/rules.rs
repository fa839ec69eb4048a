//! The configuration with the rules that it names.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use headroom_model::documents::rule::Rule;
use headroom_model::policy::rules::RuleSet;
use headroom_model::profile::Profile as Rules;

use crate::config::{Config, Profile};
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
        None => RuleSet::compile(&profile(config.guardian.profile).rules()),
    };
    for problem in rules.problems() {
        tracing::warn!("{problem}; the rule is left out");
    }
    Ok(Settings { config, rules: Arc::new(rules) })
}

fn profile(profile: Profile) -> Rules {
    match profile {
        Profile::Classic => Rules::Classic,
        Profile::Responsive => Rules::Responsive,
    }
}
