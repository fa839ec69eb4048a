//! `/service/`: settings on the fly.

use axum::extract::State;
use axum::http::StatusCode;
use headroom_model::number::{lenient, lenient_bool, plain};
use headroom_model::settings::Service;
use serde_json::Value;

use super::Reply;
use super::ask::{Asker, At, Fields};
use super::fields::{object, text};
use super::lists;
use crate::answer::{Answer, json};
use crate::central::Central;
use crate::documents::Documents;
use crate::store::Database;

/// Services that people may know from elsewhere.
const ELSEWHERE: [&str; 3] = ["rebalancer", "energy_controller", "watt_trainer"];

/// Settings that are texts whatever they look like.
const TEXTS: [&str; 9] = [
    "STRUCTURE_GUARDED",
    "ENERGY_MODEL_NAME",
    "ENERGY_MODEL_RELIABILITY",
    "CONTAINERS_SCOPE",
    "BALANCING_METHOD",
    "BALANCING_POLICY",
    "CONTROL_POLICY",
    "POWER_MODEL",
    "EVENTS_SYSTEM",
];

/// `GET /service/`
pub(super) async fn list(State(central): State<Central>) -> Reply {
    lists::whole(central, Database::Services, |_, _| {}).await
}

/// `GET /service/{service}`
pub(super) async fn one(State(central): State<Central>, At(service): At<String>) -> Reply {
    let body = central.documents.body(Database::Services, &service);
    body.map(|body| json(StatusCode::OK, &body)).ok_or_else(|| no_service(&central.documents, &service))
}

/// `PUT /service/{service}/{KEY}` with `{"value": ..}`
pub(super) async fn set(asker: Asker, At((service, key)): At<(String, String)>, fields: Fields) -> Reply {
    let value = fields.value()?.clone();
    change(asker, &service, vec![(key, value)]).await
}

/// `PUT /service/{service}` with `{KEY: value, ..}`: all of them, or none.
pub(super) async fn set_several(asker: Asker, At(service): At<String>, Fields(settings): Fields) -> Reply {
    if settings.is_empty() {
        return Err(Answer::bad("there is no setting in the body; expected {KEY: value, ..}"));
    }
    change(asker, &service, settings.into_iter().collect()).await
}

async fn change(asker: Asker, service: &str, settings: Vec<(String, Value)>) -> Reply {
    let documents = &asker.central.documents;
    if !documents.has(Database::Services, service) {
        return Err(no_service(documents, service));
    }
    let checked = |(key, value): (String, Value)| checked(service, &key, &value).map(|value| (key, value));
    let settings: Vec<(String, Value)> = settings.into_iter().map(checked).collect::<Result<_, _>>()?;
    let edit = documents.edit(Database::Services, service, |body| {
        object(body, "config")?.extend(settings.iter().cloned());
        Ok(())
    });
    edit.await?;
    let what: Vec<String> = settings.iter().map(|(key, value)| format!("{service}.{key} = {value}")).collect();
    Ok(asker.did(what.join(", ")))
}

/// A setting as it is to be stored.
fn checked(service: &str, key: &str, value: &Value) -> Result<Value, Answer> {
    let known = Service::of_name(service).filter(|service| service.defaults().contains_key(key));
    if let Some(known) = known {
        return known.check(key, value).map_err(|e| Answer::bad(e.to_string()));
    }
    let called = format!("{service}.{key}");
    if value.is_null() {
        return Err(Answer::bad(format!("{called} is null; expected a value")));
    }
    if TEXTS.contains(&key) {
        return text(&called, value).map(Value::from);
    }
    Ok(match (lenient_bool(value), lenient(value)) {
        (Some(flag), _) => Value::Bool(flag),
        (None, Some(number)) => plain(number),
        (None, None) => value.clone(),
    })
}

fn no_service(documents: &Documents, service: &str) -> Answer {
    let known = documents.names(Database::Services).join(", ");
    if ELSEWHERE.contains(&service) {
        return Answer::missing(format!("Headroom does not have the service {service:?}; it has {known}"));
    }
    Answer::missing(format!("there is no service {service:?}; there are {known}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_converted_but_texts_stay_texts() {
        let table = [
            ("guardian", "WINDOW_TIMELAPSE", json!("0.5"), json!(0.5)),
            ("guardian", "ACTIVE", json!("false"), json!(false)),
            ("guardian", "GUARDABLE_RESOURCES", json!("cpu"), json!(["cpu"])),
            ("guardian", "STRUCTURE_GUARDED", json!("application"), json!("application")),
            ("guardian", "MINE", json!("12"), json!(12)),
            ("guardian", "MINE", json!("True"), json!(true)),
            ("guardian", "MINE", json!("some text"), json!("some text")),
            ("guardian", "MINE", json!(["1", "a"]), json!(["1", "a"])),
            ("other", "ACTIVE", json!("true"), json!(true)),
            ("other", "ENERGY_MODEL_NAME", json!("12"), json!("12")),
            ("guardian", "CONTROL_POLICY", json!("true"), json!("true")),
        ];
        for (service, key, given, stored) in table {
            assert_eq!(checked(service, key, &given), Ok(stored), "{service}.{key} {given}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let table = [
            ("guardian", "WINDOW_TIMELAPSE", json!("soon")),
            ("guardian", "STRUCTURE_GUARDED", json!(5)),
            ("guardian", "MINE", json!(null)),
            ("guardian", "POWER_MODEL", json!(5)),
            ("other", "EVENTS_SYSTEM", json!(true)),
        ];
        for (service, key, value) in table {
            let refused = checked(service, key, &value).unwrap_err();
            assert!(refused.message.contains(key) && refused.message.contains("expected"), "{refused}");
        }
    }
}
