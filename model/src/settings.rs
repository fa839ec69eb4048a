//! Service settings: documents in `services`, changed on the fly.
//!
//! A known key with a value that makes no sense is refused when it is set; keys that nobody knows are stored as they are.

use serde_json::{Value, json};

use crate::documents::Rest;
use crate::number;
use crate::resource::Resource;

mod keys;

pub use keys::Expected;

/// The services that have settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Judges windows.
    Guardian,
    /// Changes limits.
    Scaler,
    /// Writes the structures' `current`.
    StructuresSnapshoter,
    /// Writes time series.
    DatabaseSnapshoter,
    /// Writes applications' and users' `usage`.
    Refeeder,
}

/// A value that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{service}.{key} is {value}, expected {expected}")]
pub struct SettingError {
    /// The service's name.
    pub service: &'static str,
    /// The key.
    pub key: String,
    /// What was to be set.
    pub value: Value,
    /// What would be right.
    pub expected: String,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Guardian, Self::Scaler, Self::StructuresSnapshoter, Self::DatabaseSnapshoter, Self::Refeeder];

    /// The name of its document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guardian => "guardian",
            Self::Scaler => "scaler",
            Self::StructuresSnapshoter => "structures_snapshoter",
            Self::DatabaseSnapshoter => "database_snapshoter",
            Self::Refeeder => "refeeder",
        }
    }

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Every key that it knows with its default: the classic profile's `config`.
    pub fn defaults(self) -> Rest {
        self.keys().iter().map(|(key, expected, default)| ((*key).to_owned(), expected.parse(default))).collect()
    }

    /// Checks one value and answers it as it is to be stored: `"75"` becomes 75. Keys that nobody knows pass as they are.
    pub fn check(self, key: &str, value: &Value) -> Result<Value, SettingError> {
        let Some((_, expected, _)) = self.keys().iter().find(|(known, ..)| *known == key) else { return Ok(value.clone()) };
        expected.check(value).ok_or_else(|| SettingError {
            service: self.name(),
            key: key.to_owned(),
            value: value.clone(),
            expected: expected.to_string(),
        })
    }

    /// The value of a key: what `config` has, if that makes sense, else the default.
    fn value(self, config: &Rest, key: &str) -> Result<Value, SettingError> {
        match config.get(key) {
            Some(value) => self.check(key, value),
            None => Ok(self.defaults().remove(key).unwrap_or(Value::Null)),
        }
    }

    fn number(self, config: &Rest, key: &str) -> Result<f64, SettingError> {
        self.value(config, key).map(|v| number::lenient(&v).unwrap_or_default())
    }

    fn flag(self, config: &Rest, key: &str) -> Result<bool, SettingError> {
        self.value(config, key).map(|v| v == json!(true))
    }
}

/// What the Guardian judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guards {
    /// Each container.
    Containers,
    /// Applications, by their totals.
    Applications,
}

/// The Guardian's settings. Times in s.
#[derive(Clone, Debug, PartialEq)]
pub struct Guardian {
    /// Whether it makes requests.
    pub active: bool,
    /// Length of a window.
    pub window: f64,
    /// How long after its end a window is judged.
    pub delay: f64,
    /// How long an event counts.
    pub event_timeout: f64,
    /// Which resources may be guarded at all.
    pub guardable: Vec<Resource>,
    /// What is judged.
    pub guards: Guards,
    /// Whether a window that raised the limit is judged again.
    pub rejudge: bool,
    /// For how long after a change a limit is not lowered.
    pub cooldown: f64,
}

impl Guardian {
    /// Reads a document's `config`; missing keys have their defaults.
    pub fn read(config: &Rest) -> Result<Self, SettingError> {
        const S: Service = Service::Guardian;
        let resources = S.value(config, "GUARDABLE_RESOURCES")?;
        let names = resources.as_array().map_or(&[][..], Vec::as_slice);
        Ok(Self {
            active: S.flag(config, "ACTIVE")?,
            window: S.number(config, "WINDOW_TIMELAPSE")?,
            delay: S.number(config, "WINDOW_DELAY")?,
            event_timeout: S.number(config, "EVENT_TIMEOUT")?,
            guardable: names.iter().filter_map(|n| n.as_str()?.parse().ok()).collect(),
            guards: if S.value(config, "STRUCTURE_GUARDED")? == json!("application") {
                Guards::Applications
            } else {
                Guards::Containers
            },
            rejudge: S.flag(config, "REJUDGE")?,
            cooldown: S.number(config, "COOLDOWN")?,
        })
    }
}

/// The Scaler's settings. Times in s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaler {
    /// Whether it writes.
    pub active: bool,
    /// How often it looks for requests of others.
    pub polling: f64,
    /// Requests older than this are dropped.
    pub request_timeout: f64,
    /// Whether what others changed is put right.
    pub check_core_map: bool,
}

impl Scaler {
    /// Reads a document's `config`; missing keys have their defaults.
    pub fn read(config: &Rest) -> Result<Self, SettingError> {
        const S: Service = Service::Scaler;
        Ok(Self {
            active: S.flag(config, "ACTIVE")?,
            polling: S.number(config, "POLLING_FREQUENCY")?,
            request_timeout: S.number(config, "REQUEST_TIMEOUT")?,
            check_core_map: S.flag(config, "CHECK_CORE_MAP")?,
        })
    }
}

#[cfg(test)]
mod tests;
