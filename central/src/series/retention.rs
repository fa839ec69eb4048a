//! What goes: what is too old, and what there is no room for.

use rusqlite::{Connection, params};

use super::compaction::packed_until;
use super::config::Settings;
use super::schema::{HOUR_MS, Table, ends, place};

/// How many rows go in one step, so that no transaction takes long: an hour's rows of thousands of owners go over several.
const ROWS: i64 = 2000;

/// How many pages of an over-large file are given back in one step.
const PAGES: i64 = 1000;

/// Owners that had no sample for so many hours beyond all that is kept are forgotten.
const FORGET_AFTER: i64 = 48;

/// Does one step at a time in ms. False when there was nothing to do.
pub(super) fn step(connection: &mut Connection, settings: &Settings, now: i64) -> rusqlite::Result<bool> {
    let transaction = connection.transaction()?;
    let hour = now.div_euclid(HOUR_MS);
    let before = |keep: std::time::Duration| hour - i64::try_from(keep.as_secs() / 3600).unwrap_or(i64::MAX >> 32).min(hour);
    let mut gone = 0;
    for (table, bound) in [
        (Table::Fresh, packed_until(&transaction, now)?),
        (Table::Raw, before(settings.keep_raw)),
        (Table::Minutes, before(settings.keep_minutes)),
        (Table::Hours, before(settings.keep_hours)),
    ] {
        gone += delete(&transaction, table, bound)?;
    }
    if gone == 0 && is_too_large(&transaction, settings.max_size)? {
        gone += make_room(&transaction)?;
    }
    let longest = settings.keep_raw.max(settings.keep_minutes).max(settings.keep_hours);
    let forgotten = transaction.execute(
        "DELETE FROM owners WHERE id IN (SELECT id FROM owners WHERE seen < ?1 LIMIT ?2)",
        params![before(longest) - FORGET_AFTER, ROWS],
    )?;
    transaction.commit()?;
    // Pages that are not used are used again; only where the file has outgrown its bound are they given back.
    let shrunk = size(connection)? > settings.max_size && free_pages(connection)? > 0;
    if shrunk {
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    }
    Ok(gone > 0 || forgotten > 0 || shrunk)
}

fn delete(connection: &Connection, table: Table, before: i64) -> rusqlite::Result<usize> {
    let table = table.name();
    let sql = format!("DELETE FROM {table} WHERE place IN (SELECT place FROM {table} WHERE place < ?1 ORDER BY place LIMIT ?2)");
    connection.prepare_cached(&sql)?.execute(params![place(before, 0), ROWS])
}

/// The oldest samples go, but not those of the last hour while there is anything else; then the oldest minutes; then hours.
fn make_room(connection: &Connection) -> rusqlite::Result<usize> {
    for spare in [1, 0] {
        for table in [Table::Raw, Table::Minutes, Table::Hours, Table::Fresh] {
            if let Some((first, last)) = ends(connection, table)?
                && first + spare <= last
            {
                return delete(connection, table, first + 1);
            }
        }
    }
    Ok(0)
}

fn is_too_large(connection: &Connection, most: u64) -> rusqlite::Result<bool> {
    Ok(size(connection)?.saturating_sub(free_pages(connection)?.saturating_mul(page_size(connection)?)) > most)
}

/// Of the file, in bytes.
pub(super) fn size(connection: &Connection) -> rusqlite::Result<u64> {
    let pages: u64 = number(connection, "page_count")?;
    Ok(pages.saturating_mul(page_size(connection)?))
}

fn page_size(connection: &Connection) -> rusqlite::Result<u64> {
    number(connection, "page_size")
}

fn free_pages(connection: &Connection) -> rusqlite::Result<u64> {
    number(connection, "freelist_count")
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map(|n| u64::try_from(n).unwrap_or_default())
}
