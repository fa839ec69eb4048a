//! The file's tables, and how connections to it are set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::unreachable;
use crate::store::StoreError;

/// How long a writer waits for another process's.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of the file each connection keeps in memory, in KiB.
const CACHE: i64 = 1024;

/// The version of these tables. A later one changes what an earlier one left.
const VERSION: i64 = 1;

/// `revision` is the number of the document's last write, over all databases. `forgotten` in `feed`: deletions up to there are not told
/// any more.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS documents (
        database TEXT NOT NULL,
        id TEXT NOT NULL,
        revision INTEGER NOT NULL,
        body TEXT,
        PRIMARY KEY (database, id)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX IF NOT EXISTS documents_by_revision ON documents (revision);
    CREATE TABLE IF NOT EXISTS feed (one INTEGER PRIMARY KEY CHECK (one = 1), forgotten INTEGER NOT NULL);
    INSERT OR IGNORE INTO feed VALUES (1, 0);
";

/// To write: makes what is not there. Refuses a file that a later version wrote.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let (connection, version) = made(path).map_err(|e| StoreError::Unreachable(format!("{}: {e}", path.display())))?;
    if version > VERSION {
        let found = format!("{} has tables of version {version}, and this program knows those up to {VERSION}", path.display());
        return Err(StoreError::Refused(format!("{found}: use the program that wrote it, or a newer one")));
    }
    connection.pragma_update(None, "user_version", VERSION).map_err(|e| unreachable(&e))?;
    Ok(connection)
}

fn made(path: &Path) -> rusqlite::Result<(Connection, i64)> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > VERSION {
        return Ok((connection, version));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    connection.execute_batch(TABLES)?;
    Ok((connection, version))
}

/// To read.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    Ok(connection)
}
