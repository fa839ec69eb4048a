//! `requests`: an inbox as well as a record. Whatever is put there goes to the agent that has the structure, is carried out by its Scaler under
//! all of its rules, and is removed; what is refused stays a while, with the reason. What agents asked for themselves is kept as a
//! bounded history.
//!
//! A request is told to its agent under an id made of the document's name and version, which agents remember: it is carried out once,
//! however often it is repeated, also where central ends before it has taken note of what became of it.

mod history;
mod inbox;
pub(crate) mod intake;
mod place;

use std::time::Duration;

use headroom_model::number;
use headroom_model::settings::Service;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

pub use history::History;

use crate::central::Central;
use crate::store::{Body, Database};
use inbox::Inbox;

/// The field that says what became of a request.
const STATE: &str = "state";

/// How often it is looked at what waits, where nothing happens.
const LOOK: Duration = Duration::from_millis(500);

/// Changes that come together are looked at together.
const TOGETHER: Duration = Duration::from_millis(20);

/// How often the history is written at most.
const HISTORY: Duration = Duration::from_secs(5);

/// Whether a request is only a record any more.
pub(crate) fn is_settled(body: &Body) -> bool {
    body.get(STATE).and_then(Value::as_str).is_some_and(|state| matches!(state, "done" | "refused"))
}

/// For ever.
pub async fn run(central: Central) {
    let mut changes = central.documents.subscribe();
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let mut inbox = Inbox::new(told);
    let mut written = Instant::now();
    loop {
        let timeout = number::lenient(&central.setting(Service::Scaler)("REQUEST_TIMEOUT")).unwrap_or(60.0);
        inbox.look(&central, timeout);
        inbox.settle(&central).await;
        if written.elapsed() >= HISTORY {
            written = Instant::now();
            if let Err(e) = central.history.write(&central).await {
                tracing::warn!("what agents asked for is not written: {e}");
            }
        }
        let until = Instant::now() + LOOK;
        loop {
            tokio::select! {
                Some(done) = outcomes.recv() => {
                    inbox.answered(done);
                    break;
                }
                change = timeout_at(until, changes.recv()) => match change {
                    Ok(Ok(change)) if change.database != Database::Requests || history::is_kept_here(&change.name) => {}
                    Ok(Err(RecvError::Closed)) => return,
                    Ok(_) => {
                        sleep(TOGETHER).await;
                        break;
                    }
                    Err(_elapsed) => break,
                },
            }
        }
    }
}
