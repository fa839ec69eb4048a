//! What is certain about a condition while a window is still open.
//!
//! Usage only adds up, so in an open window the mean *will* be at least what was consumed so far over the window's whole length.
//! A condition that compares the usage with something fixed is then certainly true once the usage passed it (`usage > upper`)
//! or certainly false (`usage < lower`); `and`, `or` and `!` carry that on. Everything else is not certain before the end.

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::{DataValue, Engine, Logic};
use serde_json::Value;

use super::RuleSet;
use super::paths::Reads;
use crate::resource::Resource;

/// A condition, taken apart so far that each part's certainty is known.
pub(crate) enum Certainty {
    /// All must hold.
    All(Vec<Self>),
    /// One must hold.
    Any(Vec<Self>),
    /// It must not hold.
    Not(Box<Self>),
    /// Does not depend on the usage: certain either way.
    Fixed(Logic),
    /// Once true, true for every higher usage.
    Rises(Logic),
    /// Once false, false for every higher usage.
    Falls(Logic),
    /// Known at the end only.
    Opaque,
}

impl Certainty {
    /// Takes a condition of a resource's event rule apart.
    pub(super) fn of(condition: &Value, resource: Resource, engine: &Engine) -> Self {
        let parts = |v: &Value| match v {
            Value::Array(items) => items.iter().map(|item| Self::of(item, resource, engine)).collect(),
            single => vec![Self::of(single, resource, engine)],
        };
        if let Some((operator, arguments)) = operation(condition) {
            match (operator, arguments) {
                ("and", _) => return Self::All(parts(arguments)),
                ("or", _) => return Self::Any(parts(arguments)),
                ("!", Value::Array(one)) if one.len() == 1 => return Self::Not(Box::new(Self::of(&one[0], resource, engine))),
                (">" | ">=" | "<" | "<=", Value::Array(sides)) if sides.len() >= 2 => {
                    return Self::All(sides.windows(2).map(|pair| comparison(operator, pair, resource, engine)).collect());
                }
                _ => {}
            }
        }
        if is_fixed(condition, resource) { compiled(condition, engine, Self::Fixed) } else { Self::Opaque }
    }

    /// What is certain, given data whose usage is the least that the window's mean can still be.
    pub(crate) fn judge<'a>(&'a self, rules: &RuleSet, data: &'a DataValue<'a>, arena: &'a Bump) -> Option<bool> {
        match self {
            Self::All(parts) => kleene(parts, rules, data, arena, false),
            Self::Any(parts) => kleene(parts, rules, data, arena, true),
            Self::Not(part) => part.judge(rules, data, arena).map(|holds| !holds),
            Self::Fixed(logic) => rules.holds(logic, data, arena).ok(),
            Self::Rises(logic) => rules.holds(logic, data, arena).ok().filter(|holds| *holds),
            Self::Falls(logic) => rules.holds(logic, data, arena).ok().filter(|holds| !*holds),
            Self::Opaque => None,
        }
    }
}

/// `and` (decided by a false) or `or` (decided by a true) over what is certain.
fn kleene<'a>(parts: &'a [Certainty], rules: &RuleSet, data: &'a DataValue<'a>, arena: &'a Bump, decides: bool) -> Option<bool> {
    let mut certain = true;
    for part in parts {
        match part.judge(rules, data, arena) {
            Some(holds) if holds == decides => return Some(decides),
            Some(_) => {}
            None => certain = false,
        }
    }
    certain.then_some(!decides)
}

fn comparison(operator: &str, pair: &[Value], resource: Resource, engine: &Engine) -> Certainty {
    let [left, right] = pair else { return Certainty::Opaque };
    let whole = serde_json::json!({ operator: pair });
    let greater = operator.starts_with('>');
    match (is_usage(left, resource), is_usage(right, resource)) {
        (true, false) if is_fixed(right, resource) => {
            compiled(&whole, engine, if greater { Certainty::Rises } else { Certainty::Falls })
        }
        (false, true) if is_fixed(left, resource) => {
            compiled(&whole, engine, if greater { Certainty::Falls } else { Certainty::Rises })
        }
        (false, false) if is_fixed(&whole, resource) => compiled(&whole, engine, Certainty::Fixed),
        _ => Certainty::Opaque,
    }
}

fn compiled(expression: &Value, engine: &Engine, kind: impl FnOnce(Logic) -> Certainty) -> Certainty {
    engine.compile(expression.to_string().as_str()).map_or(Certainty::Opaque, kind)
}

/// The operator and its arguments, if the expression is one operation.
fn operation(expression: &Value) -> Option<(&str, &Value)> {
    let map = expression.as_object().filter(|map| map.len() == 1)?;
    map.iter().next().map(|(operator, arguments)| (operator.as_str(), arguments))
}

/// Whether the expression is the resource's usage itself.
fn is_usage(expression: &Value, resource: Resource) -> bool {
    let Some(("var", path)) = operation(expression) else { return false };
    let path = match path {
        Value::Array(one) if one.len() == 1 => &one[0],
        other => other,
    };
    path.as_str().and_then(|p| structure_field(p, resource)) == Some("usage")
}

/// Whether nothing that it reads changes before the window's end.
fn is_fixed(expression: &Value, resource: Resource) -> bool {
    let reads = Reads::of(expression);
    let limits = format!("{resource}.limits.{resource}.");
    !reads.dynamic
        && reads.all().all(|path| {
            path.starts_with(&limits)
                || matches!(structure_field(path, resource), Some("max" | "min" | "current" | "guard" | "weight"))
        })
}

/// The last part of `cpu.structure.cpu.<field>`.
fn structure_field(path: &str, resource: Resource) -> Option<&str> {
    path.strip_prefix(resource.key())?.strip_prefix(".structure.")?.strip_prefix(resource.key())?.strip_prefix('.')
}
