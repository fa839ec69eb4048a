//! `[[container]]`: which containers, and what they get.

use headroom_model::policy::thresholds::BoundaryType;
use headroom_model::resource::{PerResource, Resource};
use toml::de::DeValue;

use super::kinds::{boolean, glob, label, name, one_of, within};
use super::reader::Section;
use super::sections::engine;
use super::{ContainerRule, Profile, ResourceRule};
use crate::status::GuardMode;

const BOUNDARY_TYPES: &[(&str, BoundaryType)] = &[
    ("absolute", BoundaryType::Absolute),
    ("percentage_of_max", BoundaryType::PercentageOfMax),
    ("percentage_of_current", BoundaryType::PercentageOfCurrent),
];

/// More of anything than a host has, and small enough to be reckoned with.
pub(super) const MOST: f64 = 1e9;

pub(super) fn container(section: Section<'_>, profile: Profile) -> ContainerRule {
    let rule = ContainerRule {
        origin: format!("[[container]] in {}", section.origin()),
        name: section.maybe("name", name),
        engine: section.maybe("engine", engine),
        path: section.maybe("path", glob),
        label: section.maybe("label", label),
        guard: section.or("guard", GuardMode::Off, guard),
        resources: PerResource::from_fn(|r| resource(section.section(r.key()), profile)),
        problems: Vec::new(),
    };
    // What is there but wrong has been told: what follows from that need not be.
    if !["name", "engine", "path", "label"].iter().any(|key| section.has(key)) {
        section
            .wrong("name", "is missing: select by at least one of name, engine, path, label (name = \"*\" for all)".to_owned());
    }
    if rule.guard != GuardMode::Off && !Resource::ALL.iter().any(|resource| section.has(resource.key())) {
        section.wrong(
            "guard",
            "needs a table that says what is guarded and how far, such as [container.cpu] with min and max".to_owned(),
        );
    }
    section.close();
    rule
}

fn guard(value: &DeValue<'_>) -> Result<GuardMode, String> {
    match (value.as_bool(), value.as_str()) {
        (Some(true), _) => Ok(GuardMode::On),
        (Some(false), _) => Ok(GuardMode::Off),
        (_, Some("advise")) => Ok(GuardMode::Advise),
        _ => Err("expected true, false or \"advise\"".to_owned()),
    }
}

fn resource(section: Section<'_>, profile: Profile) -> Option<ResourceRule> {
    if !section.is_there() {
        return None;
    }
    let amount = || within(0.0..=MOST);
    let min = section.need("min", "the limit is never set below it", amount());
    let max = section.need("max", "the limit is never set above it", amount());
    let (boundary, boundary_type) = boundary(&section, max, profile);
    let guard = section.or("guard", true, boolean);
    let weight = section.or("weight", 1.0, within(0.0..=MOST));
    if let (Some(min), Some(max)) = (min, max) {
        if min > max {
            section.wrong("min", format!("is above max = {max}"));
        }
        if max < 1.0 {
            section.wrong("max", "expected at least 1".to_owned());
        }
    }
    section.close();
    Some(ResourceRule { min: min?, max: max?, boundary, boundary_type, guard, weight })
}

fn boundary(section: &Section<'_>, max: Option<f64>, profile: Profile) -> (f64, BoundaryType) {
    let boundary = section.maybe("boundary", within(0.0..=MOST));
    let boundary_type = section.maybe("boundary_type", one_of(BOUNDARY_TYPES));
    match (boundary, boundary_type) {
        (Some(boundary), boundary_type) => {
            let boundary_type = boundary_type.unwrap_or_default();
            let (highest, of_what) = match boundary_type {
                BoundaryType::Absolute => (max.unwrap_or(f64::INFINITY), "up to max ="),
                _ => (100.0, "a percentage up to"),
            };
            if boundary > highest {
                section.wrong("boundary", format!("expected {of_what} {highest}"));
            }
            (boundary, boundary_type)
        }
        (None, Some(_)) if !section.has("boundary") => {
            section.wrong("boundary_type", "needs boundary beside it".to_owned());
            profile.boundary()
        }
        (None, _) => profile.boundary(),
    }
}
