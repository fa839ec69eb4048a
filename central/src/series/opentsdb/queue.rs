//! What waits for OpenTSDB: compressed requests, in memory, bounded.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::series::SeriesError;

/// Requests, oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    news: Condvar,
    /// The most that waits, in bytes.
    room: u64,
}

#[derive(Debug, Default)]
struct Inner {
    requests: VecDeque<Arc<[u8]>>,
    bytes: u64,
    /// Requests that were taken off the front, or pushed out of it.
    gone: u64,
    pushed_out: u64,
    trouble: Option<String>,
    is_closed: bool,
}

/// The oldest request.
pub(super) struct First {
    pub(super) body: Arc<[u8]>,
    number: u64,
}

impl Queue {
    pub(super) fn new(room: u64) -> Self {
        Self { inner: Mutex::default(), news: Condvar::new(), room }
    }

    /// Puts requests at the end; where there is no room the oldest are pushed out.
    pub(super) fn put<T: Serialize>(&self, requests: &[T]) -> Result<(), SeriesError> {
        let compressed: Vec<Arc<[u8]>> = requests.iter().map(compressed).collect::<Result<_, _>>()?;
        let mut inner = self.inner.lock();
        for request in compressed {
            inner.bytes += request.len() as u64;
            inner.requests.push_back(request);
        }
        while inner.bytes > self.room && inner.requests.len() > 1 {
            inner.drop_first();
            inner.pushed_out += 1;
            if inner.pushed_out.is_power_of_two() {
                tracing::error!(
                    requests = inner.pushed_out,
                    "series are lost: more than opentsdb.max_waiting = {} bytes wait for OpenTSDB",
                    self.room
                );
            }
        }
        self.news.notify_one();
        Ok(())
    }

    /// The oldest, once there is one; none when it was closed.
    pub(super) fn first(&self) -> Option<First> {
        let mut inner = self.inner.lock();
        loop {
            if inner.is_closed {
                return None;
            }
            if let Some(body) = inner.requests.front() {
                return Some(First { body: Arc::clone(body), number: inner.gone });
            }
            self.news.wait(&mut inner);
        }
    }

    /// Takes this one off, unless it was pushed out meanwhile; puts others in its place, if it has to be sent in parts.
    pub(super) fn done(&self, first: &First, instead: &[Arc<[u8]>]) {
        let mut inner = self.inner.lock();
        if inner.gone != first.number {
            return;
        }
        inner.drop_first();
        for part in instead.iter().rev() {
            inner.bytes += part.len() as u64;
            inner.requests.push_front(Arc::clone(part));
        }
    }

    /// Waits so long, or until it is closed.
    pub(super) fn rest(&self, time: Duration) {
        let until = std::time::Instant::now() + time;
        let mut inner = self.inner.lock();
        while !inner.is_closed && !self.news.wait_until(&mut inner, until).timed_out() {}
    }

    pub(super) fn say(&self, trouble: Option<String>) {
        self.inner.lock().trouble = trouble;
    }

    /// What is wrong, and what was lost for it.
    pub(super) fn trouble(&self) -> Option<String> {
        let inner = self.inner.lock();
        let waiting =
            |why: &String| format!("{why}; {} requests wait, {} were pushed out", inner.requests.len(), inner.pushed_out);
        inner.trouble.as_ref().map(waiting)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inner.lock().requests.is_empty()
    }

    pub(super) fn close(&self) {
        self.inner.lock().is_closed = true;
        self.news.notify_all();
    }
}

impl Inner {
    fn drop_first(&mut self) {
        if let Some(first) = self.requests.pop_front() {
            self.bytes -= first.len() as u64;
            self.gone += 1;
        }
    }
}

/// A request's body.
pub(super) fn compressed<T: Serialize>(request: &T) -> Result<Arc<[u8]>, SeriesError> {
    let compress = || -> std::io::Result<Arc<[u8]>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&serde_json::to_vec(request)?)?;
        Ok(encoder.finish()?.into())
    };
    compress().map_err(|e| SeriesError::Unreachable(format!("data points are not written: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let one = compressed(&"x").unwrap().len() as u64;
        let queue = Queue::new(2 * one);
        queue.put(&["a", "b"]).unwrap();
        let first = queue.first().unwrap();
        queue.put(&["c"]).unwrap();
        // It was pushed out while it was sent: the next is not taken for it.
        queue.done(&first, &[]);
        assert_eq!(queue.first().unwrap().body, compressed(&"b").unwrap());
        queue.say(Some("away".to_owned()));
        assert_eq!(queue.trouble().unwrap(), "away; 2 requests wait, 1 were pushed out");
    }

    #[test]
    fn parts_come_in_the_place_of_the_whole() {
        let queue = Queue::new(u64::MAX);
        queue.put(&["ab", "c"]).unwrap();
        let first = queue.first().unwrap();
        queue.done(&first, &[compressed(&"a").unwrap(), compressed(&"b").unwrap()]);
        for expected in ["a", "b", "c"] {
            let first = queue.first().unwrap();
            assert_eq!(first.body, compressed(&expected).unwrap());
            queue.done(&first, &[]);
        }
        assert!(queue.is_empty());
        queue.close();
        assert!(queue.first().is_none());
    }
}
