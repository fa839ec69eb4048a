//! `/structure/container/{name}`: containers come and go.

use headroom_model::limit::Limit;
use headroom_model::number::plain;
use headroom_model::policy::thresholds::{Boundary, BoundaryType};
use headroom_model::resource::Resource;
use serde_json::{Map, Value};

use super::ask::{Asker, At, Fields, NoBody};
use super::fields::Part;
use super::hosts::{DISCOVERED, check_new, check_reported, put};
use super::structures::{found, is_host};
use super::{Reply, members, room};
use crate::answer::Answer;
use crate::central::Central;
use crate::documents::Documents;
use crate::store::{Body, Database};

/// What a subscription asks for.
struct Wanted {
    host: String,
    structure: Body,
    limits: Body,
    current: Vec<(Resource, f64)>,
    disk: Option<String>,
}

/// `PUT /structure/container/{name}`
pub(super) async fn subscribe(asker: Asker, At(name): At<String>, Fields(fields): Fields) -> Reply {
    let wanted = wanted(&name, &Part::whole(&fields))?;
    let (central, documents) = (&asker.central, &asker.central.documents);
    let before = {
        let _turn = documents.one_at_a_time().await;
        check_new(documents, &name)?;
        let host = found(central, &wanted.host).ok().filter(is_host);
        let host = host.ok_or_else(|| Answer::bad(format!("there is no host {:?}; subscribe it first", wanted.host)))?;
        check_reported(central, &wanted.host)?;
        if !central.fleet.carries(&wanted.host, &name) {
            return Err(Answer::bad(format!("host {:?} does not report a container {name:?}", wanted.host)));
        }
        room::check(central, &host, &name, &wanted.current, wanted.disk.as_deref())?;
        let before = Before::of(documents, &name, [wanted.structure, wanted.limits]);
        for (database, fields, _) in &before.0 {
            if let Err(answer) = put(documents, *database, &name, fields.clone()).await {
                before.restore(documents, &name).await;
                return Err(answer);
            }
        }
        before
    };
    let as_found = in_force(central, &name, &wanted.current);
    let sets = wanted.current.iter().map(|(resource, amount)| (name.clone(), *resource, Limit::At(*amount))).collect();
    if let Err(answer) = central.set_limits(&wanted.host, sets).await {
        let _turn = documents.one_at_a_time().await;
        before.restore(documents, &name).await;
        // An agent that does not answer would not do this either.
        if answer.status == 400
            && let Err(again) = central.set_limits(&wanted.host, as_found).await
        {
            tracing::error!(name, "a subscription failed and the limits that were set could not be put back: {again}");
        }
        return Err(answer);
    }
    Ok(asker.did_to(&name, format!("container subscribed on host {}", wanted.host)))
}

/// The limits that are about to be set, as they are now.
fn in_force(central: &Central, name: &str, wanted: &[(Resource, f64)]) -> Vec<(String, Resource, Limit)> {
    let Some(live) = central.fleet.live(name) else { return Vec::new() };
    let now = |(resource, _): &(Resource, f64)| {
        let report = live.resources[*resource].as_ref()?;
        Some((name.to_owned(), *resource, report.current))
    };
    wanted.iter().filter_map(now).collect()
}

/// `DELETE /structure/container/{name}`: also out of its application. The host's agent lets go of it; its limits stay as they are.
pub(super) async fn remove(asker: Asker, At(name): At<String>, _: NoBody) -> Reply {
    let documents = &asker.central.documents;
    let _turn = documents.one_at_a_time().await;
    if !documents.body(Database::Structures, &name).is_some_and(|body| is_container(&body)) {
        return Err(no_container(&name));
    }
    members::forget(documents, Database::Structures, "containers", &name).await?;
    documents.remove(Database::Structures, &name).await?;
    remove_limits(documents, &name).await?;
    Ok(asker.did_to(&name, "container removed".to_owned()))
}

pub(super) async fn remove_limits(documents: &Documents, name: &str) -> Result<(), Answer> {
    match documents.remove(Database::Limits, name).await {
        Err(answer) if answer.status != 404 => Err(answer),
        _ => Ok(()),
    }
}

pub(super) fn is_container(body: &Body) -> bool {
    body.get("subtype").is_some_and(|subtype| subtype == "container")
}

pub(super) fn no_container(name: &str) -> Answer {
    Answer::missing(format!("there is no container {name:?}"))
}

fn wanted(name: &str, body: &Part<'_>) -> Result<Wanted, Answer> {
    let container = body.part("container")?;
    container.check_name(name)?;
    container.check_subtype("container")?;
    let host = container.text("host")?.to_owned();
    let limits = body.part("limits")?;
    let mut structure = container.fields().clone();
    structure.insert("type".into(), "structure".into());
    structure.insert("guard".into(), container.flag("guard")?.into());
    structure.insert("host_rescaler_ip".into(), container.text("host_rescaler_ip")?.into());
    structure.insert("host_rescaler_port".into(), container.port("host_rescaler_port")?);
    let mut resources = container.part("resources")?.fields().clone();
    let (mut current, mut maxima) = (Vec::new(), Vec::new());
    for (resource, part) in container.resources()? {
        let (mut entry, max) = amounts(&part)?;
        let now = part.amount("current")?;
        if now > max {
            return Err(Answer::bad(format!("{} is {now}; expected at most max, {max}", part.called("current"))));
        }
        current.push((resource, now));
        maxima.push((resource, max));
        entry.insert("current".into(), plain(now));
        resources.insert(resource.key().into(), Value::Object(entry));
    }
    let disk = resources.get("disk").map(disk_of).transpose()?;
    structure.insert("resources".into(), Value::Object(resources));
    Ok(Wanted { host, structure, limits: boundaries(name, &limits, &maxima)?, current, disk })
}

fn disk_of(disk: &Value) -> Result<String, Answer> {
    let name = disk.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned);
    name.ok_or_else(|| Answer::bad(format!("container.resources.disk is {disk}; expected {{\"name\": .., \"path\": ..}}")))
}

/// `max`, `min`, `guard` and `weight` of a resource of a container or an application, as they are stored; and its `max`.
pub(super) fn amounts(part: &Part<'_>) -> Result<(Map<String, Value>, f64), Answer> {
    let (max, min) = (part.amount("max")?, part.amount("min")?);
    if min > max {
        return Err(Answer::bad(format!("{} is {min}; expected at most max, {max}", part.called("min"))));
    }
    let mut entry = part.fields().clone();
    entry.insert("max".into(), plain(max));
    entry.insert("min".into(), plain(min));
    entry.insert("guard".into(), part.flag("guard")?.into());
    if let Some(weight) = part.amount_if_any("weight")? {
        entry.insert("weight".into(), plain(weight));
    }
    Ok((entry, max))
}

/// The limits document of a subscription: a boundary for each resource that it has.
pub(super) fn boundaries(name: &str, limits: &Part<'_>, maxima: &[(Resource, f64)]) -> Result<Body, Answer> {
    let given = limits.resources()?;
    let mut resources = limits.part("resources")?.fields().clone();
    for (resource, max) in maxima {
        if !given.iter().any(|(of, _)| of == resource) {
            return Err(Answer::bad(format!("{:?} is missing", limits.called(&format!("resources.{resource}")))));
        }
        for (_, part) in given.iter().filter(|(of, _)| of == resource) {
            resources.insert(resource.key().into(), Value::Object(boundary(part, *max)?));
        }
    }
    let mut document = limits.fields().clone();
    document.insert("type".into(), "limit".into());
    document.insert("name".into(), name.into());
    document.insert("resources".into(), Value::Object(resources));
    Ok(document)
}

fn boundary(part: &Part<'_>, max: f64) -> Result<Map<String, Value>, Answer> {
    let value = part.amount("boundary")?;
    let kind = if part.has("boundary_type") {
        part.text("boundary_type")?.parse().map_err(|e| Answer::bad(format!("{}: {e}", part.called("boundary_type"))))?
    } else {
        BoundaryType::default()
    };
    Boundary { value, kind }.check(max).map_err(|e| Answer::bad(format!("{}: {e}", part.called("boundary"))))?;
    let mut entry = part.fields().clone();
    entry.insert("boundary".into(), plain(value));
    entry.insert("boundary_type".into(), kind.key().into());
    Ok(entry)
}

/// A container's documents before a subscription that may fail: where they are, what is set in them, what there was.
struct Before([(Database, Body, Option<Body>); 2]);

impl Before {
    fn of(documents: &Documents, name: &str, [structure, limits]: [Body; 2]) -> Self {
        let of = |database, fields| (database, fields, documents.body(database, name));
        Self([of(Database::Structures, structure), of(Database::Limits, limits)])
    }

    /// The subscription failed: what it set is as before. What others changed meanwhile stays.
    async fn restore(&self, documents: &Documents, name: &str) {
        for (database, fields, before) in &self.0 {
            let outcome = match before {
                Some(before) => {
                    let back = |now: &mut Body| {
                        put_back(now, fields, before);
                        Ok(())
                    };
                    documents.edit(*database, name, back).await
                }
                None => documents.remove(*database, name).await,
            };
            match outcome {
                Err(answer) if answer.status != 404 => {
                    tracing::error!(%database, name, "a subscription failed and its document could not be put back: {answer}");
                }
                _ => {}
            }
        }
    }
}

fn put_back(now: &mut Body, fields: &Body, before: &Body) {
    for key in fields.keys().map(String::as_str).chain([DISCOVERED]) {
        match before.get(key) {
            Some(value) => now.insert(key.to_owned(), value.clone()),
            None => now.remove(key),
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_changed_stays_when_a_subscription_is_taken_back() {
        let body = |value: Value| value.as_object().unwrap().clone();
        let before = body(json!({"name": "c", "guard": false, "discovered": true, "theirs": 1}));
        let fields = body(json!({"name": "c", "guard": true, "mine": "x"}));
        let mut now = body(json!({"name": "c", "guard": true, "mine": "x", "theirs": 2}));
        put_back(&mut now, &fields, &before);
        assert_eq!(Value::Object(now), json!({"name": "c", "guard": false, "discovered": true, "theirs": 2}));
    }
}
