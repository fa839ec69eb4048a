//! `[couchdb]`: where it is, and who we are there.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use reqwest::Url;
use serde::Deserialize;

/// Which CouchDB, and which of its databases.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `http://` or `https://`, a host and a port. Of a cluster: any node, or what balances them.
    pub url: String,
    /// One line, `name:password`. Without the file nobody is named.
    pub credentials_file: Option<PathBuf>,
    /// What the seven databases' names begin with.
    #[serde(default)]
    pub prefix: String,
}

impl Settings {
    /// Whether it can be meant so.
    pub fn check(&self) -> Result<()> {
        let Self { url, prefix, .. } = self;
        let parsed = Url::parse(url).map_err(|e| anyhow::anyhow!("couchdb.url = {url:?} is no URL: {e}"))?;
        ensure!(
            ["http", "https"].contains(&parsed.scheme()) && parsed.has_host(),
            "couchdb.url = {url:?}: expected http://HOST:PORT or https://HOST:PORT"
        );
        let is_named = !parsed.username().is_empty() || parsed.password().is_some();
        ensure!(!is_named, "couchdb.url has a name or a password in it: they belong into couchdb.credentials_file");
        let has_more = parsed.path() != "/" || parsed.query().is_some();
        ensure!(!has_more, "couchdb.url = {url:?}: expected nothing after the port");
        let begins = prefix.chars().next().is_none_or(|first| first.is_ascii_lowercase());
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        ensure!(
            begins && prefix.chars().all(is_plain),
            "couchdb.prefix = {prefix:?}: expected a small letter, then small letters, digits, _ and -"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, prefix: &str) -> Result<()> {
        Settings { url: url.into(), credentials_file: None, prefix: prefix.into() }.check()
    }

    #[test]
    fn what_cannot_be_meant_says_why() {
        for (url, prefix) in
            [("http://127.0.0.1:5984", ""), ("https://db.example.org/", "headroom_"), ("http://[::1]:5984", "a-1_")]
        {
            assert!(check(url, prefix).is_ok(), "{url} {prefix}");
        }
        let table = [
            ("here", "", "is no URL"),
            ("ftp://db:21", "", "expected http://"),
            ("http://ann:secret@db:5984", "", "credentials_file"),
            ("http://db:5984/couch", "", "nothing after the port"),
            ("http://db:5984", "Big", "small letter"),
            ("http://db:5984", "1x", "small letter"),
            ("http://db:5984", "a/b", "small letter"),
        ];
        for (url, prefix, why) in table {
            let said = check(url, prefix).unwrap_err().to_string();
            assert!(said.contains(why) && !said.contains("secret"), "{said}");
        }
    }
}
