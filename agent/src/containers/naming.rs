//! What a recognised container is called.
//!
//! The one place that turns what a path shows into what people say. An engine that puts its id into the path is asked
//! nothing yet: the first twelve digits stand for it, as its own listings show them.

use super::engines::{Label, Recognised};

/// Between a container's name and that of what it lies in. No engine allows it in a name.
const WITHIN: &str = ":";

/// How many digits of an id stand for it.
const SHORT_ID: usize = 12;

/// The name of a container: its own, after those of what it lies in (`c1:3f2a90b1c2d3`, `u1000:web`).
pub fn name(container: &Recognised) -> String {
    let labels: Vec<String> = container.within.iter().chain([&container.own]).map(label).collect();
    labels.join(WITHIN)
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
        Label::Id { id, .. } => id.chars().take(SHORT_ID).collect(),
        Label::User(uid) => format!("u{uid}"),
    }
}
