//! What a recognised container is called.
//!
//! The one place that turns what a path shows, and what the engine says, into what people say. Where an id is all there is, its first
//! twelve digits stand for it, as engines' own listings show them.

use super::engines::{Label, Recognised};
use super::identity::Identity;

/// Between a container's name and that of what it lies in. No engine allows it in a name.
const WITHIN: &str = ":";

/// How many digits of an id stand for it.
const SHORT_ID: usize = 12;

/// The name of a container: its own, after those of what it lies in (`c1:3f2a90b1c2d3`, `u1000:web`).
pub fn name(container: &Recognised, identity: &Identity) -> String {
    let own = identity.name.clone().unwrap_or_else(|| label(&container.own));
    let labels: Vec<String> = container.within.iter().map(label).chain([own]).collect();
    labels.join(WITHIN)
}

/// What stands for an id.
pub(super) fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// The engine's own id of it, where its path has one.
pub fn engine_id(container: &Recognised) -> Option<String> {
    match &container.own {
        Label::Id { id, .. } => Some(id.clone()),
        Label::Name(_) | Label::User(_) => None,
    }
}

fn label(label: &Label) -> String {
    match label {
        Label::Name(name) => name.clone(),
        Label::Id { id, .. } => short(id).to_owned(),
        Label::User(uid) => format!("u{uid}"),
    }
}
