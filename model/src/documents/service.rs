//! Services: their heartbeats and settings.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Rest;
use crate::number;

/// One service of the fleet. Its settings are checked by [`crate::settings`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// `guardian`, `scaler` and so on.
    pub name: String,
    /// When it was last heard of, in seconds since the epoch; `""` before it ever was.
    #[serde(default, deserialize_with = "heartbeat", serialize_with = "number::option::serialize")]
    pub heartbeat: Option<f64>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub heartbeat_human: Value,
    /// Its settings.
    #[serde(default)]
    pub config: Rest,
    /// Unknown fields.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Anything that is no number is no heartbeat yet.
fn heartbeat<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(number::lenient(&Value::deserialize(deserializer)?))
}
