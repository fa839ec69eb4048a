//! Numbers as documents have them: read leniently (`"200"` is 200), written plainly (275, not 275.0).

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;
use serde_json::Value;

/// The largest whole number that every `f64` below it can be told apart from its neighbours.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The number in a JSON value: a number, or a text that is one. `None` for everything else, and for what is not finite.
pub fn lenient(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    }
    .filter(|n: &f64| n.is_finite())
}

/// The truth in a JSON value: a boolean, or `"true"`, `"false"` in any case of letters.
pub fn lenient_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::String(s) if s.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(s) if s.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A JSON number without a fraction where it has none. Not finite: null.
pub fn plain(number: f64) -> Value {
    whole(number).map_or_else(|| serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number), Value::from)
}

/// The number as an integer where it is exactly one.
pub fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, so nothing is lost")]
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

/// The number to so many decimal places: what is computed has more of them than mean anything.
pub fn rounded(number: f64, places: i32) -> f64 {
    let scale = 10_f64.powi(places);
    (number * scale).round() / scale
}

/// Writes a number plainly; for `#[serde(serialize_with)]`.
pub fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match whole(*number) {
        Some(integer) => serializer.serialize_i64(integer),
        None => serializer.serialize_f64(*number),
    }
}

/// Reads a number leniently; for `#[serde(with)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    lenient(&value).ok_or_else(|| D::Error::custom(format_args!("{value} is not a number")))
}

/// The same for a number that may be missing: `null` and `""` count as missing.
pub mod option {
    use super::{Deserialize, Deserializer, Error, Serializer, Value, lenient};

    /// Writes a number plainly.
    pub fn serialize<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        match number {
            Some(number) => super::serialize(number, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a number leniently.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match &value {
            Value::Null => Ok(None),
            Value::String(s) if s.trim().is_empty() => Ok(None),
            other => lenient(other).map(Some).ok_or_else(|| D::Error::custom(format_args!("{value} is not a number"))),
        }
    }
}

/// A boolean that may be spelt as a text; for `#[serde(deserialize_with)]`.
pub fn deserialize_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    lenient_bool(&value).ok_or_else(|| D::Error::custom(format_args!("{value} is neither true nor false")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_numbers_too() {
        assert_eq!(lenient(&json!("200")), Some(200.0));
        assert_eq!(lenient(&json!(" 12.5 ")), Some(12.5));
        assert_eq!(lenient(&json!(7)), Some(7.0));
        for not in [json!(""), json!("abc"), json!(null), json!(true), json!([1]), json!("inf"), json!("NaN")] {
            assert_eq!(lenient(&not), None, "{not}");
        }
    }

    #[test]
    fn decimal_places_are_cut_to_the_nearest() {
        assert_eq!([rounded(1.006, 2), rounded(-2.345, 1), rounded(275.0, 3)], [1.01, -2.3, 275.0]);
        assert!(rounded(f64::NAN, 2).is_nan());
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!(plain(275.0).to_string(), "275");
        assert_eq!(plain(-100.0).to_string(), "-100");
        assert_eq!(plain(12.5).to_string(), "12.5");
        assert_eq!(plain(f64::NAN), Value::Null);
    }
}
