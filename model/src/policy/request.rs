//! Requests between Guardian and Scaler.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::guardian::Why;
use crate::documents;
use crate::resource::Resource;

/// Up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More.
    Up,
    /// Less.
    Down,
}

impl Direction {
    /// That of a change by `amount`.
    pub fn of(amount: f64) -> Self {
        if amount < 0.0 { Self::Down } else { Self::Up }
    }
}

/// What a request changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// The limit in force.
    #[default]
    Current,
    /// The structure's `max`; the limit follows to it.
    Max,
}

/// A change of a structure's limit that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Whose.
    pub structure: Arc<str>,
    /// Of which resource.
    pub resource: Resource,
    /// What is to change.
    pub field: Field,
    /// By how much, in the resource's unit; negative downwards. Never 0 from a Guardian.
    pub amount: f64,
    /// Goes before requests of lower priority.
    pub priority: f64,
    /// The structure with which it is done whole or not at all.
    pub pair: Option<Arc<str>>,
    /// When, in seconds.
    pub timestamp: f64,
    /// The rule that made it and the numbers it was judged by; `None` where a program or a person did.
    pub why: Option<Why>,
    /// What it is called by who asked from outside and is told what became of it.
    pub asked: Option<Arc<str>>,
}

impl Request {
    /// Which way.
    pub fn direction(&self) -> Direction {
        Direction::of(self.amount)
    }

    /// `CpuRescaleUp`.
    pub fn action(&self) -> &'static str {
        action(self.resource, self.direction())
    }

    /// As the State Database keeps it.
    pub fn document(&self, structure_type: &str, host: &str) -> documents::request::Request {
        let mut rest = documents::Rest::new();
        rest.insert("type".into(), json!("request"));
        documents::request::Request {
            resource: self.resource,
            amount: self.amount,
            priority: Some(self.priority),
            structure: self.structure.to_string(),
            structure_type: Some(structure_type.into()),
            action: self.action().into(),
            field: self.field,
            timestamp: Some(self.timestamp),
            host: Some(host.into()),
            pair_structure: self.pair.as_deref().map(Into::into),
            rest,
        }
    }

    /// One that a program or a person left in the State Database. Without a timestamp it is of `now`.
    pub fn from_document(document: &documents::request::Request, now: f64) -> Self {
        Self {
            structure: document.structure.as_str().into(),
            resource: document.resource,
            field: document.field,
            amount: document.amount,
            priority: document.priority.unwrap_or(0.0),
            pair: document.pair_structure.as_deref().filter(|p| !p.is_empty()).map(Into::into),
            timestamp: document.timestamp.unwrap_or(now),
            why: None,
            asked: None,
        }
    }

    /// Whether the two are the halves of one pair: they name each other, and one gives what the other gets.
    pub fn pairs_with(&self, other: &Self) -> bool {
        #[expect(clippy::float_cmp, reason = "the amounts of a pair are exactly opposite")]
        let opposite = self.amount == -other.amount;
        opposite
            && self.resource == other.resource
            && self.field == other.field
            && self.structure != other.structure
            && self.pair.as_ref() == Some(&other.structure)
            && other.pair.as_ref() == Some(&self.structure)
    }
}

/// `CpuRescaleUp`, `Disk_ReadRescaleDown`: the resource in title case and the direction.
pub const fn action(resource: Resource, direction: Direction) -> &'static str {
    match (resource, direction) {
        (Resource::Cpu, Direction::Up) => "CpuRescaleUp",
        (Resource::Cpu, Direction::Down) => "CpuRescaleDown",
        (Resource::Mem, Direction::Up) => "MemRescaleUp",
        (Resource::Mem, Direction::Down) => "MemRescaleDown",
        (Resource::DiskRead, Direction::Up) => "Disk_ReadRescaleUp",
        (Resource::DiskRead, Direction::Down) => "Disk_ReadRescaleDown",
        (Resource::DiskWrite, Direction::Up) => "Disk_WriteRescaleUp",
        (Resource::DiskWrite, Direction::Down) => "Disk_WriteRescaleDown",
        (Resource::Net, Direction::Up) => "NetRescaleUp",
        (Resource::Net, Direction::Down) => "NetRescaleDown",
        (Resource::Energy, Direction::Up) => "EnergyRescaleUp",
        (Resource::Energy, Direction::Down) => "EnergyRescaleDown",
    }
}

/// `CpuBottleneck`, `Disk_ReadUnderuse`.
pub const fn event_name(resource: Resource, direction: Direction) -> &'static str {
    match (resource, direction) {
        (Resource::Cpu, Direction::Up) => "CpuBottleneck",
        (Resource::Cpu, Direction::Down) => "CpuUnderuse",
        (Resource::Mem, Direction::Up) => "MemBottleneck",
        (Resource::Mem, Direction::Down) => "MemUnderuse",
        (Resource::DiskRead, Direction::Up) => "Disk_ReadBottleneck",
        (Resource::DiskRead, Direction::Down) => "Disk_ReadUnderuse",
        (Resource::DiskWrite, Direction::Up) => "Disk_WriteBottleneck",
        (Resource::DiskWrite, Direction::Down) => "Disk_WriteUnderuse",
        (Resource::Net, Direction::Up) => "NetBottleneck",
        (Resource::Net, Direction::Down) => "NetUnderuse",
        (Resource::Energy, Direction::Up) => "EnergyBottleneck",
        (Resource::Energy, Direction::Down) => "EnergyUnderuse",
    }
}
