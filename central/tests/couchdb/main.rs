//! A real central on CouchDB: its command line, documents that others edit, faults between the two.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "tests; several share a bed")]

#[path = "../ctl/bed.rs"]
mod bed;
mod coalescing;
mod commands;
mod edits;
mod faults;
mod proxy;
mod server;
mod several;

use bed::Central;
use serde_json::Value;
use server::Databases;

/// What central's settings say of these databases.
pub(crate) fn settings(databases: &Databases<'_>) -> String {
    settings_at(databases, &databases.settings.url)
}

/// The same by way of another URL.
pub(crate) fn settings_at(databases: &Databases<'_>, url: &str) -> String {
    let (prefix, file) = (&databases.settings.prefix, databases.settings.credentials_file.as_ref().unwrap().display());
    format!("[couchdb]\nurl = '{url}'\ncredentials_file = '{file}'\nprefix = '{prefix}'\n")
}

/// A central whose store is CouchDB.
pub(crate) fn start(directory: &std::path::Path, databases: &Databases<'_>) -> Central {
    Central::start(directory, &format!("store = 'couchdb'\n{}", settings(databases)))
}

/// Edits a document as a person would: reads it, changes it, writes it back.
pub(crate) fn edit(databases: &Databases<'_>, path: &str, change: impl Fn(&mut Value)) {
    for _ in 0..50 {
        let (_, mut document) = databases.curl("GET", path, None);
        change(&mut document);
        match databases.curl("PUT", path, Some(&document)).0 {
            201 | 202 => return,
            // Central writes heartbeats meanwhile.
            status => assert_eq!(status, 409, "{path}"),
        }
    }
    panic!("{path} is written all the time");
}
