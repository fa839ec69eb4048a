//! The file of the audit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::{Entry, Wanted};
use crate::sqlite::{self, Schema};

/// A power cut may take the last entries. The tables may be there from before the file had a version.
const SCHEMA: Schema = Schema {
    tables: "
        CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, at REAL NOT NULL, structure TEXT, host TEXT, who TEXT NOT NULL, what TEXT NOT NULL);
        CREATE INDEX IF NOT EXISTS by_structure ON entries (structure, id) WHERE structure IS NOT NULL;
    ",
    version: 1,
    settings: "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -512;",
};

/// How many entries are kept.
const KEPT: i64 = 1_000_000;

/// One connection to the file.
#[derive(Clone, Debug)]
pub(super) struct Table {
    path: Arc<PathBuf>,
    connection: Arc<Mutex<Connection>>,
}

impl Table {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = sqlite::writable(path, &SCHEMA).with_context(|| format!("cannot open the audit {}", path.display()))?;
        Ok(Self { path: Arc::new(path.to_owned()), connection: Arc::new(Mutex::new(connection)) })
    }

    /// Adds entries, all or none, and lets go of the oldest beyond what is kept.
    pub(super) fn add(&mut self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection.lock();
        let add = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            {
                let mut insert =
                    transaction.prepare_cached("insert into entries (at, structure, host, who, what) values (?, ?, ?, ?, ?)")?;
                for Entry { at, structure, host, who, what } in entries {
                    insert.execute(params![at, structure, host, who, what.to_string()])?;
                }
                let newest = transaction.last_insert_rowid();
                transaction.prepare_cached("delete from entries where id <= ?")?.execute([newest - KEPT])?;
            }
            transaction.commit()
        };
        add(&mut connection).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Newest first.
    pub(super) fn find(&self, wanted: &Wanted) -> Result<Vec<Entry>> {
        let connection = self.connection.lock();
        let find = || -> rusqlite::Result<Vec<Entry>> {
            let mut query = connection.prepare_cached(
                "select at, structure, host, who, what from entries
                 where (?1 is null or structure = ?1) and (?2 is null or host = ?2) and at >= ?3 and at < ?4 order by id desc limit ?5",
            )?;
            let limit = i64::try_from(wanted.limit()).unwrap_or(100);
            let (from, to) = (wanted.from.unwrap_or(f64::MIN), wanted.to.unwrap_or(f64::MAX));
            let rows = query.query_map(params![wanted.structure, wanted.host, from, to, limit], |row| {
                let what: String = row.get(4)?;
                let what = serde_json::from_str(&what).unwrap_or(serde_json::Value::String(what));
                Ok(Entry { at: row.get(0)?, structure: row.get(1)?, host: row.get(2)?, who: row.get(3)?, what })
            })?;
            rows.collect()
        };
        find().with_context(|| format!("cannot read {}", self.path.display()))
    }
}
