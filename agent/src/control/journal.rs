//! The journal: a thread that logs decisions, keeps the recent ones and records usage, so that the control thread waits for no
//! log and no disk.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, unbounded};

use super::recorder::{Recorder, Window};
use crate::api::DecisionLog;
use crate::status::Decision;

/// Where decisions and recorded windows go.
#[derive(Debug)]
pub struct Journal {
    notes: Option<Sender<Note>>,
    /// Whether usage is recorded.
    records: bool,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Starts the thread; `log` is what the REST interface shows, `record` the directory for the usage of each window, if wanted.
    pub fn spawn(log: Arc<DecisionLog>, record: Option<&Path>) -> std::io::Result<Self> {
        let (notes, queue) = unbounded::<Note>();
        let mut recorder = record.map(Recorder::open).transpose()?;
        let records = recorder.is_some();
        let thread = std::thread::Builder::new().name("journal".into()).stack_size(256 * 1024).spawn(move || {
            for note in queue {
                match (note, &mut recorder) {
                    (Note::Decision(decision), _) => {
                        tell(&decision);
                        log.record(decision);
                    }
                    (Note::Window(window), Some(recorder)) => recorder.record(&window),
                    (Note::Window(_), None) => {}
                }
            }
        })?;
        Ok(Self { notes: Some(notes), records, thread: Some(thread) })
    }

    /// Queues a decision; never waits.
    pub fn record(&self, decision: Decision) {
        self.send(Note::Decision(decision));
    }

    /// Whether windows are wanted.
    pub(super) fn records(&self) -> bool {
        self.records
    }

    /// Queues a judged window; never waits.
    pub(super) fn window(&self, window: Window) {
        self.send(Note::Window(window));
    }

    fn send(&self, note: Note) {
        if let Some(notes) = &self.notes
            && notes.send(note).is_err()
        {
            tracing::error!("the journal thread has ended; decisions are no longer kept");
        }
    }

    /// Writes what is queued, and ends.
    pub fn finish(mut self) {
        self.notes = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal thread panicked");
        }
    }
}

#[derive(Debug)]
enum Note {
    Decision(Decision),
    Window(Window),
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
