//! Structures: what has resources. Containers, applications made of them, and the hosts that carry them.

use serde::{Deserialize, Serialize};

use super::Rest;
use super::by_resource::ByResource;
use crate::number;

/// A structure of any kind. `subtype` tells which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "subtype", rename_all = "lowercase")]
pub enum Structure {
    /// A container on a host.
    Container(Container),
    /// A host.
    Host(Host),
    /// A group of containers, on whatever hosts they run.
    Application(Application),
}

impl Structure {
    /// The name by which it is found.
    pub fn name(&self) -> &str {
        match self {
            Self::Container(c) => &c.name,
            Self::Host(h) => &h.name,
            Self::Application(a) => &a.name,
        }
    }

    /// Guard and amounts of a container or an application; `None` for a host.
    pub fn scalable(&self) -> Option<(bool, &ByResource<Amounts>)> {
        match self {
            Self::Container(c) => Some((c.guard, &c.resources)),
            Self::Application(a) => Some((a.guard, &a.resources)),
            Self::Host(_) => None,
        }
    }
}

/// One resource of a container or an application, in the resource's unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// The limit is never set above.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The limit is never set below.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The limit in force.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub current: Option<f64>,
    /// Mean of the last window.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub usage: Option<f64>,
    /// Whether it is scaled, if the structure is guarded too.
    #[serde(deserialize_with = "number::deserialize_bool")]
    pub guard: bool,
    /// Its share of what is short; 1 if missing.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Unknown fields.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Unique on its host.
    pub name: String,
    /// The host that carries it.
    #[serde(default)]
    pub host: String,
    /// Whether anything of it is scaled.
    #[serde(default, deserialize_with = "number::deserialize_bool")]
    pub guard: bool,
    /// Bounds, limits and usages.
    #[serde(default)]
    pub resources: ByResource<Amounts>,
    /// Unknown fields.
    #[serde(flatten)]
    pub rest: Rest,
}

/// An application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Application {
    /// Unique in the fleet.
    pub name: String,
    /// Whether anything of it is scaled.
    #[serde(default, deserialize_with = "number::deserialize_bool")]
    pub guard: bool,
    /// The names of its containers.
    #[serde(default)]
    pub containers: Vec<String>,
    /// Totals over its containers.
    #[serde(default)]
    pub resources: ByResource<Amounts>,
    /// Unknown fields.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Unique in the fleet.
    pub name: String,
    /// The same again.
    #[serde(default)]
    pub host: String,
    /// What may be given out, and what of it is free. `disks` is in `rest`.
    #[serde(default)]
    pub resources: ByResource<Capacity>,
    /// Unknown fields.
    #[serde(flatten)]
    pub rest: Rest,
}

/// One resource of a host, in the resource's unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capacity {
    /// What may be given out.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What of it is not given out.
    #[serde(with = "number::option", skip_serializing_if = "Option::is_none")]
    pub free: Option<f64>,
    /// Unknown fields, `core_usage_mapping` among them.
    #[serde(flatten)]
    pub rest: Rest,
}
