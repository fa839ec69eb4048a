//! `/rule/`: which rules are judged, and how much and how soon they ask for.

mod amounts;
mod condition;

use axum::extract::State;
use axum::http::StatusCode;
use headroom_model::documents::rule::Rule;
use headroom_model::number::plain;
use headroom_model::policy::request::Direction;
use headroom_model::policy::rules::{RuleSet, direction};
use serde_json::Value;

use super::ask::{Asker, At, Fields, NoBody};
use super::fields::{amount as amount_of, count, text, understood};
use super::{Reply, lists};
use crate::answer::{Answer, json};
use crate::central::Central;
use crate::store::{Body, Database};

/// `GET /rule/`
pub(super) async fn list(State(central): State<Central>) -> Reply {
    lists::whole(central, Database::Rules, |_, _| {}).await
}

/// `GET /rule/{rule}`
pub(super) async fn one(State(central): State<Central>, At(rule): At<String>) -> Reply {
    let body = central.documents.body(Database::Rules, &rule);
    body.map(|body| json(StatusCode::OK, &body)).ok_or_else(|| Answer::missing(format!("there is no rule {rule:?}")))
}

/// `PUT /rule/{rule}/activate`
pub(super) async fn activate(asker: Asker, At(rule): At<String>, _: NoBody) -> Reply {
    set_active(asker, &rule, true).await
}

/// `PUT /rule/{rule}/deactivate`
pub(super) async fn deactivate(asker: Asker, At(rule): At<String>, _: NoBody) -> Reply {
    set_active(asker, &rule, false).await
}

async fn set_active(asker: Asker, rule: &str, active: bool) -> Reply {
    let set = |body: &mut Body| {
        body.insert("active".into(), active.into());
        Ok(())
    };
    asker.central.documents.edit(Database::Rules, rule, set).await?;
    let how = if active { "activated" } else { "deactivated" };
    Ok(asker.did(format!("rule {rule} {how}")))
}

/// `PUT /rule/{rule}/amount` with `{"value": 75}`
pub(super) async fn amount(asker: Asker, At(rule): At<String>, fields: Fields) -> Reply {
    let value = amount_of("value", fields.value()?)?;
    let set = |body: &mut Body| {
        if request_direction(&rule, body)? != Some(Direction::Up) {
            let message =
                format!("rule {rule:?} makes no upward requests; an amount is set for rules that do, such as CpuRescaleUp");
            return Err(Answer::bad(message));
        }
        body.insert("amount".into(), plain(value));
        Ok(())
    };
    asker.central.documents.edit(Database::Rules, &rule, sound(&rule, set)).await?;
    Ok(asker.did(format!("rule {rule}: amount = {value}")))
}

/// `PUT /rule/{rule}/policy` with `{"value": "amount"}`
pub(super) async fn policy(asker: Asker, At(rule): At<String>, fields: Fields) -> Reply {
    let policy = text("value", fields.value()?)?;
    let documents = &asker.central.documents;
    let set = |body: &mut Body| {
        let direction = request_direction(&rule, body)?;
        let allowed: &[&str] = match direction {
            Some(Direction::Up) => &["amount", "proportional", "multiplicative"],
            _ => &["amount", "proportional", "multiplicative", "fit_to_usage"],
        };
        if !allowed.contains(&policy) {
            let message = format!("policy {policy:?} is not for rule {rule:?}; expected {}", allowed.join(", "));
            return Err(Answer::bad(message));
        }
        // One spelling is enough.
        body.remove("rescale_by");
        body.insert("rescale_policy".into(), policy.into());
        amounts::complete(body, policy, direction, || documents.bodies(Database::Rules));
        Ok(())
    };
    documents.edit(Database::Rules, &rule, sound(&rule, set)).await?;
    Ok(asker.did(format!("rule {rule}: policy = {policy}")))
}

/// `PUT /rule/{rule}/events_required` with `{"value": 4, "event_type": "up"}`
pub(super) async fn events_required(asker: Asker, At(rule): At<String>, fields: Fields) -> Reply {
    let value = count("value", fields.value()?)?;
    let event_type = text("event_type", fields.get("event_type")?)?;
    let counted = match event_type {
        "up" => Direction::Up,
        "down" => Direction::Down,
        other => return Err(Answer::bad(format!("event_type is {other:?}; expected \"up\" or \"down\""))),
    };
    let set = |body: &mut Body| {
        let own = direction(&understood::<Rule>(body)?).map_err(Answer::bad)?;
        let is_own = own == Some(counted);
        let found = body.get_mut("rule").is_some_and(|rule| condition::set_threshold(rule, counted, is_own, value));
        if !found {
            let message = format!("rule {rule:?} has no condition on events.scale.{event_type}");
            return Err(Answer::bad(message));
        }
        if is_own && body.get("generates").is_some_and(|generates| generates == "requests") {
            body.insert("events_to_remove".into(), value.into());
        }
        Ok(())
    };
    asker.central.documents.edit(Database::Rules, &rule, sound(&rule, set)).await?;
    Ok(asker.did(format!("rule {rule}: events required = {value} {event_type}")))
}

/// Which way a rule's requests go; an error for one that makes none.
fn request_direction(name: &str, body: &Body) -> Result<Option<Direction>, Answer> {
    let rule: Rule = understood(body)?;
    if rule.generates != "requests" {
        return Err(Answer::bad(format!("rule {name:?} makes no requests; expected one that does, such as CpuRescaleUp")));
    }
    direction(&rule).map_err(|why| Answer::bad(format!("rule {name:?}: {why}")))
}

/// An edit after which a rule that worked works still.
fn sound(
    name: &str,
    edit: impl Fn(&mut Body) -> Result<(), Answer> + Send + Sync,
) -> impl Fn(&mut Body) -> Result<(), Answer> + Send + Sync {
    move |body| {
        let worked = problem(body).is_none();
        edit(body)?;
        match problem(body) {
            Some(why) if worked => Err(Answer::bad(format!("rule {name:?} would not work any more: {why}"))),
            _ => Ok(()),
        }
    }
}

fn problem(body: &Body) -> Option<String> {
    let rule = serde_json::from_value::<Rule>(Value::Object(body.clone()));
    match rule {
        Ok(rule) => RuleSet::compile(&[Rule { active: true, ..rule }]).problems().first().map(|problem| problem.why.clone()),
        Err(e) => Some(e.to_string()),
    }
}
