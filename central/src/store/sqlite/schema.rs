//! The file's tables, and how connections to it are set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// How long a writer waits for another process's.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of the file each connection keeps in memory, in KiB.
const CACHE: i64 = 1024;

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

/// To write: makes what is not there.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}

/// To read.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    Ok(connection)
}
