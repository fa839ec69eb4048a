//! The first touch: what a container needs before it is guarded, and what its limit becomes.

use super::ledger::Ledger;
use crate::limit::Limit;
use crate::resource::Resource;

/// What a container that is to be guarded asks for, in the resource's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Applicant<'a> {
    /// Its name.
    pub structure: &'a str,
    /// Which resource.
    pub resource: Resource,
    /// The structure's `min`.
    pub min: f64,
    /// The structure's `max`, if it has one.
    pub max: Option<f64>,
    /// The limit in force.
    pub current: Limit,
    /// The disk that a disk limit is for.
    pub disk: Option<&'a str>,
}

/// The limit with which guarding starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Admission {
    /// In the resource's unit.
    pub limit: f64,
    /// Why.
    pub cause: Cause,
}

/// Why guarding starts with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There was none: the lesser of `max` and what the host has.
    FirstLimit,
    /// It was under `min`.
    RaisedToMin,
    /// It was above `max`.
    LoweredToMax,
    /// It is within the bounds: nothing is to be written.
    Kept,
}

/// Why a container is not guarded.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum NotAdmitted {
    /// No `max`.
    #[error("{0} has no max; without one it cannot be guarded")]
    NoMax(Resource),
    /// `min > max`.
    #[error("{resource}: min {min} is above max {max}; change one of them")]
    Contradictory {
        /// Of which.
        resource: Resource,
        /// The structure's.
        min: f64,
        /// The structure's.
        max: f64,
    },
    /// All `min` together would exceed the host.
    #[error("{resource}: min {min} and the {others} {unit} of all other min exceed the host's {host}; lower a min, or unguard something", unit = resource.unit())]
    MinSum {
        /// Of which.
        resource: Resource,
        /// The structure's.
        min: f64,
        /// The sum of the others'.
        others: f64,
        /// The host's `max`.
        host: f64,
    },
    /// Not even `min` is free now.
    #[error("{resource}: its min {min} is more than the {free} {unit} that are free now; it is tried again when others give back", unit = resource.unit())]
    NotEnoughFree {
        /// Of which.
        resource: Resource,
        /// The structure's.
        min: f64,
        /// What is free.
        free: f64,
    },
}

/// Whether a container can be guarded, and the limit with which that starts. Nothing is changed.
pub fn admit(applicant: Applicant<'_>, ledger: &Ledger) -> Result<Admission, NotAdmitted> {
    let Applicant { structure, resource, min, max, current, disk } = applicant;
    let max = max.ok_or(NotAdmitted::NoMax(resource))?;
    if min > max {
        return Err(NotAdmitted::Contradictory { resource, min, max });
    }
    let others = ledger.min_sum(resource, structure);
    if let Some(host) = ledger.host_max(resource).filter(|host| others + min > *host) {
        return Err(NotAdmitted::MinSum { resource, min, others, host });
    }
    // What it holds already, as far as that is counted, is not free for others but is for itself.
    let free = ledger.free_for(resource, disk, Some(structure)).unwrap_or(f64::INFINITY);
    let (limit, cause) = match current {
        Limit::Unlimited if free < min => return Err(NotAdmitted::NotEnoughFree { resource, min, free }),
        Limit::Unlimited => (max.min(free), Cause::FirstLimit),
        Limit::At(current) if current > max => (max, Cause::LoweredToMax),
        Limit::At(current) if current < min && free < min => return Err(NotAdmitted::NotEnoughFree { resource, min, free }),
        Limit::At(current) if current < min => (min, Cause::RaisedToMin),
        Limit::At(current) => (current, Cause::Kept),
    };
    Ok(Admission { limit, cause })
}
