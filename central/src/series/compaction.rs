//! Finished hours: sixty chunks an owner become one, and are rolled up.
//!
//! Some owners at a time, so that no transaction takes long. An hour that was left half done is begun again: the same rows come out.

use rusqlite::{Connection, params};

use super::cells::Cells;
use super::packing::{Damaged, Packer, Unpacker, join, split};
use super::rollup::Steps;
use super::schema::{HOUR_MS, MINUTE_MS, SPAN, Table, cell, place};

/// How many owners' numbers are gone through in one step.
const OWNERS: u32 = 100;

/// An hour is taken to be written down so long after its end, in ms.
const GRACE_MS: i64 = (SPAN + 1) * MINUTE_MS;

/// The hour that is being packed.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    hour: Option<i64>,
    after: u32,
}

impl Compaction {
    /// Does some of what is to be done at a time in ms. False when there is nothing more.
    pub(super) fn step(&mut self, connection: &mut Connection, now: i64) -> rusqlite::Result<bool> {
        let Some(hour) = self.hour.map_or_else(|| next(connection, now), |hour| Ok(Some(hour)))? else { return Ok(false) };
        self.hour = Some(hour);
        let transaction = connection.transaction()?;
        let most: Option<u32> = transaction.query_row("SELECT max(id) FROM owners", [], |row| row.get(0))?;
        pack(&transaction, hour, self.after)?;
        let after = self.after.saturating_add(OWNERS);
        let is_done = most.is_none_or(|most| after >= most);
        if is_done {
            transaction.execute("UPDATE progress SET done = ?1", [hour])?;
        }
        transaction.commit()?;
        (self.hour, self.after) = if is_done { (None, 0) } else { (Some(hour), after) };
        Ok(true)
    }

    /// What failed is begun again.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Minutes before this one are packed.
pub(super) fn packed_until(connection: &Connection, now: i64) -> rusqlite::Result<i64> {
    Ok((done(connection, now)? + 1) * 60 - SPAN)
}

/// The last hour that is packed. One that is not over yet is not: the clock was set back, and the hours from now on are to be packed again.
fn done(connection: &Connection, now: i64) -> rusqlite::Result<i64> {
    let done: i64 = connection.prepare_cached("SELECT done FROM progress")?.query_row([], |row| row.get(0))?;
    let over = now.div_euclid(HOUR_MS) - 1;
    if done > over {
        connection.execute("UPDATE progress SET done = ?1", [over])?;
    }
    Ok(done.min(over))
}

fn next(connection: &Connection, now: i64) -> rusqlite::Result<Option<i64>> {
    let mut first = connection.prepare_cached("SELECT min(place) >> 32 FROM fresh WHERE place >= ?1")?;
    let first: Option<i64> = first.query_row([place(packed_until(connection, now)?, 0)], |row| row.get(0))?;
    let Some(first) = first else { return Ok(None) };
    let hour = first.div_euclid(60).max(done(connection, now)? + 1);
    Ok(((hour + 1) * HOUR_MS + GRACE_MS <= now).then_some(hour))
}

fn pack(connection: &Connection, hour: i64, after: u32) -> rusqlite::Result<()> {
    let mut of_minute =
        connection.prepare_cached("SELECT place & 4294967295, data FROM fresh WHERE place > ?1 AND place <= ?2")?;
    let mut fresh: std::collections::BTreeMap<u32, Vec<Vec<u8>>> = std::collections::BTreeMap::new();
    for minute in hour * 60 - SPAN..(hour + 1) * 60 {
        let mut rows = of_minute.query([place(minute, after), place(minute, after.saturating_add(OWNERS))])?;
        while let Some(row) = rows.next()? {
            fresh.entry(row.get(0)?).or_default().push(row.get(1)?);
        }
    }
    let mut rows = Vec::new();
    for (owner, cells) in fresh {
        rows.clear();
        // There is one where the hour is packed again.
        let before = cell(connection, Table::Raw, place(hour, owner))?;
        for cell in before.iter().chain(&cells) {
            if read(cell, hour, &mut rows).is_err() {
                tracing::error!(owner, hour, "some of an hour's series cannot be read and are lost");
            }
        }
        rows.sort_by_key(|(at, _)| *at);
        rows.dedup_by_key(|(at, _)| *at);
        if !rows.is_empty() {
            write(connection, hour, owner, &rows)?;
        }
    }
    Ok(())
}

/// Those rows of a cell that are of this hour.
fn read(cell: &[u8], hour: i64, rows: &mut Vec<(i64, Cells)>) -> Result<(), Damaged> {
    for chunk in split(cell) {
        let mut chunk = Unpacker::new(chunk?);
        while let Some((at, cells)) = chunk.advance()? {
            if at.div_euclid(HOUR_MS) == hour {
                rows.push((at, cells.clone()));
            }
        }
    }
    Ok(())
}

fn write(connection: &Connection, hour: i64, owner: u32, rows: &[(i64, Cells)]) -> rusqlite::Result<()> {
    let (mut raw, mut minutes, mut hours) = (Packer::default(), Packer::default(), Packer::default());
    let mut by_minute = Steps::new(MINUTE_MS, |at, row: &Cells| minutes.push(at, row));
    let mut by_hour = Steps::new(HOUR_MS, |at, row: &Cells| hours.push(at, row));
    for (at, row) in rows {
        raw.push(*at, row);
        by_minute.add(*at, row);
        by_hour.add(*at, row);
    }
    by_minute.finish();
    by_hour.finish();
    for (table, mut packer) in [(Table::Raw, raw), (Table::Minutes, minutes), (Table::Hours, hours)] {
        let mut cell = Vec::new();
        join(&mut cell, &packer.take());
        let sql = format!("INSERT OR REPLACE INTO {} VALUES (?1, ?2)", table.name());
        connection.prepare_cached(&sql)?.execute(params![place(hour, owner), cell])?;
    }
    connection.prepare_cached("UPDATE owners SET seen = ?2 WHERE id = ?1")?.execute(params![owner, hour])?;
    Ok(())
}
