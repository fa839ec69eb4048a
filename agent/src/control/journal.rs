//! The journal: a thread that logs decisions and keeps the recent ones, so that the control thread waits for no log.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, unbounded};

use crate::api::DecisionLog;
use crate::status::Decision;

/// Where decisions go.
#[derive(Debug)]
pub struct Journal {
    decisions: Option<Sender<Decision>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Starts the thread; `log` is what the REST interface shows.
    pub fn spawn(log: Arc<DecisionLog>) -> std::io::Result<Self> {
        let (decisions, queue) = unbounded::<Decision>();
        let thread = std::thread::Builder::new().name("journal".into()).stack_size(256 * 1024).spawn(move || {
            for decision in queue {
                tell(&decision);
                log.record(decision);
            }
        })?;
        Ok(Self { decisions: Some(decisions), thread: Some(thread) })
    }

    /// Queues a decision; never waits.
    pub fn record(&self, decision: Decision) {
        if let Some(decisions) = &self.decisions
            && decisions.send(decision).is_err()
        {
            tracing::error!("the journal thread has ended; decisions are no longer kept");
        }
    }

    /// Writes what is queued, and ends.
    pub fn finish(mut self) {
        self.decisions = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal thread panicked");
        }
    }
}

fn tell(d: &Decision) {
    let detail = d.detail.as_deref().unwrap_or_default();
    let (from, to) = (d.from.to_string(), d.to.to_string());
    let Decision { structure, resource, action, why, outcome, .. } = d;
    match *outcome {
        "failed" | "refused" => {
            tracing::warn!(container = structure, %resource, action, from, to, outcome, why, detail, "decision");
        }
        outcome => tracing::info!(container = structure, %resource, action, from, to, outcome, why, detail, "decision"),
    }
}
