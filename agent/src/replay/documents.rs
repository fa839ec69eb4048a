//! The documents that a replay starts from.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use headroom_model::documents::limits::Limits;
use headroom_model::documents::rule::Rule;
use headroom_model::documents::structure::Structure;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The structure and its limits.
pub(super) fn read(structure: &Path, limits: &Path) -> anyhow::Result<(Structure, Limits)> {
    let structure_is: Structure = document(structure, "a structure document")?;
    let limits_are: Limits = document(limits, "a limits document")?;
    if structure_is.name() != limits_are.name {
        let (structure_name, limits_name) = (structure_is.name(), &limits_are.name);
        bail!(
            "{} is of {structure_name:?} but {} is of {limits_name:?}; expected one structure's",
            structure.display(),
            limits.display()
        );
    }
    Ok((structure_is, limits_are))
}

/// An array of rules. One that is no rule document at all is an error: unlike a malformed one it has no name to be reported by.
pub(super) fn rules(path: &Path) -> anyhow::Result<Vec<Rule>> {
    let array: Vec<Value> = document(path, "an array of rule documents")?;
    let rule = |(i, value): (usize, Value)| {
        serde_json::from_value(value).with_context(|| format!("{}: element {i} is no rule document", path.display()))
    };
    array.into_iter().enumerate().map(rule).collect()
}

fn document<T: DeserializeOwned>(path: &Path, expected: &str) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}, expected {expected}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not {expected}", path.display()))
}
