//! The file's tables, and how connections to it are set up.

use std::path::Path;

use rusqlite::Connection;

use crate::sqlite::{self, OpenError, Schema};
use crate::store::StoreError;

/// What is answered survives a power cut.
const SCHEMA: Schema = Schema { tables: TABLES, version: 1, settings: "PRAGMA synchronous = FULL; PRAGMA cache_size = -1024;" };

/// `revision` is the number of the document's last write, over all databases. `forgotten` in `feed`: deletions up to there are not told
/// any more.
const TABLES: &str = "
    CREATE TABLE documents (
        database TEXT NOT NULL,
        id TEXT NOT NULL,
        revision INTEGER NOT NULL,
        body TEXT,
        PRIMARY KEY (database, id)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX documents_by_revision ON documents (revision);
    CREATE TABLE feed (one INTEGER PRIMARY KEY CHECK (one = 1), forgotten INTEGER NOT NULL);
    INSERT INTO feed VALUES (1, 0);
";

/// To write: makes what is not there. Refuses a file of another version.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    sqlite::writable(path, &SCHEMA).map_err(|e| {
        let why = format!("{}: {e}", path.display());
        match e {
            OpenError::Version { .. } => StoreError::Refused(why),
            OpenError::Sqlite(_) => StoreError::Unreachable(why),
        }
    })
}

/// To read.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    sqlite::readable(path, 256)
}
