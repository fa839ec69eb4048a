//! SQLite files: how each of central's is opened. What is in one, and how durable it is, its own module says.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// How long one waits for another process's transaction, where the file's own settings do not say otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is in a file.
pub(crate) struct Schema {
    /// Statements that make the tables in a new file.
    pub(crate) tables: &'static str,
    /// In the file's `user_version`. Bumped when older programs must not write the file any more.
    pub(crate) version: i64,
    /// Pragmas of a connection that writes, beside the write-ahead log: `synchronous` above all.
    pub(crate) settings: &'static str,
}

/// Why a file is not opened. Which one it is says who asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It cannot be reached, or is no database.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Another program wrote it.
    #[error(
        "it is of version {found}, and this program knows version {known}: use the program that wrote it, or move it away to begin anew"
    )]
    Version { found: i64, known: i64 },
}

/// Opens a file for the one who writes it; makes it where there is none. One of another version is left as it is.
pub(crate) fn writable(path: &Path, schema: &Schema) -> Result<Connection, OpenError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    let known = schema.version;
    let found = version(&connection)?;
    if found != 0 && found != known {
        return Err(OpenError::Version { found, known });
    }
    // How its pages are laid out has to be said before the log is switched on.
    connection.execute_batch(schema.settings)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    if found == 0 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have made the tables meanwhile.
        if version(&transaction)? == 0 {
            transaction.execute_batch(schema.tables)?;
            transaction.pragma_update(None, "user_version", known)?;
        }
        transaction.commit()?;
    }
    Ok(connection)
}

/// Opens a file for one who reads, and keeps up to so many KiB of it in memory.
pub(crate) fn readable(path: &Path, cache: i64) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cache_size", -cache)?;
    Ok(connection)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: Schema = Schema {
        tables: "CREATE TABLE things (name TEXT NOT NULL);",
        version: 3,
        settings: "PRAGMA page_size = 8192; PRAGMA busy_timeout = 1; PRAGMA synchronous = NORMAL;",
    };

    fn pragma(connection: &Connection, name: &str) -> i64 {
        connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_file_keeps_its_own_settings() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("things.db");
        for _ in ["made", "found"] {
            let connection = writable(&path, &SCHEMA).unwrap();
            let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            // 1 is NORMAL.
            let found = ["page_size", "busy_timeout", "synchronous", "user_version"].map(|name| pragma(&connection, name));
            assert_eq!((mode.as_str(), found), ("wal", [8192, 1, 1, 3]));
            connection.execute("INSERT INTO things VALUES ('one')", []).unwrap();
        }
        let reader = readable(&path, 100).unwrap();
        let things: i64 = reader.query_row("SELECT count(*) FROM things", [], |row| row.get(0)).unwrap();
        assert_eq!((things, pragma(&reader, "cache_size")), (2, -100));
        assert!(reader.execute("DELETE FROM things", []).is_err());
    }

    #[test]
    fn a_file_of_another_version_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("things.db");
        let other = Connection::open(&path).unwrap();
        for version in [2, 4] {
            other.pragma_update(None, "user_version", version).unwrap();
            let before = std::fs::read(&path).unwrap();
            let error = writable(&path, &SCHEMA).unwrap_err().to_string();
            let said = format!("it is of version {version}, and this program knows version 3");
            assert!(error.contains(&said), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }
}
