//! The application that a label on a container names: a container that is registered for the first time is put into it.
//!
//! Afterwards it is people's: whom they take out, no label puts back.

use headroom_model::wire::ContainerReport;
use serde_json::{Map, Value, json};

use super::created;
use crate::answer::Answer;
use crate::central::Central;
use crate::orchestrator::{check_name, put_in_application};
use crate::store::{Body, Database};

/// Puts the container into its application, which is made if there is none. A label that names what is no application changes nothing.
pub(super) async fn join(central: &Central, container: &ContainerReport) -> Result<(), Answer> {
    let Some(application) = &container.application else { return Ok(()) };
    let documents = &central.documents;
    let _turn = documents.one_at_a_time().await;
    let body = documents.body(Database::Structures, application);
    let is_application = |body: &Body| body.get("subtype").is_some_and(|subtype| subtype == "application");
    let wrong = match &body {
        Some(body) if !is_application(body) => Some("another structure has that name".to_owned()),
        Some(_) => None,
        None => check_name(application).err().map(|answer| answer.message),
    };
    if let Some(why) = wrong {
        tracing::warn!(container = container.name, application, "its label names no application that it can be put into: {why}");
        return Ok(());
    }
    if body.is_none() {
        created(documents.create(Database::Structures, application, document(application)).await)?;
    }
    put_in_application(documents, application, &container.name).await
}

/// It has the limits of nobody: `max` is for people to set.
fn document(name: &str) -> Body {
    Body::from_iter([
        ("type".into(), "structure".into()),
        ("subtype".into(), "application".into()),
        ("name".into(), name.into()),
        ("guard".into(), false.into()),
        ("state".into(), "stopped".into()),
        ("containers".into(), json!([])),
        ("resources".into(), Value::Object(Map::new())),
        ("discovered".into(), true.into()),
    ])
}
