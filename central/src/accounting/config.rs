//! `[accounting]` of `central.toml`.

use std::time::Duration;

use headroom_model::resource::Resource;
use serde::Deserialize;

use crate::config::duration;

/// What things cost, and for how long amounts are kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// Of a whole core for an hour. None: CPU time costs nothing.
    pub core_hour: Option<f64>,
    /// Of a GiB of memory for an hour.
    pub gib_hour: Option<f64>,
    /// What the prices are in: shown beside them.
    pub currency: String,
    /// For how long amounts are told apart by five minutes.
    #[serde(deserialize_with = "duration")]
    pub keep_fine: Duration,
    /// For how long they are told apart by the hour; then by the day.
    #[serde(deserialize_with = "duration")]
    pub keep_hours: Duration,
    /// For how long they are kept at all.
    #[serde(deserialize_with = "duration")]
    pub keep: Duration,
}

impl Default for Prices {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { core_hour: None, gib_hour: None, currency: "EUR".into(), keep_fine: day, keep_hours: 31 * day, keep: 800 * day }
    }
}

impl Prices {
    /// Of one of the resource's unit for an hour, if it has a price: 100 shares are a core.
    pub fn of(&self, resource: Resource) -> Option<f64> {
        match resource {
            Resource::Cpu => self.core_hour.map(|price| price / 100.0),
            Resource::Mem => self.gib_hour.map(|price| price / 1024.0),
            _ => None,
        }
    }
}
