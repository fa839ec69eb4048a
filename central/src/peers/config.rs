//! `[peers]`: the other centrals on the same CouchDB.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use serde::Deserialize;

/// How they find this central, and who it is to them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the others find this central. Where it listens if not given; the machine's name where that is every address.
    pub url: Option<String>,
    /// A file with the token that this central shows to the others.
    pub token_file: Option<PathBuf>,
    /// The authorities that the others' certificates may be signed by: a PEM file. The machine's if not given.
    pub ca: Option<PathBuf>,
}

impl Settings {
    /// Whether it can be meant so.
    pub fn check(&self) -> Result<()> {
        if let Some(url) = &self.url {
            let parsed = Url::parse(url).with_context(|| format!("peers.url = {url:?} is no URL"))?;
            let is_plain = ["http", "https"].contains(&parsed.scheme()) && parsed.path() == "/" && parsed.query().is_none();
            ensure!(is_plain, "peers.url = {url:?}: expected http://HOST:PORT or https://HOST:PORT");
        }
        Ok(())
    }

    /// Where the others find a central that listens there.
    pub fn url(&self, address: SocketAddr, is_tls: bool) -> String {
        if let Some(url) = &self.url {
            return url.trim_end_matches('/').to_owned();
        }
        let scheme = if is_tls { "https" } else { "http" };
        if address.ip().is_unspecified()
            && let Some(machine) = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok())
        {
            return format!("{scheme}://{machine}:{}", address.port());
        }
        format!("{scheme}://{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_find_it_where_it_listens_or_as_it_says() {
        let any: SocketAddr = "0.0.0.0:5000".parse().unwrap();
        let machine = nix::unistd::gethostname().unwrap().into_string().unwrap();
        assert_eq!(Settings::default().url("[::1]:80".parse().unwrap(), false), "http://[::1]:80");
        assert_eq!(Settings::default().url(any, true), format!("https://{machine}:5000"));
        let said = Settings { url: Some("https://c1.example.org:5000/".into()), ..Settings::default() };
        assert_eq!(said.url(any, false), "https://c1.example.org:5000");
        assert!(said.check().is_ok());
        for url in ["here", "ftp://c1", "http://c1/path"] {
            let why = Settings { url: Some(url.into()), ..Settings::default() }.check().unwrap_err().to_string();
            assert!(why.contains("peers.url"), "{why}");
        }
    }
}
