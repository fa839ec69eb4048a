//! Rows of one owner, packed: each says how its time and its values differ from those before.
//!
//! A row is three things, all of them variable-length integers of 7 bits a byte. First the time in ms: the first row's as it is, then by how
//! much the step differs from the step before. Then the set of metrics that changed. Then for each of these, in the order of their numbers, 0
//! where there is no value now, else 1 + the difference to its last value (0 before it had one). Differences are zigzag-coded. So a container
//! whose limits stand and whose usage moves takes a byte for the time, one for the set, and one to three a usage.

use super::cells::Cells;
use super::metric::places;

/// What is read is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packed chunk of series is damaged")]
pub(super) struct Damaged;

/// Packs rows as they come.
#[derive(Debug, Default)]
pub(super) struct Packer {
    bytes: Vec<u8>,
    rows: u32,
    first: i64,
    at: i64,
    step: i64,
    /// The last row.
    cells: Cells,
}

impl Packer {
    /// Goes on with a chunk. All that has to be known of its rows is read from them, so that chunks that grow are nothing but their bytes.
    pub(super) fn resume(bytes: Vec<u8>) -> Result<Self, Damaged> {
        let mut chunk = Unpacker::new(&bytes);
        let (mut rows, mut first) = (0, 0);
        while let Some((at, _)) = chunk.advance()? {
            if rows == 0 {
                first = at;
            }
            rows += 1;
        }
        let Unpacker { at, step, cells, .. } = chunk;
        Ok(Self { bytes, rows, first, at, step, cells })
    }

    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// The first row's time in ms.
    pub(super) fn first(&self) -> i64 {
        self.first
    }

    /// What is packed so far; it can be unpacked as it is.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was packed; the next row begins a new chunk.
    pub(super) fn take(&mut self) -> Vec<u8> {
        // The next chunk is about as long: growing by doubling would leave a third of all buffers empty.
        let length = self.bytes.len();
        let next = Self { bytes: Vec::with_capacity(length + length / 8), ..Self::default() };
        std::mem::replace(self, next).bytes
    }

    /// Adds a row at a time in ms.
    pub(super) fn push(&mut self, at: i64, cells: &Cells) {
        if self.rows == 0 {
            self.first = at;
            put(&mut self.bytes, zigzag(at));
        } else {
            let step = at.wrapping_sub(self.at);
            put(&mut self.bytes, zigzag(step.wrapping_sub(self.step)));
            self.step = step;
        }
        self.at = at;
        self.rows += 1;

        let changed = places(cells.present | self.cells.present)
            .filter(|&place| cells.get(place) != self.cells.get(place))
            .fold(0_u64, |set, place| set | (1 << place));
        put(&mut self.bytes, changed);
        for place in places(changed) {
            match cells.get(place) {
                None => {
                    put(&mut self.bytes, 0);
                    self.cells.present &= !(1 << place);
                }
                Some(value) => {
                    let grown = value.wrapping_sub(self.cells.values[place]);
                    put(&mut self.bytes, zigzag(grown).wrapping_add(1));
                    self.cells.set(place, value);
                }
            }
        }
    }
}

/// Reads a chunk row by row.
#[derive(Debug)]
pub(super) struct Unpacker<'a> {
    bytes: &'a [u8],
    is_first: bool,
    at: i64,
    step: i64,
    cells: Cells,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, is_first: true, at: 0, step: 0, cells: Cells::default() }
    }

    /// The next row and its time in ms; `None` at the end.
    pub(super) fn advance(&mut self) -> Result<Option<(i64, &Cells)>, Damaged> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let time = unzigzag(get(&mut self.bytes)?);
        if self.is_first {
            self.is_first = false;
            self.at = time;
        } else {
            self.step = self.step.wrapping_add(time);
            self.at = self.at.wrapping_add(self.step);
        }
        for place in places(get(&mut self.bytes)?) {
            match get(&mut self.bytes)? {
                0 => self.cells.present &= !(1 << place),
                code => self.cells.set(place, self.cells.values[place].wrapping_add(unzigzag(code - 1))),
            }
        }
        Ok(Some((self.at, &self.cells)))
    }
}

/// Puts a chunk behind those that stand in a file's cell already.
pub(super) fn join(cell: &mut Vec<u8>, chunk: &[u8]) {
    put(cell, chunk.len() as u64);
    cell.extend_from_slice(chunk);
}

/// The chunks of a file's cell.
pub(super) fn split(mut cell: &[u8]) -> impl Iterator<Item = Result<&[u8], Damaged>> {
    std::iter::from_fn(move || {
        if cell.is_empty() {
            return None;
        }
        let next = get(&mut cell).and_then(|length| {
            let length = usize::try_from(length).ok().ok_or(Damaged)?;
            let (chunk, rest) = cell.split_at_checked(length).ok_or(Damaged)?;
            cell = rest;
            Ok(chunk)
        });
        if next.is_err() {
            cell = &[];
        }
        Some(next)
    })
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn get(bytes: &mut &[u8]) -> Result<u64, Damaged> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Damaged)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Damaged)
}

/// Small numbers of either sign become small ones without.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(code: u64) -> i64 {
    (code >> 1).cast_signed() ^ -(code & 1).cast_signed()
}

#[cfg(test)]
mod tests;
