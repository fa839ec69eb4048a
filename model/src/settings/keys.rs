//! Every key with what it must be and its default.

use std::fmt;

use serde_json::{Value, json};

use super::Service;
use crate::number;
use crate::resource::Resource;

/// The shortest time that a setting may ask for, in s.
const SHORTEST: f64 = 0.01;

/// What a setting must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// true or false.
    Flag,
    /// A length of time in s, at least 0.01.
    Seconds,
    /// A length of time in s, 0 or more.
    Delay,
    /// Names of resources.
    Resources,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Any of these.
    AnyOf(&'static [&'static str]),
    /// Any texts.
    Texts,
}

type Key = (&'static str, Expected, &'static str);

impl Service {
    /// Its keys: name, what it must be, default (a list separated by commas).
    pub(super) const fn keys(self) -> &'static [Key] {
        use Expected::{AnyOf, Delay, Flag, OneOf, Resources, Seconds, Texts};
        const STRUCTURES: &[&str] = &["container", "application"];
        match self {
            Self::Guardian => &[
                ("ACTIVE", Flag, "true"),
                ("WINDOW_TIMELAPSE", Seconds, "10"),
                ("WINDOW_DELAY", Delay, "10"),
                ("EVENT_TIMEOUT", Seconds, "100"),
                ("GUARDABLE_RESOURCES", Resources, "cpu"),
                ("STRUCTURE_GUARDED", OneOf(STRUCTURES), "container"),
                ("REJUDGE", Flag, "false"),
                ("COOLDOWN", Delay, "0"),
                ("DEBUG", Flag, "false"),
            ],
            Self::Scaler => &[
                ("ACTIVE", Flag, "true"),
                ("POLLING_FREQUENCY", Seconds, "5"),
                ("REQUEST_TIMEOUT", Seconds, "60"),
                ("CHECK_CORE_MAP", Flag, "true"),
                ("DEBUG", Flag, "false"),
            ],
            Self::StructuresSnapshoter => &[
                ("ACTIVE", Flag, "true"),
                ("POLLING_FREQUENCY", Seconds, "5"),
                ("STRUCTURES_PERSISTED", AnyOf(STRUCTURES), "application"),
                ("RESOURCES_PERSISTED", Resources, "cpu,mem"),
                ("DEBUG", Flag, "false"),
            ],
            Self::DatabaseSnapshoter => &[
                ("ACTIVE", Flag, "true"),
                ("POLLING_FREQUENCY", Seconds, "5"),
                ("DOCUMENTS_PERSISTED", AnyOf(&["limits", "structures", "users", "configs"]), "limits,structures,users,configs"),
                ("SERVICES_PERSISTED", Texts, "guardian,scaler"),
                ("FIELDS_PERSISTED", Texts, "max,min,upper,lower,current,usage"),
                ("DEBUG", Flag, "false"),
            ],
            Self::Refeeder => &[
                ("ACTIVE", Flag, "true"),
                ("WINDOW_TIMELAPSE", Seconds, "10"),
                ("WINDOW_DELAY", Delay, "20"),
                ("STRUCTURES_REFEEDED", AnyOf(STRUCTURES), "application"),
                ("GENERATED_METRICS", Resources, "cpu,mem"),
                ("DEBUG", Flag, "false"),
            ],
        }
    }
}

impl Expected {
    /// The value as it is to be stored, if it makes sense.
    pub(super) fn check(self, value: &Value) -> Option<Value> {
        let among = |names: &[&str]| texts(value)?.iter().all(|t| names.contains(&t.as_str())).then(|| list(value));
        match self {
            Self::Flag => number::lenient_bool(value).map(Value::Bool),
            Self::Seconds => number::lenient(value).filter(|s| *s >= SHORTEST).map(number::plain),
            Self::Delay => number::lenient(value).filter(|s| *s >= 0.0).map(number::plain),
            Self::Resources => among(&Resource::ALL.map(Resource::key)),
            Self::OneOf(names) => value.as_str().filter(|t| names.contains(t)).map(|t| json!(t)),
            Self::AnyOf(names) => among(names),
            Self::Texts => texts(value).map(|_| list(value)),
        }
    }

    /// A default from its spelling in the table.
    pub(super) fn parse(self, text: &str) -> Value {
        match self {
            Self::Resources | Self::AnyOf(_) | Self::Texts => text.split(',').collect(),
            _ => self.check(&json!(text)).unwrap_or(Value::Null),
        }
    }
}

/// A list of texts; one text counts as a list of one.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(items) => items.iter().map(|i| i.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn list(value: &Value) -> Value {
    if value.is_array() { value.clone() } else { json!([value]) }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("true or false"),
            Self::Seconds => write!(f, "seconds, {SHORTEST} or more"),
            Self::Delay => f.write_str("seconds, 0 or more"),
            Self::Resources => write!(f, "a list of {}", Resource::ALL.map(Resource::key).join(", ")),
            Self::OneOf(names) => f.write_str(&names.join(" or ")),
            Self::AnyOf(names) => write!(f, "a list of {}", names.join(", ")),
            Self::Texts => f.write_str("a list of texts"),
        }
    }
}
