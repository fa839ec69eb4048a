//! `[series]` of `central.toml`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::config::duration;

/// Where series are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In a file of the state directory.
    #[default]
    Embedded,
    /// In OpenTSDB.
    OpenTsdb,
}

/// For how long series are kept, and how large they may get. The oldest go first, and of these samples before minutes before hours.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Samples, as they were taken.
    #[serde(deserialize_with = "duration")]
    pub keep_raw: Duration,
    /// Means over a minute.
    #[serde(deserialize_with = "duration")]
    pub keep_minutes: Duration,
    /// Means over an hour.
    #[serde(deserialize_with = "duration")]
    pub keep_hours: Duration,
    /// The most that the file may hold, in bytes.
    #[serde(deserialize_with = "size")]
    pub max_size: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { keep_raw: 2 * day, keep_minutes: 14 * day, keep_hours: 400 * day, max_size: 4 << 30 }
    }
}

/// A number of bytes, or a text with a unit: `"512MiB"`, `"4GiB"`.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    use serde::de::Error as _;
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Spelt {
        Bytes(u64),
        Text(String),
    }
    let expected = "a number of bytes, or a text with a unit such as \"512MiB\" or \"4GiB\"";
    match Spelt::deserialize(deserializer).map_err(|e| D::Error::custom(format_args!("{e}; expected {expected}")))? {
        Spelt::Bytes(bytes) => Ok(bytes),
        Spelt::Text(text) => {
            bytes(&text).ok_or_else(|| D::Error::custom(format_args!("{text:?} is no size, expected {expected}")))
        }
    }
}

fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [("1KiB", 1024), ("512 MiB", 512 << 20), ("4GiB", 4 << 30), ("1TiB", 1 << 40)] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for not in ["", "5", "GiB", "5GB", "-1GiB", "99999999999TiB"] {
            assert_eq!(bytes(not), None, "{not}");
        }
    }

    #[test]
    fn a_file_says_what_differs() {
        let settings: Settings = serde_json::from_str(r#"{"keep_raw": "12h", "max_size": 1000000}"#).unwrap();
        let expected = Settings { keep_raw: Duration::from_hours(12), max_size: 1_000_000, ..Settings::default() };
        assert_eq!(settings, expected);
        let error = serde_json::from_str::<Settings>(r#"{"max_size": "much"}"#).unwrap_err().to_string();
        assert!(error.contains("\"much\" is no size") && error.contains("4GiB"), "{error}");
        assert!(serde_json::from_str::<Settings>(r#"{"keep": 1}"#).is_err());
    }
}
