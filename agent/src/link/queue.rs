//! Reports that wait to be sent: bounded, the oldest go first. What a report's counters say is in the next one too, so that only decisions are
//! lost.

use std::collections::VecDeque;

/// How much may wait: an hour of a host with some fifty containers.
const MOST: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    most: usize,
    dropped: u64,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, most: MOST, dropped: 0 }
    }

    /// Adds a report, compressed. The newest always has room.
    pub(super) fn push(&mut self, report: Vec<u8>) {
        self.bytes += report.len();
        self.waiting.push_back(report);
        while self.bytes > self.most && self.waiting.len() > 1 {
            self.pop();
            self.dropped += 1;
        }
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.waiting.front().map(Vec::as_slice)
    }

    pub(super) fn pop(&mut self) {
        if let Some(report) = self.waiting.pop_front() {
            self.bytes -= report.len();
        }
    }

    /// How many found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_where_there_is_no_room() {
        let mut queue = Queue { most: 10, ..Queue::new() };
        for byte in 0..5 {
            queue.push(vec![byte; 4]);
        }
        assert_eq!((queue.first(), queue.dropped()), (Some(&[3; 4][..]), 3));
        queue.push(vec![9; 40]);
        assert_eq!((queue.first(), queue.dropped()), (Some(&[9; 40][..]), 5));
        queue.pop();
        assert_eq!((queue.first(), queue.bytes), (None, 0));
    }
}
