//! Requests: a change of a limit that somebody wants.

use serde::{Deserialize, Serialize};

use super::Rest;
use crate::number;
use crate::policy::request::Field;
use crate::resource::Resource;

/// One request, by a Guardian, a balancer or a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The resource.
    pub resource: Resource,
    /// By how much, in the resource's unit; negative downwards.
    #[serde(with = "number")]
    pub amount: f64,
    /// Goes before requests of lower priority.
    #[serde(default, with = "number::option", skip_serializing_if = "Option::is_none")]
    pub priority: Option<f64>,
    /// The structure's name.
    pub structure: String,
    /// `container` or `application`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure_type: Option<String>,
    /// `CpuRescaleUp`.
    #[serde(default)]
    pub action: String,
    /// What is changed; `current` if missing.
    #[serde(default)]
    pub field: Field,
    /// Seconds since the epoch.
    #[serde(default, with = "number::option", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<f64>,
    /// The host that carries the structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The structure that gives or takes what this one takes or gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_structure: Option<String>,
    /// Unknown fields.
    #[serde(flatten)]
    pub rest: Rest,
}
