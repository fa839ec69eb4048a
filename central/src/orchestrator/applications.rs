//! `/structure/apps/{name}`: applications come and go.

use serde_json::{Value, json};

use super::Reply;
use super::ask::{Asker, At, Fields, NoBody};
use super::containers::{amounts, boundaries, remove_limits};
use super::fields::Part;
use super::hosts::{check_new, put};
use super::members;
use crate::answer::Answer;
use crate::store::{Body, Database};

/// What programs that run applications keep in their documents.
const TEXTS: [&str; 6] = ["install_script", "install_files", "runtime_files", "output_dir", "start_script", "stop_script"];

/// `PUT /structure/apps/{name}`
pub(super) async fn subscribe(asker: Asker, At(name): At<String>, Fields(fields): Fields) -> Reply {
    let (mut application, limits) = application(&name, &Part::whole(&fields))?;
    let documents = &asker.central.documents;
    let _turn = documents.one_at_a_time().await;
    check_new(documents, &name)?;
    // Limits that something left behind are not its own.
    remove_limits(documents, &name).await?;
    let discovered = documents.body(Database::Structures, &name);
    if let Some(body) = &discovered {
        if !is_application(body) {
            return Err(Answer::exists(format!("there is a structure {name:?} already")));
        }
        // The containers whose labels name it stay its own.
        application.remove("containers");
    }
    put(documents, Database::Structures, &name, application).await?;
    if let Err(answer) = documents.create(Database::Limits, &name, limits).await {
        if discovered.is_none() {
            documents.remove(Database::Structures, &name).await?;
        }
        return Err(answer);
    }
    Ok(asker.did_to(&name, "application subscribed".to_owned()))
}

/// `DELETE /structure/apps/{name}`: also away from its user. Its containers stay.
pub(super) async fn remove(asker: Asker, At(name): At<String>, _: NoBody) -> Reply {
    let documents = &asker.central.documents;
    let _turn = documents.one_at_a_time().await;
    if !documents.body(Database::Structures, &name).is_some_and(|body| is_application(&body)) {
        return Err(no_application(&name));
    }
    members::forget(documents, Database::Users, "clusters", &name).await?;
    documents.remove(Database::Structures, &name).await?;
    remove_limits(documents, &name).await?;
    Ok(asker.did_to(&name, "application removed".to_owned()))
}

pub(super) fn is_application(body: &Body) -> bool {
    body.get("subtype").is_some_and(|subtype| subtype == "application")
}

pub(super) fn no_application(name: &str) -> Answer {
    Answer::missing(format!("there is no application {name:?}"))
}

/// The documents that a subscription asks for.
fn application(name: &str, body: &Part<'_>) -> Result<(Body, Body), Answer> {
    let app = body.part("app")?;
    app.check_name(name)?;
    app.check_subtype("application")?;
    let limits = body.part("limits")?;
    let mut document = app.fields().clone();
    document.insert("type".into(), "structure".into());
    document.insert("guard".into(), app.flag("guard")?.into());
    for key in TEXTS {
        document.insert(key.into(), if app.has(key) { app.text(key)?.into() } else { "".into() });
    }
    let mut resources = app.part("resources")?.fields().clone();
    let mut maxima = Vec::new();
    for (resource, part) in app.resources()? {
        let (entry, max) = amounts(&part)?;
        resources.insert(resource.key().into(), Value::Object(entry));
        maxima.push((resource, max));
    }
    document.insert("resources".into(), Value::Object(resources));
    // Containers join by paths of their own.
    document.insert("containers".into(), json!([]));
    document.entry("state").or_insert_with(|| "stopped".into());
    Ok((document, boundaries(name, &limits, &maxima)?))
}
