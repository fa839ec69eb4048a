//! Events: windows that were a bottleneck or a waste.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Rest;
use crate::number;
use crate::resource::Resource;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// `CpuBottleneck`, `MemUnderuse`.
    pub name: String,
    /// The resource.
    pub resource: Resource,
    /// Always `event`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The structure's name.
    pub structure: String,
    /// `{"events": {"scale": {"up": 1}}}`: the action of the rule that made it.
    pub action: Value,
    /// Seconds since the epoch.
    #[serde(with = "number")]
    pub timestamp: f64,
    /// Unknown fields.
    #[serde(flatten)]
    pub rest: Rest,
}
