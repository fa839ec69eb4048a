//! Recorded usage: CSV with a header `timestamp,cpu,mem,..`, read row by row.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use csv::ByteRecord;
use headroom_model::resource::Resource;

/// The column with the times.
const TIMESTAMP: &str = "timestamp";

/// The column with the periods in which the CPU was throttled.
const THROTTLED: &str = "cpu_throttled";

/// What a column has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Timestamp,
    Usage(Resource),
    Throttled,
}

/// A recording that is being read.
pub(super) struct Usage {
    path: PathBuf,
    reader: csv::Reader<File>,
    record: ByteRecord,
    columns: Vec<Column>,
    last: f64,
}

/// One window.
pub(super) struct Row {
    /// When it ended, in seconds since the epoch.
    pub(super) timestamp: f64,
    /// Mean usage of each resource column, in the columns' order; `None` where there was no sample.
    pub(super) cells: Vec<Option<f64>>,
    /// Periods in which the CPU was throttled; `None` where that was not recorded.
    pub(super) cpu_throttled: Option<f64>,
}

impl Usage {
    /// Opens a recording and reads its header.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(1 << 16).from_reader(file);
        let mut record = ByteRecord::new();
        let read = reader.read_byte_record(&mut record).with_context(|| format!("cannot read {}", path.display()))?;
        if !read {
            bail!("{} is empty, expected a header such as timestamp,cpu,mem", path.display());
        }
        let columns = header(&record).with_context(|| format!("{} line 1", path.display()))?;
        Ok(Self { path: path.to_owned(), reader, record, columns, last: f64::NEG_INFINITY })
    }

    /// The resources in the columns' order.
    pub(super) fn columns(&self) -> Vec<Resource> {
        let usage = |column: &Column| if let Column::Usage(resource) = column { Some(*resource) } else { None };
        self.columns.iter().filter_map(usage).collect()
    }

    /// A row to read into.
    pub(super) fn row(&self) -> Row {
        Row { timestamp: 0.0, cells: Vec::with_capacity(self.columns.len()), cpu_throttled: None }
    }

    /// Reads the next row; false at the end.
    pub(super) fn read(&mut self, row: &mut Row) -> anyhow::Result<bool> {
        let read = self.reader.read_byte_record(&mut self.record);
        if !read.with_context(|| format!("cannot read {}", self.path.display()))? {
            return Ok(false);
        }
        self.parse(row).with_context(|| {
            let line = self.record.position().map_or(0, csv::Position::line);
            format!("{} line {line}", self.path.display())
        })?;
        Ok(true)
    }

    fn parse(&mut self, row: &mut Row) -> anyhow::Result<()> {
        if self.record.len() != self.columns.len() {
            bail!("it has {} cells, expected {} as in the header", self.record.len(), self.columns.len());
        }
        row.cells.clear();
        for (column, cell) in self.columns.iter().zip(&self.record) {
            let cell = cell.trim_ascii();
            match column {
                Column::Timestamp => {
                    let timestamp = number(cell).with_context(|| {
                        format!("column {TIMESTAMP}: {:?} is no time, expected seconds since the epoch", text(cell))
                    })?;
                    if timestamp <= self.last {
                        bail!("column {TIMESTAMP}: {timestamp} is not after {}, expected ascending times", self.last);
                    }
                    self.last = timestamp;
                    row.timestamp = timestamp;
                }
                Column::Usage(resource) => {
                    row.cells.push(amount(cell).with_context(|| bad(resource.key(), cell, "usage"))?);
                }
                Column::Throttled => {
                    row.cpu_throttled = amount(cell).with_context(|| bad(THROTTLED, cell, "count"))?;
                }
            }
        }
        Ok(())
    }
}

fn header(record: &ByteRecord) -> anyhow::Result<Vec<Column>> {
    let mut columns = Vec::new();
    for (i, cell) in record.iter().enumerate() {
        let name = text(cell);
        let name = if i == 0 { name.trim_start_matches('\u{feff}') } else { &name }.trim();
        let column = match name {
            TIMESTAMP => Column::Timestamp,
            THROTTLED => Column::Throttled,
            name => Column::Usage(name.parse().with_context(|| format!("column {}", i + 1))?),
        };
        if columns.contains(&column) {
            bail!("column {name} is there twice");
        }
        columns.push(column);
    }
    if !columns.contains(&Column::Timestamp) {
        bail!("there is no column {TIMESTAMP}, expected a header such as {TIMESTAMP},cpu,mem");
    }
    Ok(columns)
}

/// `Some(None)` for an empty cell: there was no sample.
#[expect(clippy::option_option, reason = "no amount at all, and none that was sampled")]
fn amount(cell: &[u8]) -> Option<Option<f64>> {
    if cell.is_empty() {
        return Some(None);
    }
    number(cell).filter(|n| *n >= 0.0).map(Some)
}

fn bad(column: &str, cell: &[u8], what: &str) -> String {
    format!("column {column}: {:?} is no {what}, expected a number, 0 or more, or an empty cell", text(cell))
}

fn number(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell).ok()?.parse().ok().filter(|n: &f64| n.is_finite())
}

fn text(cell: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(cell)
}
