//! What a value may be: each function takes it from TOML, or says what was expected.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use headroom_model::duration::seconds;
use toml::de::DeValue;

use super::{LabelRule, NameRule};

/// true or false.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "expected true or false".to_owned())
}

/// A text that is not empty.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(|| "expected a text in quotes".to_owned())
}

/// An absolute path.
pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    let path = value.as_str().map(PathBuf::from);
    path.filter(|path| path.is_absolute()).ok_or_else(|| "expected an absolute path in quotes".to_owned())
}

/// What `kind` takes, or the word "off".
pub(super) fn or_off<T>(kind: impl Fn(&DeValue<'_>) -> Result<T, String>) -> impl Fn(&DeValue<'_>) -> Result<Option<T>, String> {
    move |value| match value.as_str() {
        Some("off") => Ok(None),
        _ => kind(value).map(Some).map_err(|expected| expected + ", or \"off\""),
    }
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            format!("expected one of {}", words.join(", "))
        })
    }
}

/// A finite number, whole or not.
fn number(value: &DeValue<'_>) -> Option<f64> {
    let digits = match value {
        DeValue::Integer(n) if n.radix() == 10 => n.as_str(),
        DeValue::Float(n) => n.as_str(),
        _ => return None,
    };
    digits.parse().ok().filter(|n: &f64| n.is_finite())
}

/// A number within a range.
pub(super) fn within(range: RangeInclusive<f64>) -> impl Fn(&DeValue<'_>) -> Result<f64, String> {
    move |value| {
        number(value).filter(|n| range.contains(n)).ok_or_else(|| {
            if range.end().is_finite() {
                format!("expected a number from {} to {}", range.start(), range.end())
            } else {
                format!("expected a number from {} upwards", range.start())
            }
        })
    }
}

/// A whole number within a range.
pub(super) fn whole(range: RangeInclusive<u32>) -> impl Fn(&DeValue<'_>) -> Result<u32, String> {
    move |value| {
        let parsed = value.as_integer().and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
        parsed
            .filter(|n| range.contains(n))
            .ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
    }
}

/// A duration within a range: a number of seconds, or a number with its unit in quotes (`"100ms"`).
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&DeValue<'_>) -> Result<Duration, String> {
    move |value| {
        let found = number(value).or_else(|| value.as_str().and_then(seconds));
        let parsed = found.and_then(|s| Duration::try_from_secs_f64(s).ok());
        parsed.filter(|d| range.contains(d)).ok_or_else(|| {
            format!(
                "expected a duration from {:?} to {:?}: a number of seconds, or text with a unit such as \"100ms\", \"10s\", \"5min\"",
                range.start(),
                range.end()
            )
        })
    }
}

/// A glob, such as `web-*`.
pub(super) fn glob(value: &DeValue<'_>) -> Result<globset::Glob, String> {
    globset::Glob::new(&text(value)?).map_err(|e| format!("expected a glob such as \"web-*\": {}", e.kind()))
}

/// A name, or a glob on names.
pub(super) fn name(value: &DeValue<'_>) -> Result<NameRule, String> {
    let glob = glob(value)?;
    let is_name = globset::escape(glob.glob()) == glob.glob();
    Ok(if is_name { NameRule::Is(glob.glob().to_owned()) } else { NameRule::Like(glob) })
}

/// A label's key, or the key, `=` and a glob on its value.
pub(super) fn label(value: &DeValue<'_>) -> Result<LabelRule, String> {
    let expected = "expected a label such as \"tier\" or \"tier=front*\"";
    let text = text(value)?;
    let (key, value) = text.split_once('=').map_or((text.as_str(), None), |(key, value)| (key, Some(value)));
    if key.is_empty() {
        return Err(expected.to_owned());
    }
    let glob = |value| globset::Glob::new(value).map_err(|e| format!("{expected}: {}", e.kind()));
    Ok(LabelRule { key: key.to_owned(), value: value.map(glob).transpose()? })
}

/// A regular expression with a group called `name`.
pub(super) fn naming_regex(value: &DeValue<'_>) -> Result<regex::Regex, String> {
    let regex = regex::Regex::new(&text(value)?).map_err(|e| format!("expected a regular expression: {e}"))?;
    let named = regex.capture_names().flatten().any(|group| group == "name");
    named.then_some(regex).ok_or_else(|| "expected a group (?<name>..) that gives the container's name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_key_or_a_key_with_a_glob() {
        let rule = |text: &str| label(&DeValue::String(text.into()));
        assert_eq!(rule("tier"), Ok(LabelRule { key: "tier".into(), value: None }));
        let front = globset::Glob::new("front*=x").unwrap();
        assert_eq!(rule("tier=front*=x"), Ok(LabelRule { key: "tier".into(), value: Some(front) }));
        for wrong in ["", "=front", "tier=[a"] {
            assert!(rule(wrong).is_err(), "{wrong:?}");
        }
    }
}
