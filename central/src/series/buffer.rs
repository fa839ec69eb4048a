//! The last minute of each owner, packed, in memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::cells::Cells;
use super::packing::Packer;
use super::{Metric, Owner, Sample};

/// In how many turns all owners are written down.
pub(super) const TURNS: u8 = 60;

/// The time in ms that a chunk's rows may take: they are looked for near its first.
const LONGEST: i64 = 120_000;

/// So many chunks of one owner are to be written before more comes: its samples come faster than time goes by.
const FULL: usize = 32;

/// An owner without a sample for so many of its turns is forgotten here.
const IDLE_TURNS: u8 = 10;

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Boxed: half of a table's places may be empty.
    slots: HashMap<Owner, Box<Slot>>,
    next_turn: u8,
    lost: u64,
}

#[derive(Debug)]
struct Slot {
    /// Its number in the file, once it is known.
    id: Option<u32>,
    turn: u8,
    idle: u8,
    /// A chunk that grows.
    open: Vec<u8>,
    /// What is to be written, is being written, or could not be; oldest first.
    sealed: Vec<Chunk>,
}

impl Slot {
    fn append(&mut self, at: i64, values: &[(Metric, f64)]) {
        let mut packer = self.packer();
        if (at - packer.first()).abs() >= LONGEST {
            self.sealed.extend(Chunk::of(&mut packer));
        }
        packer.push(at, &Cells::of(values));
        self.open = packer.into_bytes();
    }

    fn seal(&mut self) {
        let mut packer = self.packer();
        self.sealed.extend(Chunk::of(&mut packer));
        self.open = packer.into_bytes();
    }

    /// Of the chunk that grows. It can be read: it was packed here.
    fn packer(&mut self) -> Packer {
        Packer::resume(std::mem::take(&mut self.open)).unwrap_or_default()
    }
}

/// Rows of one owner, packed.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// The first row's time in ms.
    pub(super) first: i64,
    rows: u32,
    /// See [`super::packing`].
    pub(super) bytes: Arc<[u8]>,
}

impl Chunk {
    /// What is packed, if anything is.
    fn of(packer: &mut Packer) -> Option<Self> {
        let (first, rows) = (packer.first(), packer.rows());
        (rows > 0).then(|| Self { first, rows, bytes: packer.take().into() })
    }
}

/// A chunk to be written.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) owner: Owner,
    pub(super) id: Option<u32>,
    pub(super) chunk: Chunk,
}

impl Buffer {
    /// Takes samples in, all of a time in ms. False when there is no room for more before what is here is written.
    pub(super) fn append(&mut self, at: i64, samples: &[Sample]) -> bool {
        let mut has_room = true;
        for sample in samples {
            let slot = self.slots.entry(sample.owner.clone()).or_insert_with(|| {
                self.next_turn = (self.next_turn + 1) % TURNS;
                Box::new(Slot { id: None, turn: self.next_turn, idle: 0, open: Vec::new(), sealed: Vec::new() })
            });
            slot.idle = 0;
            slot.append(at, &sample.values);
            has_room &= slot.sealed.len() < FULL;
        }
        has_room
    }

    /// What is to be written in this turn; in every turn if there is none. It stays in the answers until it is confirmed.
    pub(super) fn due(&mut self, turn: Option<u8>) -> Vec<Due> {
        let mut due = Vec::new();
        self.slots.retain(|owner, slot| {
            if turn.is_some_and(|turn| turn != slot.turn) {
                return true;
            }
            if slot.open.is_empty() {
                slot.idle = slot.idle.saturating_add(u8::from(turn.is_some()));
            }
            slot.seal();
            due.extend(slot.sealed.iter().map(|chunk| Due { owner: owner.clone(), id: slot.id, chunk: chunk.clone() }));
            !slot.sealed.is_empty() || slot.idle < IDLE_TURNS
        });
        // In the order of the file; of one owner in that of time.
        due.sort_by_key(|due| due.id);
        due
    }

    /// These are written, all that were due; with the numbers that their owners have in the file.
    pub(super) fn confirm(&mut self, written: impl Iterator<Item = (Owner, u32)>) {
        for (owner, id) in written {
            if let Some(slot) = self.slots.get_mut(&owner) {
                slot.id = Some(id);
                slot.sealed.remove(0);
                // Most have none again: room for some in each would be more than all that is packed.
                slot.sealed.shrink_to_fit();
            }
        }
    }

    /// They could not be written, and are due again; of each owner the last, so that memory is bounded.
    pub(super) fn keep_last(&mut self) {
        for slot in self.slots.values_mut() {
            let given_up = slot.sealed.drain(..slot.sealed.len().saturating_sub(1));
            self.lost += given_up.map(|chunk| u64::from(chunk.rows)).sum::<u64>();
        }
    }

    /// What is not known to be written of an owner, oldest first.
    pub(super) fn chunks(&self, owner: &Owner) -> Vec<Arc<[u8]>> {
        let Some(slot) = self.slots.get(owner) else { return Vec::new() };
        let sealed = slot.sealed.iter().map(|chunk| Arc::clone(&chunk.bytes));
        sealed.chain((!slot.open.is_empty()).then(|| slot.open.as_slice().into())).collect()
    }

    /// How many rows could not be written and were given up since this was last asked.
    pub(super) fn lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use headroom_model::resource::Resource;

    use super::*;
    use crate::series::{Field, Kind, Metric};

    fn sample(name: &str, usage: f64) -> Sample {
        let owner = Owner { kind: Kind::Structure, name: name.into() };
        Sample { owner, values: vec![(Metric::of(Resource::Cpu, Field::Usage), usage)] }
    }

    #[test]
    fn owners_are_written_in_turns_and_stay_in_answers_until_then() {
        let mut buffer = Buffer::default();
        let samples: Vec<Sample> = (0..120).map(|n| sample(&format!("cont{n}"), 1.0)).collect();
        buffer.append(1000, &samples);
        let all: usize = (0..TURNS).map(|turn| buffer.due(Some(turn)).len()).sum();
        assert_eq!(all, 120);
        assert_eq!(buffer.due(Some(3)).len(), 2, "not confirmed, so they are due again");
        assert_eq!(buffer.chunks(&samples[0].owner).len(), 1);
        buffer.confirm(samples.iter().map(|s| (s.owner.clone(), 7)));
        assert_eq!(buffer.due(None).len(), 0);
        assert_eq!(buffer.chunks(&samples[0].owner).len(), 0);
        assert_eq!(buffer.lost(), 0);
        buffer.append(2000, &samples[..1]);
        assert_eq!(buffer.due(None).iter().map(|due| due.id).collect::<Vec<_>>(), [Some(7)]);
    }

    #[test]
    fn what_cannot_be_written_is_bounded_and_counted() {
        let mut buffer = Buffer::default();
        for minute in 0..5 {
            buffer.append(minute * 60_000, &[sample("a", 1.0), sample("a", 2.0)]);
            assert_eq!(buffer.due(None).len(), if minute == 0 { 1 } else { 2 });
            buffer.keep_last();
        }
        assert_eq!(buffer.lost(), 8);
        assert_eq!(buffer.chunks(&sample("a", 0.0).owner).len(), 1);
    }

    #[test]
    fn a_chunk_is_short_also_when_samples_come_faster_than_time() {
        let mut buffer = Buffer::default();
        let full = (0..1000).find(|tick| !buffer.append(tick * 60_000, &[sample("a", 1.0)])).unwrap();
        assert_eq!(full, 2 * i64::try_from(FULL).unwrap());
        let due = buffer.due(None);
        assert_eq!(
            due.iter().map(|due| due.chunk.first).collect::<Vec<_>>(),
            (0..=full / 2).map(|n| n * 120_000).collect::<Vec<_>>()
        );
        buffer.confirm(due.into_iter().map(|due| (due.owner, 1)));
        assert_eq!(buffer.due(None).len(), 0);
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let mut buffer = Buffer::default();
        buffer.append(0, &[sample("a", 1.0)]);
        for _ in 0..=IDLE_TURNS {
            let due = buffer.due(Some(1));
            buffer.confirm(due.into_iter().map(|due| (due.owner, 1)));
        }
        assert!(buffer.slots.is_empty());
    }
}
