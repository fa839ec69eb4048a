//! The events of one resource that still count, oldest first.

use std::collections::VecDeque;

use crate::policy::request::Direction;

/// Events by direction, with their counts summed as they come and go.
#[derive(Clone, Debug, Default)]
pub(super) struct EventLog {
    up: Queue,
    down: Queue,
}

#[derive(Clone, Debug, Default)]
struct Queue {
    /// When, and how much it counts.
    events: VecDeque<(f64, f64)>,
    sum: f64,
}

impl Queue {
    fn pop(&mut self) {
        if let Some((_, count)) = self.events.pop_front() {
            self.sum = if self.events.is_empty() { 0.0 } else { self.sum - count };
        }
    }
}

impl EventLog {
    /// The reduced counts: up, down.
    pub(super) fn counts(&self) -> (f64, f64) {
        (self.up.sum, self.down.sum)
    }

    /// Whether no event is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.up.events.is_empty() && self.down.events.is_empty()
    }

    /// Adds one. Times never go back.
    pub(super) fn push(&mut self, direction: Direction, timestamp: f64, count: f64) {
        let queue = self.queue(direction);
        queue.events.push_back((timestamp, count));
        queue.sum += count;
    }

    /// Drops what is older than `oldest`.
    pub(super) fn expire(&mut self, oldest: f64) {
        for queue in [&mut self.up, &mut self.down] {
            while queue.events.front().is_some_and(|(timestamp, _)| *timestamp < oldest) {
                queue.pop();
            }
        }
    }

    /// Takes out the oldest `n` events of a direction.
    pub(super) fn consume(&mut self, direction: Direction, n: usize) {
        let queue = self.queue(direction);
        for _ in 0..n.min(queue.events.len()) {
            queue.pop();
        }
    }

    fn queue(&mut self, direction: Direction) -> &mut Queue {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_go_first() {
        let mut log = EventLog::default();
        for t in 0..4 {
            log.push(Direction::Up, f64::from(t), f64::from(t + 1));
        }
        log.push(Direction::Down, 3.0, 1.0);
        assert_eq!(log.counts(), (10.0, 1.0));
        log.consume(Direction::Up, 2);
        assert_eq!(log.counts(), (7.0, 1.0));
        log.expire(3.0);
        assert_eq!(log.counts(), (4.0, 1.0), "those of exactly the oldest time stay");
        log.consume(Direction::Up, 9);
        log.expire(3.5);
        assert_eq!(log.counts(), (0.0, 0.0));
    }
}
