//! Recorded usage: CSV with a header `timestamp,cpu,mem,..`, read row by row.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use csv::ByteRecord;
use headroom_model::resource::Resource;

/// The column with the times.
const TIMESTAMP: &str = "timestamp";

/// A recording that is being read.
pub(super) struct Usage {
    path: PathBuf,
    reader: csv::Reader<File>,
    record: ByteRecord,
    /// For each column its resource; `None` for the timestamp.
    columns: Vec<Option<Resource>>,
    last: f64,
}

/// One window.
pub(super) struct Row {
    /// When it ended, in seconds since the epoch.
    pub(super) timestamp: f64,
    /// Mean usage of each resource column, in the columns' order; `None` where there was no sample.
    pub(super) cells: Vec<Option<f64>>,
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
        self.columns.iter().copied().flatten().collect()
    }

    /// A row to read into.
    pub(super) fn row(&self) -> Row {
        Row { timestamp: 0.0, cells: Vec::with_capacity(self.columns.len()) }
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
                None => {
                    let timestamp = number(cell).with_context(|| {
                        format!("column {TIMESTAMP}: {:?} is no time, expected seconds since the epoch", text(cell))
                    })?;
                    if timestamp <= self.last {
                        bail!("column {TIMESTAMP}: {timestamp} is not after {}, expected ascending times", self.last);
                    }
                    self.last = timestamp;
                    row.timestamp = timestamp;
                }
                Some(_) if cell.is_empty() => row.cells.push(None),
                Some(resource) => {
                    let usage = number(cell).filter(|n| *n >= 0.0).with_context(|| {
                        format!("column {resource}: {:?} is no usage, expected a number, 0 or more, or an empty cell", text(cell))
                    })?;
                    row.cells.push(Some(usage));
                }
            }
        }
        Ok(())
    }
}

fn header(record: &ByteRecord) -> anyhow::Result<Vec<Option<Resource>>> {
    let mut columns = Vec::new();
    for (i, cell) in record.iter().enumerate() {
        let name = text(cell);
        let name = if i == 0 { name.trim_start_matches('\u{feff}') } else { &name }.trim();
        let column = match name {
            TIMESTAMP => None,
            name => Some(name.parse::<Resource>().with_context(|| format!("column {}", i + 1))?),
        };
        if columns.contains(&column) {
            bail!("column {name} is there twice");
        }
        columns.push(column);
    }
    if !columns.contains(&None) {
        bail!("there is no column {TIMESTAMP}, expected a header such as {TIMESTAMP},cpu,mem");
    }
    Ok(columns)
}

fn number(cell: &[u8]) -> Option<f64> {
    std::str::from_utf8(cell).ok()?.parse().ok().filter(|n: &f64| n.is_finite())
}

fn text(cell: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(cell)
}
