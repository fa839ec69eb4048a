//! The journal: a thread that logs decisions, keeps the recent ones and records usage, so that the control thread waits for no
//! log and no disk.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError, bounded};
use headroom_model::limit::Limit;
use headroom_model::policy::guardian::Why;
use headroom_model::resource::Resource;

use super::recorder::{Recorder, Window};
use crate::api::DecisionLog;
use crate::status::Decision;

/// Room for what the thread has not come to yet: a queue of fixed size is the one that allocates nothing. Of recorded windows there are
/// as many as containers, all at once.
const ROOM: usize = 4096;
const ROOM_TO_RECORD: usize = 65_536;

/// How long what is told may wait beside others.
const PACE: Duration = Duration::from_millis(10);

/// A decision as the control loop tells of it: the texts are made of it on the journal's thread.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) at: f64,
    pub(super) structure: Arc<str>,
    pub(super) resource: Resource,
    pub(super) action: &'static str,
    pub(super) why: Because,
    pub(super) from: Limit,
    pub(super) to: Limit,
    pub(super) outcome: &'static str,
    pub(super) detail: Option<String>,
}

/// Why a limit was decided.
#[derive(Debug)]
pub(super) enum Because {
    /// A rule fired.
    Rule(Why),
    /// For another reason, in words.
    Said(Cow<'static, str>),
}

impl From<Told> for Decision {
    fn from(told: Told) -> Self {
        let Told { at, structure, resource, action, why, from, to, outcome, detail } = told;
        let why = match why {
            Because::Rule(why) => why.to_string(),
            Because::Said(words) => words.into_owned(),
        };
        Self { at, structure: structure.as_ref().to_owned(), resource, action: action.to_owned(), why, from, to, outcome, detail }
    }
}

/// Where decisions and recorded windows go.
#[derive(Debug)]
pub struct Journal {
    notes: Option<Sender<Note>>,
    /// What found no room.
    dropped: AtomicU64,
    /// Whether usage is recorded.
    records: bool,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Starts the thread; `log` is what the REST interface shows, `record` the directory for the usage of each window, if wanted.
    pub fn spawn(log: Arc<DecisionLog>, record: Option<&Path>) -> std::io::Result<Self> {
        let mut recorder = record.map(Recorder::open).transpose()?;
        let records = recorder.is_some();
        let (notes, queue) = bounded::<Note>(if records { ROOM_TO_RECORD } else { ROOM });
        let mut repeats = Repeats::default();
        let thread = std::thread::Builder::new().name("journal".into()).stack_size(256 * 1024).spawn(move || {
            // Nobody who writes while this thread sleeps has to wake it.
            while let Ok(first) = queue.recv() {
                for note in std::iter::once(first).chain(queue.try_iter()) {
                    match (note, &mut recorder) {
                        (Note::Decision(told), _) => {
                            // Who looks comes before who reads the log.
                            let decision = log.record(Decision::from(told));
                            if let Some(unsaid) = repeats.tell(&decision) {
                                tell(&decision, unsaid);
                            }
                        }
                        (Note::Gone(structure), _) => log.forget_last(&structure),
                        (Note::Window(window), Some(recorder)) => recorder.record(&window),
                        (Note::Window(_), None) => {}
                    }
                }
                std::thread::sleep(PACE);
            }
        })?;
        Ok(Self { notes: Some(notes), dropped: AtomicU64::new(0), records, thread: Some(thread) })
    }

    /// Queues a decision; never waits.
    pub(super) fn record(&self, told: Told) {
        self.send(Note::Decision(told));
    }

    /// What comes under that name from now on is another container; never waits.
    pub(super) fn gone(&self, structure: &str) {
        self.send(Note::Gone(structure.into()));
    }

    /// Whether windows are wanted.
    pub(super) fn records(&self) -> bool {
        self.records
    }

    /// Queues a judged window; never waits.
    pub(super) fn window(&self, window: Window) {
        self.send(Note::Window(window));
    }

    /// How many decisions and windows found no room, since the thread was too slow.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn send(&self, note: Note) {
        let Some(notes) = &self.notes else { return };
        match notes.try_send(note) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("the journal thread has ended; decisions are no longer kept");
            }
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
    Decision(Told),
    /// Nobody is called so any more.
    Gone(Arc<str>),
    Window(Window),
}

/// What of the decisions that changed nothing was logged, so that a full host or a switched-off Scaler does not flood the log.
#[derive(Debug, Default)]
struct Repeats(HashMap<(String, Resource, &'static str), (f64, u64)>);

impl Repeats {
    /// In s: the same thing that was not done is logged again after so long.
    const PAUSE: f64 = 60.0;
    /// Containers come and go: what is remembered of them is bounded.
    const MOST: usize = 10_000;

    /// `None`: not to be logged now. Otherwise how many like it were not logged since the last one.
    fn tell(&mut self, d: &Decision) -> Option<u64> {
        if matches!(d.outcome, "applied" | "partial" | "advised") {
            return Some(0);
        }
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        let (at, unsaid) = self.0.entry((d.structure.clone(), d.resource, d.outcome)).or_insert((f64::NEG_INFINITY, 0));
        if d.at - *at < Self::PAUSE {
            *unsaid += 1;
            return None;
        }
        *at = d.at;
        Some(std::mem::take(unsaid))
    }
}

fn tell(d: &Decision, unsaid: u64) {
    let detail = d.detail.as_deref().unwrap_or_default();
    let Decision { structure, resource, action, why, outcome, from, to, .. } = d;
    match *outcome {
        "failed" | "refused" => {
            tracing::warn!(container = structure, %resource, action, %from, %to, outcome, why, detail, unsaid, "decision");
        }
        outcome => tracing::info!(container = structure, %resource, action, %from, %to, outcome, why, detail, unsaid, "decision"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_done_again_and_again_is_said_once_a_minute() {
        let decision = |at, outcome| Decision {
            at,
            structure: "cont0".into(),
            resource: Resource::Cpu,
            action: "CpuRescaleUp".into(),
            why: String::new(),
            from: Limit::Unlimited,
            to: Limit::Unlimited,
            outcome,
            detail: None,
        };
        let mut repeats = Repeats::default();
        assert_eq!(repeats.tell(&decision(0.0, "starved")), Some(0));
        assert_eq!(repeats.tell(&decision(1.0, "starved")), None);
        assert_eq!(repeats.tell(&decision(2.0, "inactive")), Some(0));
        assert_eq!(repeats.tell(&decision(3.0, "applied")), Some(0));
        assert_eq!(repeats.tell(&decision(4.0, "applied")), Some(0));
        assert_eq!(repeats.tell(&decision(30.0, "starved")), None);
        assert_eq!(repeats.tell(&decision(60.0, "starved")), Some(2));
    }
}
