//! Rules: when a window is an event, and when events are a request.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Rest;
use crate::number;

/// A rule as it is written. Whether it makes sense is found out where it is compiled
/// ([`crate::policy::rules::RuleSet::compile`]), so that one bad rule does not hide the others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Unique.
    pub name: String,
    /// The resource it is about: its key.
    #[serde(default)]
    pub resource: String,
    /// `events`, `requests`, or nothing.
    #[serde(default, deserialize_with = "text")]
    pub generates: String,
    /// Whether it is judged.
    #[serde(default, deserialize_with = "number::deserialize_bool")]
    pub active: bool,
    /// The condition, in JSON-Logic.
    #[serde(default)]
    pub rule: Value,
    /// `{"events": {"scale": {"up": 1}}}` or `{"requests": ["CpuRescaleUp"]}`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub action: Value,
    /// `up` or `down`.
    #[serde(default, deserialize_with = "option_text", skip_serializing_if = "Option::is_none")]
    pub rescale_type: Option<String>,
    /// How the amount is found: `amount`, `fit_to_usage`, `proportional`, `multiplicative`.
    #[serde(default, deserialize_with = "option_text", skip_serializing_if = "Option::is_none")]
    pub rescale_policy: Option<String>,
    /// The older spelling of `rescale_policy`.
    #[serde(default, deserialize_with = "option_text", skip_serializing_if = "Option::is_none")]
    pub rescale_by: Option<String>,
    /// In the resource's unit; negative downwards.
    #[serde(default, with = "numeric", skip_serializing_if = "Numeric::is_missing")]
    pub amount: Numeric,
    /// What the limit is multiplied with.
    #[serde(default, with = "numeric", skip_serializing_if = "Numeric::is_missing")]
    pub factor: Numeric,
    /// How many events it consumes when it fires.
    #[serde(default, with = "numeric", skip_serializing_if = "Numeric::is_missing")]
    pub events_to_remove: Numeric,
    /// Goes before requests of lower priority; 0 if missing.
    #[serde(default, with = "numeric", skip_serializing_if = "Numeric::is_missing")]
    pub priority: Numeric,
    /// Unknown fields.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Rule {
    /// How the amount is found, in either spelling.
    pub fn policy(&self) -> Option<&str> {
        self.rescale_policy.as_deref().or(self.rescale_by.as_deref())
    }
}

/// A number that a rule may have, or what stands in its place and is none: that is kept for the error.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Numeric {
    /// Not there, null or `""`.
    #[default]
    Missing,
    /// A number.
    Is(f64),
    /// Something else.
    Not(Value),
}

impl Numeric {
    /// The number, if there is one. Anything else is an error for people.
    pub fn get(&self, field: &str) -> Result<Option<f64>, String> {
        match self {
            Self::Missing => Ok(None),
            Self::Is(number) => Ok(Some(*number)),
            Self::Not(value) => Err(format!("{field} is {value}, expected a number")),
        }
    }

    fn is_missing(&self) -> bool {
        *self == Self::Missing
    }
}

mod numeric {
    use super::{Deserialize, Deserializer, Numeric, Serialize, Serializer, Value, number};

    pub(super) fn serialize<S: Serializer>(number: &Numeric, serializer: S) -> Result<S::Ok, S::Error> {
        match number {
            Numeric::Missing => serializer.serialize_none(),
            Numeric::Is(n) => number::serialize(n, serializer),
            Numeric::Not(value) => value.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Numeric, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(match number::lenient(&value) {
            Some(n) => Numeric::Is(n),
            None if value.is_null() || value.as_str().is_some_and(|s| s.trim().is_empty()) => Numeric::Missing,
            None => Numeric::Not(value),
        })
    }
}

/// A missing or null text is an empty one.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// An empty text is none.
fn option_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|s| !s.trim().is_empty()))
}
