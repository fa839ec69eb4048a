//! Limits: the boundary of each resource of a structure, and the thresholds that follow from it.

use serde::{Deserialize, Deserializer, Serialize};

use super::Rest;
use super::by_resource::ByResource;
use crate::number;
use crate::policy::thresholds::{Boundary, BoundaryType, Thresholds};

/// The limits of one structure, found by its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The structure's name.
    pub name: String,
    /// An entry a resource.
    #[serde(default)]
    pub resources: ByResource<ResourceLimits>,
    /// Unknown fields.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The limits of one resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceLimits {
    /// Width of each band under the limit.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub boundary: Option<f64>,
    /// How `boundary` is meant; absolute if missing.
    #[serde(deserialize_with = "boundary_type", skip_serializing_if = "Option::is_none")]
    pub boundary_type: Option<BoundaryType>,
    /// Threshold.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Threshold.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Unknown fields.
    #[serde(flatten)]
    pub rest: Rest,
}

impl ResourceLimits {
    /// The boundary, if there is one.
    pub fn boundary(&self) -> Option<Boundary> {
        self.boundary.map(|value| Boundary { value, kind: self.boundary_type.unwrap_or_default() })
    }

    /// The thresholds, if both are there.
    pub fn thresholds(&self) -> Option<Thresholds> {
        Some(Thresholds { upper: self.upper?, lower: self.lower? })
    }
}

/// A missing, null or empty type is the default one.
fn boundary_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BoundaryType>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(name) if !name.trim().is_empty() => name.trim().parse().map(Some).map_err(serde::de::Error::custom),
        _ => Ok(None),
    }
}
