//! Takes stock every few seconds, and sends it.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use headroom_model::wire::Report;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::client::{Client, Failure};
use super::identity::Identity;
use super::queue::Queue;
use super::report::{Moment, report as make};
use super::{Parts, Patience, Received, Shared};
use crate::clock;
use crate::status::Snapshot;

/// How often it is looked whether a container came or went.
const LOOK: Duration = Duration::from_millis(200);

/// For ever: one part fills the queue, the other empties it.
pub(super) async fn report(
    client: &Client,
    identity: &Identity,
    interval: Duration,
    parts: &Parts,
    received: &Received,
    shared: &Shared,
) {
    let queue = std::cell::RefCell::new(Queue::new());
    let filled = Notify::new();
    let filling = async {
        let (mut sequence, mut seen) = (0, 0);
        loop {
            let snapshot = parts.snapshot.load_full();
            if snapshot.host.max.present().next().is_none() {
                // The control loop has not published yet: central would take the host for one that has nothing.
                sleep_until(Instant::now() + Duration::from_millis(20)).await;
                continue;
            }
            let in_force = shared.in_force.load_full();
            if let Some(own) = &in_force.own {
                let (decisions, count) = parts.decisions.since(seen);
                seen = count;
                sequence += 1;
                let moment = Moment {
                    snapshot: &snapshot,
                    own,
                    decisions: &decisions,
                    sets: shared.done.take(),
                    requests: shared.requests.outcomes(),
                    revision: in_force.revision.clone(),
                    problems: in_force.problems.clone(),
                    dropped: queue.borrow().dropped(),
                    sequence,
                    wants_counted: received.wants_counted(),
                };
                match compressed(&make(identity, parts, moment)) {
                    Ok(report) => queue.borrow_mut().push(report),
                    Err(e) => tracing::error!("a report cannot be made: {e}"),
                }
                filled.notify_one();
            }
            until_due(&snapshot, interval, parts, shared).await;
        }
    };
    let sending = async {
        let mut patience = Patience::new(client);
        let mut is_away = false;
        loop {
            // What is being sent stays in its place until it is taken: a newer one may push it out meanwhile.
            let Some(first) = queue.borrow().first().map(<[u8]>::to_vec) else {
                filled.notified().await;
                continue;
            };
            let sent = client.report(&first, clock::wall()).await;
            let is_gone = queue.borrow().first().is_none_or(|now| *now != *first);
            match sent {
                Ok(()) => {
                    patience = Patience::new(client);
                    is_away = false;
                    if !is_gone {
                        queue.borrow_mut().pop();
                    }
                }
                Err(failure) => {
                    if !std::mem::replace(&mut is_away, true) {
                        tracing::warn!("reports wait: {failure}");
                    }
                    let is_bad =
                        matches!(&failure, Failure::Refused { status, .. } if matches!(status.as_u16(), 400 | 413 | 422));
                    if is_bad && !is_gone {
                        tracing::error!("central does not take a report, which is left out: {failure}");
                        queue.borrow_mut().pop();
                    }
                    patience.wait().await;
                }
            }
        }
    };
    tokio::join!(filling, sending);
}

/// Until the next report is due: after the interval, when a container came or went, or when somebody asks for it.
async fn until_due(last: &Snapshot, interval: Duration, parts: &Parts, shared: &Shared) {
    let until = Instant::now() + interval;
    let ids = |snapshot: &Snapshot| snapshot.containers.iter().map(|c| c.container.cgroup_id).collect::<Vec<_>>();
    let reported = ids(last);
    loop {
        let look = (Instant::now() + LOOK).min(until);
        if timeout_at(look, shared.now.notified()).await.is_ok() || Instant::now() >= until {
            // What came of it is to be in the snapshot.
            sleep_until(Instant::now() + Duration::from_millis(20)).await;
            return;
        }
        if ids(&parts.snapshot.load()) != reported {
            return;
        }
    }
}

fn compressed(report: &Report) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&serde_json::to_vec(report)?)?;
    encoder.finish()
}
