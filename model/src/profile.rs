//! Profiles: the rules and settings that a new installation starts from. `configs/rules/` is the one source of the rules.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::documents::Rest;
use crate::documents::rule::Rule;
use crate::policy::thresholds::BoundaryType;
use crate::settings::Service;

const CLASSIC: &str = include_str!("../../configs/rules/serverless.json");
const RESPONSIVE: &str = include_str!("../../configs/rules/responsive.json");

/// A starting point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The policy document's defaults, exactly.
    #[default]
    Classic,
    /// Raises on the first certain window, multiplicatively; lowers after a few.
    Responsive,
}

impl Profile {
    /// The boundary of a resource that nobody gave one.
    pub const fn boundary(self) -> (f64, BoundaryType) {
        match self {
            Self::Classic => (10.0, BoundaryType::PercentageOfMax),
            Self::Responsive => (6.0, BoundaryType::PercentageOfCurrent),
        }
    }

    /// Its rules, as the JSON array that people can read and change.
    pub const fn rules_json(self) -> &'static str {
        match self {
            Self::Classic => CLASSIC,
            Self::Responsive => RESPONSIVE,
        }
    }

    /// Its rules.
    pub fn rules(self) -> Vec<Rule> {
        // The files are part of the program, and a test reads them both.
        serde_json::from_str(self.rules_json()).unwrap_or_default()
    }

    /// The settings of a service that differ from [`Service::defaults`].
    fn overrides(self, service: Service) -> Value {
        match (self, service) {
            (Self::Responsive, Service::Guardian) => {
                json!({ "WINDOW_TIMELAPSE": 0.1, "WINDOW_DELAY": 0, "EVENT_TIMEOUT": 5, "REJUDGE": true, "COOLDOWN": 0.2 })
            }
            (Self::Responsive, Service::Scaler) => json!({ "POLLING_FREQUENCY": 0.1 }),
            _ => json!({}),
        }
    }

    /// The `config` of a service's document in a new State Database.
    pub fn settings(self, service: Service) -> Rest {
        let mut config = service.defaults();
        if let Value::Object(overrides) = self.overrides(service) {
            config.extend(overrides);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rules::RuleSet;

    #[test]
    fn every_rule_of_each_profile_compiles() {
        for (profile, count) in [(Profile::Classic, 18), (Profile::Responsive, 18)] {
            let rules = profile.rules();
            assert_eq!(rules.len(), count, "{profile:?}");
            let set = RuleSet::compile(&rules);
            assert_eq!(set.problems(), [], "{profile:?}");
            assert!(!set.reads_cpu_split());
        }
    }

    #[test]
    fn every_rule_of_each_profile_can_fire_with_its_settings() {
        for profile in [Profile::Classic, Profile::Responsive] {
            let settings = crate::settings::Guardian::read(&profile.settings(Service::Guardian)).unwrap();
            // In the responsive profile memory and disk have windows of a second.
            let window = crate::resource::PerResource::from_fn(|r| match r {
                crate::resource::Resource::Cpu => settings.window,
                _ => settings.window.max(1.0),
            });
            let set = RuleSet::compile(&profile.rules());
            assert_eq!(set.unreachable(&window, settings.event_timeout).count(), 0, "{profile:?}");
        }
    }

    #[test]
    fn every_setting_of_each_profile_is_sound() {
        for profile in [Profile::Classic, Profile::Responsive] {
            for service in Service::ALL {
                for (key, value) in profile.settings(service) {
                    assert_eq!(service.check(&key, &value), Ok(value.clone()), "{service:?} {key}");
                }
            }
        }
    }
}
