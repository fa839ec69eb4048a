//! `/user/`: who owns applications, and how much all of them may have.

use axum::extract::State;
use axum::http::StatusCode;
use headroom_model::number::plain;
use headroom_model::resource::Resource;
use serde_json::{Map, Value, json};

use super::ask::{Asker, At, Fields, NoBody};
use super::fields::{Part, count, entry, no_resource};
use super::{Reply, lists, live};
use crate::answer::{Answer, json};
use crate::central::Central;
use crate::store::{Body, Database};

/// `GET /user/`
pub(super) async fn list(State(central): State<Central>) -> Reply {
    lists::whole(central, Database::Users, live::over_user).await
}

/// `GET /user/{name}`
pub(super) async fn one(State(central): State<Central>, At(name): At<String>) -> Reply {
    let body = central.documents.body(Database::Users, &name);
    let mut body = body.ok_or_else(|| Answer::missing(format!("there is no user {name:?}")))?;
    live::over_user(&central, &mut body);
    Ok(json(StatusCode::OK, &body))
}

/// `PUT /user/{name}`
pub(super) async fn subscribe(asker: Asker, At(name): At<String>, Fields(fields): Fields) -> Reply {
    let user = user(&name, &Part::whole(&fields))?;
    asker.central.documents.create(Database::Users, &name, user).await?;
    Ok(asker.did(format!("user {name} made")))
}

/// `DELETE /user/{name}`: the user's applications stay.
pub(super) async fn remove(asker: Asker, At(name): At<String>, _: NoBody) -> Reply {
    asker.central.documents.remove(Database::Users, &name).await?;
    Ok(asker.did(format!("user {name} removed")))
}

/// `PUT /user/{name}/resources/{resource}/{parameter}` with `{"value": n}`
pub(super) async fn set_parameter(
    asker: Asker,
    At((name, resource, parameter)): At<(String, String, String)>,
    fields: Fields,
) -> Reply {
    set(asker, &name, &resource, &parameter, &fields).await
}

/// `PUT /user/{name}/energy/max`: an alias.
pub(super) async fn set_energy(asker: Asker, At(name): At<String>, fields: Fields) -> Reply {
    set(asker, &name, Resource::Energy.key(), "max", &fields).await
}

async fn set(asker: Asker, name: &str, resource: &str, parameter: &str, fields: &Fields) -> Reply {
    if !["max", "min"].contains(&parameter) {
        return Err(Answer::bad(format!("{parameter:?} cannot be set; expected max or min")));
    }
    let called = format!("{resource}.{parameter}");
    let value = count(&called, fields.value()?)?;
    let edit = |body: &mut Body| {
        resource.parse::<Resource>().map_err(|_unknown| no_resource(name, resource))?;
        entry(body, name, resource)?.insert(parameter.to_owned(), value.into());
        Ok(())
    };
    asker.central.documents.edit(Database::Users, name, edit).await?;
    Ok(asker.did(format!("user {name}: {called} = {value}")))
}

/// The document that a subscription asks for.
fn user(name: &str, body: &Part<'_>) -> Result<Body, Answer> {
    let user = body.part("user")?;
    user.check_name(name)?;
    user.check_subtype("user")?;
    let mut resources: Map<String, Value> = user.part("resources")?.fields().clone();
    for (resource, part) in user.resources()? {
        let (max, min) = (part.amount("max")?, part.amount("min")?);
        if min > max {
            return Err(Answer::bad(format!("{} is {min}; expected at most max, {max}", part.called("min"))));
        }
        let mut entry = part.fields().clone();
        entry.insert("max".into(), plain(max));
        entry.insert("min".into(), plain(min));
        resources.insert(resource.key().into(), Value::Object(entry));
    }
    let mut document = user.fields().clone();
    document.insert("type".into(), "user".into());
    document.insert("resources".into(), Value::Object(resources));
    document.insert("clusters".into(), json!([]));
    Ok(document)
}
