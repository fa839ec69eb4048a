//! `central.toml`: TOML in, checked settings out. The only code that reads files of settings and the environment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use headroom_model::duration::seconds;
use headroom_model::profile::Profile;
use serde::{Deserialize, Deserializer};

use crate::series::Place;
use crate::store::CouchSettings;

/// Everything that `central.toml` can say. `configs/central.toml` comments each key.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the Orchestrator API is served.
    pub listen: SocketAddr,
    /// Where the State Database is.
    pub store: Store,
    /// `[couchdb]`
    pub couchdb: Option<CouchSettings>,
    /// The embedded State Database, series, accounts and tokens.
    pub state_dir: PathBuf,
    /// The rules and settings that a new State Database is given.
    pub profile: Profile,
    /// Allow everybody in off loopback, without tokens.
    pub insecure: bool,
    /// Host names that are answered, beside loopback's, this machine's and every address.
    pub allowed_hosts: Vec<String>,
    /// A host that has not reported for so long is quiet.
    #[serde(deserialize_with = "duration")]
    pub quiet_after: Duration,
    /// `[tls]`
    pub tls: Option<Tls>,
    /// `[peers]`
    pub peers: crate::peers::Settings,
    /// Where time series are kept.
    pub time_series: Place,
    /// `[opentsdb]`
    pub opentsdb: Option<crate::series::OpenTsdbSettings>,
    /// `[series]`
    pub series: crate::series::Settings,
    /// `[accounting]`
    pub accounting: crate::accounting::Prices,
}

/// Where documents are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// In the state directory.
    #[default]
    Embedded,
    /// In the `CouchDB` that `[couchdb]` names.
    #[value(name = "couchdb")]
    CouchDb,
}

/// `[tls]`: PEM files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate, with those between it and the authority that agents trust.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000),
            store: Store::default(),
            couchdb: None,
            state_dir: usual_state_dir(),
            profile: Profile::default(),
            insecure: false,
            allowed_hosts: Vec::new(),
            quiet_after: Duration::from_secs(15),
            tls: None,
            peers: crate::peers::Settings::default(),
            time_series: Place::default(),
            opentsdb: None,
            series: crate::series::Settings::default(),
            accounting: crate::accounting::Prices::default(),
        }
    }
}

impl Config {
    /// Reads a file; without one everything is as it is by default.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not understood", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        // Its errors show the line and what would be right.
        let config: Self = toml::from_str(text)?;
        let least = Duration::from_secs(1);
        ensure!(config.quiet_after >= least, "quiet_after is {:?}, expected at least {least:?}", config.quiet_after);
        ensure!(
            config.time_series != Place::OpenTsdb || config.opentsdb.is_some(),
            "time_series is \"opentsdb\", but there is no [opentsdb] with its url"
        );
        config.peers.check()?;
        if let Some(couchdb) = &config.couchdb {
            couchdb.check()?;
        }
        let is_known = config.store != Store::CouchDb || config.couchdb.is_some();
        ensure!(is_known, "store = \"couchdb\", and no [couchdb] says where that is: expected its url and credentials_file");
        Ok(config)
    }

    /// Whether anybody who can reach the listener may be let in without a token.
    pub fn is_open(&self) -> bool {
        self.insecure || self.listen.ip().is_loopback()
    }
}

/// The state directory of a unit, where the service manager says which (`STATE_DIRECTORY`), else the default.
fn usual_state_dir() -> PathBuf {
    let given = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty());
    given.map_or_else(|| PathBuf::from("/var/lib/headroom-central"), PathBuf::from)
}

/// Where `headroomctl` looks for central and its token when no option says so: `HEADROOM_CENTRAL`, `HEADROOM_TOKEN_FILE`.
pub fn from_environment(key: &str) -> Option<String> {
    std::env::var(key).ok().filter(|value| !value.is_empty())
}

/// A number of seconds, or a text with a unit: `"500ms"`, `"15s"`, `"5min"`, `"1h"`, `"2d"`.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    use serde::de::Error as _;
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Spelt {
        Seconds(f64),
        Text(String),
    }
    let expected = "a number of seconds, or a text with a unit such as \"500ms\", \"15s\", \"5min\", \"1h\", \"2d\"";
    let spelt = Spelt::deserialize(deserializer).map_err(|_unlike_both| D::Error::custom(format_args!("expected {expected}")))?;
    let seconds = match &spelt {
        Spelt::Seconds(seconds) => Some(*seconds),
        Spelt::Text(text) => seconds(text),
    };
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| match spelt {
        Spelt::Seconds(seconds) => D::Error::custom(format_args!("{seconds} is no length of time, expected {expected}")),
        Spelt::Text(text) => D::Error::custom(format_args!("{text:?} is no length of time, expected {expected}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commented_file_says_the_defaults() {
        let config = Config::parse(include_str!("../../configs/central.toml")).unwrap();
        let default = Config { state_dir: "/var/lib/headroom-central".into(), ..Config::default() };
        assert_eq!(format!("{config:?}"), format!("{default:?}"));
    }

    #[test]
    fn what_is_wrong_is_shown_with_its_line() {
        let says = |text: &str| format!("{:#}", Config::parse(text).unwrap_err());
        assert!(says("\nlisten = \"here\"").contains("line 2"), "{}", says("\nlisten = \"here\""));
        assert!(says("lisen = 1").contains("lisen"));
        assert!(says("quiet_after = \"5 weeks\"").contains("no length of time"));
        assert!(says("quiet_after = 0.5").contains("at least 1s"));
        assert!(says("profile = \"fast\"").contains("classic"));
        assert!(says("time_series = \"opentsdb\"").contains("no [opentsdb]"));
        assert!(says("store = \"sqlite\"").contains("embedded"));
        assert!(says("store = \"couchdb\"").contains("no [couchdb]"));
        assert!(says("store = \"couchdb\"\n[couchdb]\nurl = \"here\"").contains("no URL"));
    }

    #[test]
    fn couchdb_is_said_in_a_table() {
        let text = "store = \"couchdb\"\n[couchdb]\nurl = \"http://db:5984\"\ncredentials_file = \"/c\"\nprefix = \"h_\"";
        let config = Config::parse(text).unwrap();
        let couchdb = config.couchdb.unwrap();
        assert_eq!((config.store, couchdb.credentials_file, couchdb.prefix), (Store::CouchDb, Some("/c".into()), "h_".into()));
    }
}
