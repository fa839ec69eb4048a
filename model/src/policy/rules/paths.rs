//! Which data a condition reads, found in its text.

use serde_json::Value;

use crate::resource::{Resource, ResourceSet};

/// What a JSON-Logic expression reads.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Dotted paths that must be there.
    pub(super) needed: Vec<String>,
    /// Dotted paths that have a default, or are only asked for.
    pub(super) asked: Vec<String>,
    /// Something is read that can only be known when it is evaluated.
    pub(super) dynamic: bool,
}

impl Reads {
    /// Those of an expression.
    pub(super) fn of(expression: &Value) -> Self {
        let mut reads = Self::default();
        reads.walk(expression);
        reads
    }

    /// The resources whose data must be there.
    pub(super) fn resources(&self) -> ResourceSet {
        self.needed.iter().filter_map(|p| p.split('.').next()?.parse::<Resource>().ok()).collect()
    }

    /// Whether this path, or something that holds it, or something in it, may be read.
    pub(super) fn touches(&self, path: &str) -> bool {
        self.dynamic || self.all().any(|read| within(read, path) || within(path, read))
    }

    /// Every path.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.needed.iter().chain(&self.asked)
    }

    fn walk(&mut self, expression: &Value) {
        match expression {
            Value::Array(items) => {
                for item in items {
                    self.walk(item);
                }
            }
            Value::Object(map) => {
                for (operator, arguments) in map {
                    match operator.as_str() {
                        "var" => self.var(arguments),
                        "val" => self.val(arguments),
                        "missing" | "missing_some" | "exists" => self.asked_for(arguments),
                        _ => self.walk(arguments),
                    }
                }
            }
            _ => {}
        }
    }

    fn var(&mut self, arguments: &Value) {
        match arguments {
            Value::String(path) => self.needed.push(path.clone()),
            Value::Array(items) => match items.as_slice() {
                [Value::String(path)] => self.needed.push(path.clone()),
                [Value::String(path), default @ ..] => {
                    self.asked.push(path.clone());
                    for value in default {
                        self.walk(value);
                    }
                }
                _ => self.dynamic = true,
            },
            _ => self.dynamic = true,
        }
    }

    fn val(&mut self, arguments: &Value) {
        let part = |v: &Value| v.as_str().map(str::to_owned);
        match arguments {
            Value::String(path) => self.needed.push(path.clone()),
            Value::Array(items) => match items.iter().map(part).collect::<Option<Vec<_>>>() {
                Some(parts) if !parts.is_empty() => self.needed.push(parts.join(".")),
                _ => self.dynamic = true,
            },
            _ => self.dynamic = true,
        }
    }

    fn asked_for(&mut self, arguments: &Value) {
        match arguments {
            Value::String(path) => self.asked.push(path.clone()),
            Value::Array(items) => {
                for item in items {
                    self.asked_for(item);
                }
            }
            Value::Object(_) => self.dynamic = true,
            _ => {}
        }
    }
}

/// Whether `inner` is `outer` or lies in it. The empty path is everything.
fn within(inner: &str, outer: &str) -> bool {
    outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
