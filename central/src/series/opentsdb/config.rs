//! `[opentsdb]` of `central.toml`.

use serde::Deserialize;

use crate::series::config::size;

/// Where OpenTSDB is, and what is sent there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its HTTP interface: `http://tsdb:4242`.
    pub url: String,
    /// Whether the agents' raw series go there too: `proc.cpu.user` and so on, tagged with the container as `host`.
    #[serde(default)]
    pub raw_feed: bool,
    /// The most that waits for an OpenTSDB that does not take it, in compressed bytes. The oldest goes first.
    #[serde(default = "max_waiting", deserialize_with = "size")]
    pub max_waiting: u64,
}

fn max_waiting() -> u64 {
    64 << 20
}
