//! What a State Database starts with, and documents in and out of it as one file.
//!
//! The file is `{"structures": [..], "limits": [..], "rules": [..], "services": [..], "users": [..]}`, any of them missing: whole
//! documents without `_id` and `_rev`. It may have `requests` too, each with an `_id`, which are taken up as any that somebody leaves; events and requests
//! are records of what was, and no export has them.

mod file;
mod migrate;
#[cfg(test)]
mod tests;

use headroom_model::profile::Profile;
use headroom_model::settings::Service;
use serde_json::{Value, json};

use crate::documents::id_of;
use crate::store::{Body, Database, StateStore, StoreError, Write, Written};

pub use file::{FileError, export, load};
pub use migrate::migrate;

/// Gives a State Database what it needs and does not have: the profile's rules where there are none, and each service that is not there.
/// Returns how many documents were made.
pub async fn fill(store: &dyn StateStore, profile: Profile) -> Result<usize, StoreError> {
    let mut writes = Vec::new();
    if store.page(Database::Rules, None, 1).await?.is_empty() {
        writes.extend(rules(profile).into_iter().map(|body| made(Database::Rules, body)));
    }
    let known = file::by_name(store, Database::Services).await?;
    let missing = Service::ALL.into_iter().filter(|service| !known.contains_key(service.name()));
    writes.extend(missing.map(|service| made(Database::Services, service_document(profile, service))));
    // A conflict: another central gave it the same at the same time.
    let written = store.write(writes).await?;
    Ok(written.iter().filter(|written| matches!(written, Written::Done(_))).count())
}

/// As they are in the profile's file.
fn rules(profile: Profile) -> Vec<Body> {
    serde_json::from_str(profile.rules_json()).unwrap_or_default()
}

fn service_document(profile: Profile, service: Service) -> Body {
    let document = json!({
        "type": "service",
        "name": service.name(),
        "heartbeat": "",
        "heartbeat_human": "",
        "config": profile.settings(service),
    });
    match document {
        Value::Object(body) => body,
        _ => Body::new(),
    }
}

fn made(database: Database, body: Body) -> Write {
    let id = body.get("name").and_then(Value::as_str).map(id_of).unwrap_or_default();
    Write { database, id, expected: None, body: Some(body) }
}
