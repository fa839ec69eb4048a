//! The file: what is in it, and how it is opened.
//!
//! A row of `fresh`, `raw`, `minutes` and `hours` is one owner's chunks ([`super::packing`]) of one minute (fresh) or hour. Its key is the number of
//! that minute or hour since the epoch, then the owner's: so what is written at one time lies together, is written in order, and goes in
//! order.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Owner, SeriesError};
use crate::sqlite::{self, Schema};

/// A power cut may take the last seconds of series; it never damages the file.
const SCHEMA: Schema = Schema {
    tables: TABLES,
    version: 1,
    settings: "
        PRAGMA page_size = 8192;
        PRAGMA auto_vacuum = INCREMENTAL;
        PRAGMA synchronous = NORMAL;
        PRAGMA cache_size = -1024;
        PRAGMA journal_size_limit = 33554432;
    ",
};

const TABLES: &str = "
    CREATE TABLE owners (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL, seen INTEGER NOT NULL, UNIQUE (kind, name));
    CREATE TABLE fresh (place INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE raw (place INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE minutes (place INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE hours (place INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE progress (done INTEGER NOT NULL);
    INSERT INTO progress VALUES (0);
";

/// A table of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// By minute, as it was buffered.
    Fresh,
    /// Samples, by hour.
    Raw,
    /// Rolled up to minutes, by hour.
    Minutes,
    /// Rolled up to hours, by hour.
    Hours,
}

impl Table {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Raw => "raw",
            Self::Minutes => "minutes",
            Self::Hours => "hours",
        }
    }
}

pub(super) const MINUTE_MS: i64 = 60_000;
pub(super) const HOUR_MS: i64 = 3_600_000;

/// A fresh row's samples end at most so many minutes after the minute it is filed under.
pub(super) const SPAN: i64 = 5;

/// A row's key.
pub(super) const fn place(time: i64, owner: u32) -> i64 {
    (time << 32) | owner as i64
}

/// Opens the file for the one who writes it; makes it where there is none.
pub(super) fn writable(path: &Path) -> Result<Connection, SeriesError> {
    sqlite::writable(path, &SCHEMA).map_err(|e| SeriesError::Unreachable(format!("{}: {e}", path.display())))
}

/// Opens the file for one who reads.
pub(super) fn readable(path: &Path) -> rusqlite::Result<Connection> {
    sqlite::readable(path, 2048)
}

pub(super) fn unreachable(path: &Path, error: &rusqlite::Error) -> SeriesError {
    SeriesError::Unreachable(format!("{}: {error}", path.display()))
}

/// An owner's number.
pub(super) fn id(connection: &Connection, owner: &Owner) -> rusqlite::Result<Option<u32>> {
    let mut found = connection.prepare_cached("SELECT id FROM owners WHERE kind = ?1 AND name = ?2")?;
    found.query_row(params![owner.kind as u8, &*owner.name], |row| row.get(0)).optional()
}

/// The chunks at a place.
pub(super) fn cell(connection: &Connection, table: Table, place: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut found = connection.prepare_cached(&format!("SELECT data FROM {} WHERE place = ?1", table.name()))?;
    found.query_row([place], |row| row.get(0)).optional()
}

/// The time of the first and of the last row.
pub(super) fn ends(connection: &Connection, table: Table) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut first = connection.prepare_cached(&format!("SELECT min(place) >> 32 FROM {}", table.name()))?;
    let mut last = connection.prepare_cached(&format!("SELECT max(place) >> 32 FROM {}", table.name()))?;
    let first: Option<i64> = first.query_row([], |row| row.get(0))?;
    let last: Option<i64> = last.query_row([], |row| row.get(0))?;
    Ok(first.zip(last))
}
