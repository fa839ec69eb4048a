//! From documents to rules that can be judged.

use std::sync::Arc;

use datalogic_rs::{Engine, Logic};
use serde_json::Value;

use super::certainty::Certainty;
use super::needs::Counts;
use super::paths::Reads;
use super::{EventRule, Need, Policy, Problem, RequestRule, RuleSet};
use crate::documents::rule::Rule as Document;
use crate::policy::request::Direction;
use crate::resource::{PerResource, Resource};

pub(super) fn compile(documents: &[Document]) -> RuleSet {
    let mut set = RuleSet {
        engine: Engine::new(),
        events: PerResource::from_fn(|_| Vec::new()),
        requests: PerResource::from_fn(|_| Vec::new()),
        problems: Vec::new(),
        needs: Vec::new(),
        reads_cpu_split: false,
        reads_throttling: false,
    };
    let mut wanted = Vec::new();
    for document in documents.iter().filter(|d| d.active) {
        let added = match document.generates.as_str() {
            "" => Ok(()),
            "events" => event_rule(document, &set.engine).map(|(resource, rule)| {
                let reads = Reads::of(&document.rule);
                set.reads_cpu_split |= ["cpu.structure.cpu.user", "cpu.structure.cpu.kernel"].iter().any(|p| reads.touches(p));
                set.reads_throttling |= reads.touches("cpu.structure.cpu.throttled");
                set.events[resource].push(rule);
            }),
            "requests" => request_rule(document, &set.engine).map(|(resource, rule)| {
                wanted.push((rule.name.clone(), resource, Counts::of(&document.rule)));
                set.requests[resource].push(rule);
            }),
            other => Err(format!("generates {other:?}, expected \"events\", \"requests\" or \"\"")),
        };
        if let Err(why) = added {
            set.problems.push(Problem { name: document.name.clone(), why });
        }
    }
    set.needs = wanted
        .into_iter()
        .map(|(rule, resource, counts)| Need { rule, resource, windows: counts.windows(per_window(&set.events[resource])) })
        .collect();
    set
}

/// The most that one window can give in each direction.
fn per_window(rules: &[EventRule]) -> Counts {
    let sum = |direction| rules.iter().filter(|r| r.direction == direction).map(|r| r.count).sum();
    Counts { up: sum(Direction::Up), down: sum(Direction::Down) }
}

fn event_rule(document: &Document, engine: &Engine) -> Result<(Resource, EventRule), String> {
    let (resource, logic) = head(document, engine)?;
    let (direction, count) = scale(&document.action)?;
    let rule = EventRule {
        name: Arc::from(document.name.as_str()),
        direction,
        count,
        logic,
        requires: Reads::of(&document.rule).resources(),
        certainty: Certainty::of(&document.rule, resource, engine),
    };
    Ok((resource, rule))
}

fn request_rule(document: &Document, engine: &Engine) -> Result<(Resource, RequestRule), String> {
    let (resource, logic) = head(document, engine)?;
    let remove = document
        .events_to_remove
        .get("events_to_remove")?
        .ok_or("events_to_remove is missing, expected how many events it consumes")?;
    if remove < 0.0 || remove.fract() != 0.0 {
        return Err(format!("events_to_remove is {remove}, expected a whole number, 0 or more"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and not negative, and a float cast saturates"
    )]
    let remove = remove as usize;
    let priority = document.priority.get("priority")?.unwrap_or(0.0);
    Ok((resource, RequestRule { name: Arc::from(document.name.as_str()), logic, policy: policy(document)?, remove, priority }))
}

fn head(document: &Document, engine: &Engine) -> Result<(Resource, Logic), String> {
    let resource = document.resource.parse::<Resource>().map_err(|e| e.to_string())?;
    if !document.rule.is_object() {
        return Err(format!("its condition is {}, expected a JSON-Logic object", document.rule));
    }
    if let Some(unknown) = unknown_operator(&document.rule, engine) {
        return Err(format!("its condition has {unknown:?}, which is no JSON-Logic operator"));
    }
    let logic = engine.compile(document.rule.to_string().as_str()).map_err(|e| format!("its condition is no JSON-Logic: {e}"))?;
    Ok((resource, logic))
}

/// The engine would take an operator that it does not know for one that is added later, and fail only when it is evaluated.
fn unknown_operator<'a>(condition: &'a Value, engine: &Engine) -> Option<&'a str> {
    match condition {
        Value::Array(items) => items.iter().find_map(|item| unknown_operator(item, engine)),
        Value::Object(map) => map.iter().find_map(|(operator, arguments)| {
            let known = engine.builtin_operator_names().any(|name| name == operator);
            if known { unknown_operator(arguments, engine) } else { Some(operator) }
        }),
        _ => None,
    }
}

/// `{"events": {"scale": {"up": 1}}}`, with exactly one direction.
fn scale(action: &Value) -> Result<(Direction, f64), String> {
    let expected = || format!("its action is {action}, expected {{\"events\": {{\"scale\": {{\"up\": 1}}}}}} or \"down\"");
    let scale = action.pointer("/events/scale").and_then(Value::as_object).filter(|s| s.len() == 1).ok_or_else(expected)?;
    let (direction, count) = scale.iter().next().ok_or_else(expected)?;
    let direction = match direction.as_str() {
        "up" => Direction::Up,
        "down" => Direction::Down,
        _ => return Err(expected()),
    };
    let count = crate::number::lenient(count).filter(|n| *n > 0.0).ok_or_else(expected)?;
    Ok((direction, count))
}

/// Which way a request rule scales: by its type, else its name, else the sign of its amount.
pub fn direction(document: &Document) -> Result<Option<Direction>, String> {
    let amount = document.amount.get("amount")?;
    Ok(match document.rescale_type.as_deref() {
        Some("up") => Some(Direction::Up),
        Some("down") => Some(Direction::Down),
        Some(other) => return Err(format!("rescale_type is {other:?}, expected \"up\" or \"down\"")),
        None if document.name.ends_with("Up") => Some(Direction::Up),
        None if document.name.ends_with("Down") => Some(Direction::Down),
        None => amount.map(Direction::of),
    })
}

fn policy(document: &Document) -> Result<Policy, String> {
    let direction = direction(document)?;
    let amount = || document.amount.get("amount")?.ok_or_else(|| "amount is missing, expected a number".to_owned());
    match document.policy() {
        None | Some("amount") => Ok(Policy::Amount(amount()?)),
        Some("fit_to_usage") => Ok(Policy::FitToUsage),
        Some("proportional") => Ok(Policy::Proportional(amount()?)),
        Some("multiplicative") => {
            let factor = document.factor.get("factor")?.ok_or("factor is missing, expected a number")?;
            let fits = match direction {
                Some(Direction::Up) => factor > 1.0,
                Some(Direction::Down) => factor > 0.0 && factor < 1.0,
                None => factor > 0.0 && (factor - 1.0).abs() > 0.0,
            };
            let expected = "more than 1 for a rule that scales up, between 0 and 1 for one that scales down";
            fits.then_some(Policy::Multiplicative(factor)).ok_or_else(|| format!("factor is {factor}, expected {expected}"))
        }
        Some(other) => Err(format!("rescale_policy is {other:?}, expected amount, fit_to_usage, proportional or multiplicative")),
    }
}
