//! Series in OpenTSDB: written by `POST /api/put`, read by `POST /api/query`. What it asks of names, values and times is in
//! <https://docs.opentsdb.net/docs/build/html/user_guide/writing/index.html> and
//! <https://docs.opentsdb.net/docs/build/html/api_http/put.html>.

mod answers;
mod client;
mod config;
mod points;
mod queue;
mod raw;
mod sender;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Points, Query, Sample, SeriesError, TimeSeriesSink};
use client::Client;
pub use config::Settings;
use points::Stamps;
use queue::Queue;
pub use raw::RawFeed;

/// How long a flush waits for an OpenTSDB that does not take what it is sent.
const FLUSH: Duration = Duration::from_secs(10);

/// An OpenTSDB, with a thread that writes to it.
pub struct OpenTsdb {
    client: Arc<Client>,
    queue: Arc<Queue>,
    stamps: Mutex<Stamps>,
    thread: Option<JoinHandle<()>>,
}

impl OpenTsdb {
    /// Nothing is asked yet: it may come up later.
    pub fn new(settings: &Settings) -> Result<Self, SeriesError> {
        let client = Arc::new(Client::new(&settings.url));
        let queue = Arc::new(Queue::new(settings.max_waiting));
        let (to, from) = (Arc::clone(&client), Arc::clone(&queue));
        let thread = std::thread::Builder::new().name("opentsdb".into()).spawn(move || sender::run(&to, &from));
        let thread = thread.map_err(|e| SeriesError::Unreachable(format!("a thread is needed: {e}")))?;
        Ok(Self { client, queue, stamps: Mutex::default(), thread: Some(thread) })
    }
}

#[async_trait]
impl TimeSeriesSink for OpenTsdb {
    async fn append(&self, at: f64, samples: Vec<Sample>) -> Result<(), SeriesError> {
        let stamp = self.stamps.lock().of(at);
        self.queue.put(&points::of_samples(stamp, &samples))
    }

    async fn query(&self, query: Query) -> Result<Points, SeriesError> {
        let client = Arc::clone(&self.client);
        let answered = tokio::task::spawn_blocking(move || answers::query(&client, &query)).await;
        answered.unwrap_or_else(|e| Err(SeriesError::Unreachable(e.to_string())))
    }

    async fn flush(&self) -> Result<(), SeriesError> {
        let until = Instant::now() + FLUSH;
        while !self.queue.is_empty() {
            if Instant::now() >= until {
                let why = self.queue.trouble().unwrap_or_else(|| "it is slow".to_owned());
                return Err(SeriesError::Unreachable(why));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn trouble(&self) -> Option<String> {
        self.queue.trouble()
    }
}

impl Drop for OpenTsdb {
    /// What could not be written by now is lost.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes to OpenTSDB had panicked");
        }
    }
}

impl fmt::Debug for OpenTsdb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTsdb").field("client", &self.client).finish_non_exhaustive()
    }
}
