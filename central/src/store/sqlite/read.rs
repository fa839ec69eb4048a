//! Questions to the file.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::store::{Body, Change, Database, Document, Rev};

pub(super) fn one(connection: &Connection, database: Database, id: &str) -> rusqlite::Result<Option<Document>> {
    let sql = "SELECT id, revision, body FROM documents WHERE database = ? AND id = ? AND body IS NOT NULL";
    connection.prepare_cached(sql)?.query_row(params![database.name(), id], |row| document(row, 0)).optional()
}

pub(super) fn page(
    connection: &Connection,
    database: Database,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<Document>> {
    let sql = "SELECT id, revision, body FROM documents
        WHERE database = ?1 AND (?2 IS NULL OR id > ?2) AND body IS NOT NULL ORDER BY id LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection.prepare_cached(sql)?.query_map(params![database.name(), after, limit], |row| document(row, 0))?.collect()
}

/// The number of the last write.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT COALESCE(MAX(revision), 0) FROM documents")?.query_row([], |row| row.get(0))
}

/// What was written after `since`, and the number of the last of it. `None` where that is not known any more.
pub(super) fn changes(connection: &Connection, since: i64, limit: usize) -> rusqlite::Result<Option<(Vec<Change>, i64)>> {
    // One transaction: nothing is forgotten between the two questions.
    let transaction = connection.unchecked_transaction()?;
    let forgotten: i64 = transaction.prepare_cached("SELECT forgotten FROM feed")?.query_row([], |row| row.get(0))?;
    if since < forgotten || since > end(&transaction)? {
        return Ok(None);
    }
    let sql = "SELECT database, id, revision, body FROM documents WHERE revision > ? ORDER BY revision LIMIT ?";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query(params![since, limit])?;
    let (mut changes, mut last) = (Vec::new(), since);
    while let Some(row) = rows.next()? {
        last = row.get(2)?;
        // A database that this version does not know is another's.
        if let Some(database) = known(&row.get::<_, String>(0)?) {
            let is_there = row.get_ref(3)?.data_type() != Type::Null;
            let document = if is_there { Some(document(row, 1)?) } else { None };
            changes.push(Change { database, id: row.get(1)?, document });
        }
    }
    Ok(Some((changes, last)))
}

fn known(name: &str) -> Option<Database> {
    Database::ALL.into_iter().find(|database| database.name() == name)
}

/// From the columns id, revision, body.
fn document(row: &Row<'_>, first: usize) -> rusqlite::Result<Document> {
    let revision: i64 = row.get(first + 1)?;
    let text = row.get_ref(first + 2)?.as_str()?;
    let body: Body =
        serde_json::from_str(text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(first + 2, Type::Text, Box::new(e)))?;
    Ok(Document { id: row.get(first)?, rev: Rev(revision.to_string()), body })
}
