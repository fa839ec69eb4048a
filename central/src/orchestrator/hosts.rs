//! `/structure/host/{name}`: hosts come and go.

use std::time::Duration;

use headroom_model::number::plain;
use headroom_model::resource::Resource;
use serde_json::{Map, Value, json};

use super::Reply;
use super::ask::{Asker, At, Fields, NoBody};
use super::disks;
use super::fields::Part;
use super::structures::is_host;
use crate::answer::Answer;
use crate::central::Central;
use crate::documents::Documents;
use crate::store::{Body, Database};

/// Its agent has to have reported within so long.
const REPORTED_WITHIN: Duration = Duration::from_secs(15);

/// Shares of a core.
const CORE: f64 = 100.0;

/// Documents that came by an agent's reports have this field: they are nobody's yet.
pub(super) const DISCOVERED: &str = "discovered";

/// `PUT /structure/host/{name}`
pub(super) async fn subscribe(asker: Asker, At(name): At<String>, Fields(fields): Fields) -> Reply {
    let given = host(&name, &Part::whole(&fields))?;
    let _turn = asker.central.documents.one_at_a_time().await;
    check_new(&asker.central.documents, &name)?;
    check_reported(&asker.central, &name)?;
    put(&asker.central.documents, Database::Structures, &name, given).await?;
    Ok(asker.did_to(&name, "host subscribed".to_owned()))
}

/// `DELETE /structure/host/{name}`
pub(super) async fn remove(asker: Asker, At(name): At<String>, _: NoBody) -> Reply {
    let documents = &asker.central.documents;
    let _turn = documents.one_at_a_time().await;
    if !documents.body(Database::Structures, &name).is_some_and(|body| is_host(&body)) {
        return Err(no_host(&name));
    }
    documents.remove(Database::Structures, &name).await?;
    Ok(asker.did_to(&name, "host removed".to_owned()))
}

/// The document that a subscription asks for.
fn host(name: &str, body: &Part<'_>) -> Result<Body, Answer> {
    body.check_name(name)?;
    body.check_subtype("host")?;
    let mut resources = Map::new();
    for (resource, part) in body.resources()? {
        resources.insert(resource.key().into(), capacity(resource, &part)?);
    }
    let of_resources = body.part("resources")?;
    if of_resources.has("disks") {
        let disks = of_resources.parts("disks")?.iter().map(disks::disk).collect::<Result<Map<_, _>, _>>()?;
        resources.insert("disks".into(), Value::Object(disks));
    }
    let mut document = body.fields().clone();
    document.insert("type".into(), "structure".into());
    document.insert("host".into(), body.text("host")?.into());
    document.insert("host_rescaler_ip".into(), body.text("host_rescaler_ip")?.into());
    document.insert("host_rescaler_port".into(), body.port("host_rescaler_port")?);
    document.insert("resources".into(), Value::Object(resources));
    Ok(document)
}

fn capacity(resource: Resource, part: &Part<'_>) -> Result<Value, Answer> {
    let (max, free) = (part.amount("max")?, part.amount("free")?);
    if free > max {
        return Err(Answer::bad(format!("{} is {free}; expected at most max, {max}", part.called("free"))));
    }
    let mut entry = part.fields().clone();
    entry.insert("max".into(), plain(max));
    entry.insert("free".into(), plain(free));
    if resource == Resource::Cpu {
        // More cores than a machine has would only fill the document.
        let cores = (max / CORE).floor().clamp(0.0, 65_536.0);
        let all: Map<String, Value> = (0_u32..)
            .take_while(|core| f64::from(*core) < cores)
            .map(|core| (core.to_string(), json!({ "free": 100 })))
            .collect();
        entry.insert("core_usage_mapping".into(), Value::Object(all));
    }
    Ok(Value::Object(entry))
}

pub(super) fn no_host(name: &str) -> Answer {
    Answer::missing(format!("there is no host {name:?}"))
}

/// Refuses a host of which nothing was heard of late.
pub(super) fn check_reported(central: &Central, name: &str) -> Result<(), Answer> {
    if central.fleet.has_reported(name, REPORTED_WITHIN) {
        return Ok(());
    }
    Err(Answer::bad(format!(
        "no agent has reported as host {name:?} within {REPORTED_WITHIN:?}; start one there that reports here"
    )))
}

/// Refuses a structure that is there already, unless it was only discovered.
pub(super) fn check_new(documents: &Documents, name: &str) -> Result<(), Answer> {
    check_free_in_paths(name)?;
    match documents.body(Database::Structures, name) {
        Some(body) if !is_discovered(&body) => Err(Answer::exists(format!("there is a structure {name:?} already"))),
        _ => Ok(()),
    }
}

/// Refuses a name that paths have where names of structures stand.
pub(super) fn check_free_in_paths(name: &str) -> Result<(), Answer> {
    const TAKEN: [&str; 3] = ["host", "container", "apps"];
    if TAKEN.contains(&name) {
        return Err(Answer::bad(format!("{name:?} cannot be a structure's name: paths have it where names stand")));
    }
    Ok(())
}

pub(super) fn is_discovered(body: &Body) -> bool {
    body.get(DISCOVERED).is_some_and(|discovered| *discovered == true)
}

/// Makes a document, or sets its fields where it is there: those that others put there stay.
pub(super) async fn put(documents: &Documents, database: Database, name: &str, fields: Body) -> Result<(), Answer> {
    let set = |body: &mut Body| {
        body.remove(DISCOVERED);
        body.extend(fields.clone());
        Ok(())
    };
    loop {
        let outcome = if documents.has(database, name) {
            documents.edit(database, name, set).await
        } else {
            documents.create(database, name, fields.clone()).await
        };
        match outcome {
            // It came or went in between.
            Err(answer) if answer.is_there_already() && documents.has(database, name) => {}
            Err(answer) if answer.status == 404 && !documents.has(database, name) => {}
            outcome => return outcome,
        }
    }
}
