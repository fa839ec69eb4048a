//! Answers a query from the file and the buffer.
//!
//! Hour by hour: the coarsest roll-up that the wanted step is a multiple of; where that is not made yet, what is fresh; where it is not kept any
//! more, the next coarser one that is.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::cells::{Cells, unit};
use super::embedded::milliseconds;
use super::metric::{Metric, places};
use super::packing::{Damaged, Unpacker, split};
use super::rollup::Steps;
use super::schema::{HOUR_MS, MINUTE_MS, SPAN, Table, cell, ends, id, place, unreachable};
use super::{Points, Query, SeriesError};

/// The most values that one answer has.
const MOST: usize = 1_000_000;

/// What is kept of an owner for these metrics and this time. `buffered` are chunks that may not be in the file yet.
pub(super) fn read(
    connection: &mut Connection,
    query: &Query,
    buffered: &[Arc<[u8]>],
    path: &Path,
) -> Result<Points, SeriesError> {
    // All from one moment, so that what is packed meanwhile is neither missed nor seen twice.
    let mut look = || -> rusqlite::Result<Result<Points, SeriesError>> {
        let moment = connection.transaction()?;
        let reading = Reading { connection: &moment, id: id(&moment, &query.owner)?, buffered, times: Times::of(query), path };
        reading.answer(query)
    };
    look().map_err(|e| unreachable(path, &e))?
}

/// A time in whole steps, in ms.
#[derive(Clone, Copy, Debug)]
struct Times {
    from: i64,
    to: i64,
    step: i64,
}

impl Times {
    fn of(query: &Query) -> Self {
        let (from, to, step) = (milliseconds(query.from), milliseconds(query.to), milliseconds(query.step).max(0));
        if step == 0 {
            return Self { from, to, step };
        }
        Self { from: from - from.rem_euclid(step), to: to - to.rem_euclid(step) + step - 1, step }
    }

    /// The tables to look into for an hour, best first.
    fn tables(self) -> [Table; 3] {
        match self.step {
            step if step > 0 && step % HOUR_MS == 0 => [Table::Hours, Table::Minutes, Table::Raw],
            step if step > 0 && step % MINUTE_MS == 0 => [Table::Minutes, Table::Raw, Table::Hours],
            _ => [Table::Raw, Table::Minutes, Table::Hours],
        }
    }
}

struct Reading<'a> {
    connection: &'a Connection,
    id: Option<u32>,
    buffered: &'a [Arc<[u8]>],
    times: Times,
    path: &'a Path,
}

/// Takes a row at a time in ms; false when it has enough.
type Out<'a> = &'a mut dyn FnMut(i64, &Cells) -> bool;

impl Reading<'_> {
    fn answer(&self, query: &Query) -> rusqlite::Result<Result<Points, SeriesError>> {
        let mut wanted = query.metrics.iter().fold(0, |set, metric| set | metric.bit());
        if self.times.step == 0 {
            wanted &= !Metric::ALL_PEAKS;
        }
        let mut columns = Columns::new(wanted);
        if self.times.step == 0 {
            self.hours(&mut |at, row| columns.push(at, row))?;
        } else {
            let mut steps = Steps::new(self.times.step, |at, row: &Cells| {
                columns.push(at, row);
            });
            self.hours(&mut |at, row| {
                steps.add(at, row);
                true
            })?;
            steps.finish();
        }
        Ok(if columns.is_full { Err(SeriesError::TooMany { most: MOST }) } else { Ok(columns.points()) })
    }

    /// Each row of the time, in order, until `out` has enough.
    fn hours(&self, out: Out<'_>) -> rusqlite::Result<()> {
        let fresh =
            ends(self.connection, Table::Fresh)?.map(|(first, last)| (first.div_euclid(60), (last + SPAN).div_euclid(60)));
        let Some((first, last)) = self.extent(fresh)? else { return Ok(()) };
        let mut within = |at: i64, row: &Cells| at < self.times.from || at > self.times.to || out(at, row);
        for hour in first.max(self.times.from.div_euclid(HOUR_MS))..=last.min(self.times.to.div_euclid(HOUR_MS)) {
            let is_fresh = fresh.is_some_and(|(first, last)| (first..=last).contains(&hour));
            let go_on = match self.packed(hour, &mut within)? {
                Some(go_on) => go_on,
                None => self.fresh(hour, is_fresh, &mut within)?,
            };
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    /// The hours of which anything is kept, of anybody.
    fn extent(&self, fresh: Option<(i64, i64)>) -> rusqlite::Result<Option<(i64, i64)>> {
        let mut hours = Vec::from_iter(fresh);
        for table in self.times.tables() {
            hours.extend(ends(self.connection, table)?);
        }
        for chunk in self.buffered {
            self.rows(chunk, &mut |at, _| {
                hours.push((at.div_euclid(HOUR_MS), at.div_euclid(HOUR_MS)));
                true
            });
        }
        let first = hours.iter().map(|(first, _)| *first).min();
        Ok(first.zip(hours.iter().map(|(_, last)| *last).max()))
    }

    /// An hour that is packed. `None`: it is not, or there is none.
    fn packed(&self, hour: i64, out: Out<'_>) -> rusqlite::Result<Option<bool>> {
        let Some(id) = self.id else { return Ok(None) };
        for table in self.times.tables() {
            if let Some(cell) = cell(self.connection, table, place(hour, id))? {
                return Ok(Some(self.cell(&cell, out)));
            }
        }
        Ok(None)
    }

    /// An hour that is not packed yet: what is in the file, then what is not.
    fn fresh(&self, hour: i64, is_in_file: bool, out: Out<'_>) -> rusqlite::Result<bool> {
        let mut last = i64::MIN;
        let mut once = |at: i64, row: &Cells| {
            let is_new = at > last && at.div_euclid(HOUR_MS) == hour;
            last = last.max(at);
            !is_new || out(at, row)
        };
        if let (Some(id), true) = (self.id, is_in_file) {
            for minute in hour * 60 - SPAN..(hour + 1) * 60 {
                let found = cell(self.connection, Table::Fresh, place(minute, id))?;
                if found.is_some_and(|cell| !self.cell(&cell, &mut once)) {
                    return Ok(false);
                }
            }
        }
        Ok(self.buffered.iter().all(|chunk| self.rows(chunk, &mut once)))
    }

    fn cell(&self, cell: &[u8], out: Out<'_>) -> bool {
        split(cell).all(|chunk| match chunk {
            Ok(chunk) => self.rows(chunk, out),
            Err(e) => self.damaged(e),
        })
    }

    fn rows(&self, chunk: &[u8], out: Out<'_>) -> bool {
        let mut chunk = Unpacker::new(chunk);
        loop {
            match chunk.advance() {
                Ok(Some((at, row))) if out(at, row) => {}
                Ok(Some(_)) => return false,
                Ok(None) => return true,
                Err(e) => return self.damaged(e),
            }
        }
    }

    /// The rest of the answer is good.
    fn damaged(&self, error: Damaged) -> bool {
        tracing::error!("{}: {error}; the answer lacks it", self.path.display());
        true
    }
}

/// The answer as it grows.
struct Columns {
    wanted: Vec<usize>,
    set: u64,
    seen: u64,
    times: Vec<f64>,
    values: Vec<Vec<Option<f64>>>,
    is_full: bool,
}

impl Columns {
    fn new(wanted: u64) -> Self {
        let places: Vec<usize> = places(wanted).collect();
        let values = vec![Vec::new(); places.len()];
        Self { wanted: places, set: wanted, seen: 0, times: Vec::new(), values, is_full: false }
    }

    /// False when there is no room for it.
    fn push(&mut self, at: i64, row: &Cells) -> bool {
        if row.present & self.set == 0 {
            return true;
        }
        self.is_full |= (self.times.len() + 1) * self.wanted.len() > MOST;
        if self.is_full {
            return false;
        }
        self.seen |= row.present & self.set;
        self.times.push(at as f64 / 1000.0);
        for (&place, values) in self.wanted.iter().zip(&mut self.values) {
            values.push(row.get(place).map(|steps| unit(place, steps)));
        }
        true
    }

    fn points(self) -> Points {
        let columns = self.wanted.into_iter().zip(self.values).filter(|(place, _)| self.seen & (1 << place) != 0);
        Points { times: self.times, columns: columns.map(|(place, values)| (Metric::at(place), values)).collect() }
    }
}
