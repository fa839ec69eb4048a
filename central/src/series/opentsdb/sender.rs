//! The thread that writes: one request after the other, each until it is taken.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::client::{Answer, Client};
use super::queue::{First, Queue, compressed};

/// Between two tries; doubled up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What became of a request.
#[derive(Debug, PartialEq)]
enum Fate {
    Taken,
    /// Some of its points are refused, and would be again.
    Partly {
        refused: u64,
        why: String,
    },
    /// The whole of it is refused, and would be again.
    Refused(String),
    TooLong,
    /// It is to be sent again.
    Later(String),
}

/// Until the queue is closed.
pub(super) fn run(client: &Client, queue: &Queue) {
    let mut pause = AGAIN.0;
    let mut refusals: u64 = 0;
    while let Some(first) = queue.first() {
        let fate = client.put(&first.body).map_or_else(Fate::Later, |answer| fate(&answer));
        if let Fate::Later(why) = fate {
            if pause == AGAIN.0 {
                tracing::warn!("series wait: {why}");
            }
            queue.say(Some(why));
            queue.rest(pause);
            pause = (pause * 2).min(AGAIN.1);
            continue;
        }
        if pause != AGAIN.0 {
            tracing::info!("OpenTSDB takes series again");
            pause = AGAIN.0;
        }
        queue.say(None);
        let refused = match fate {
            Fate::Partly { refused, why } => Some((refused, why)),
            Fate::Refused(why) => Some((points(&first.body).map_or(1, |points| points.len() as u64), why)),
            Fate::TooLong => {
                part(queue, &first);
                continue;
            }
            Fate::Taken | Fate::Later(_) => None,
        };
        if let Some((count, why)) = refused {
            let before = refusals;
            refusals += count;
            // As often as their number doubles: what is wrong with one is wrong with the next.
            if before.max(1).ilog2() != refusals.ilog2() || before == 0 {
                tracing::error!(points = refusals, "OpenTSDB refuses data points, which are lost: {why}");
            }
        }
        queue.done(&first, &[]);
    }
}

/// With `details`, it says of a request that is understood how many of its points failed, and why.
fn fate(answer: &Answer) -> Fate {
    match answer.status {
        200..=299 | 400 => {
            let details = answer.json().unwrap_or_default();
            match (details["failed"].as_u64(), answer.status) {
                (Some(0), _) | (None, 200..=299) => Fate::Taken,
                (Some(refused), _) => {
                    let why = details["errors"][0]["error"].as_str().unwrap_or("it does not say why").to_owned();
                    Fate::Partly { refused, why: format!("{why} ({})", details["errors"][0]["datapoint"]) }
                }
                (None, _) => Fate::Refused(answer.said()),
            }
        }
        413 => Fate::TooLong,
        // Not an OpenTSDB at this URL, or not yet: somebody has to see to it, and then all is sent.
        _ => Fate::Later(answer.said()),
    }
}

/// Puts two halves in the place of a request that is too long.
fn part(queue: &Queue, first: &First) {
    let halves = points(&first.body).filter(|points| points.len() > 1).and_then(|points| {
        let (left, right) = points.split_at(points.len() / 2);
        Some([compressed(&left).ok()?, compressed(&right).ok()?])
    });
    if halves.is_none() {
        tracing::error!("OpenTSDB takes no request of {} bytes, whose data points are lost", first.body.len());
    }
    queue.done(first, halves.as_ref().map_or(&[], |halves| halves));
}

fn points(body: &Arc<[u8]>) -> Option<Vec<Value>> {
    let mut text = String::new();
    GzDecoder::new(&**body).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, text: &str) -> Fate {
        fate(&Answer { status, text: text.to_owned() })
    }

    #[test]
    fn answers_say_what_is_to_be_done() {
        assert_eq!(of(204, ""), Fate::Taken);
        assert_eq!(of(200, r#"{"success":2,"failed":0,"errors":[]}"#), Fate::Taken);
        let some = r#"{"success":1,"failed":2,"errors":[{"datapoint":{"metric":"a b"},"error":"Invalid metric name"}]}"#;
        let why = "Invalid metric name ({\"metric\":\"a b\"})".to_owned();
        assert_eq!(of(400, some), Fate::Partly { refused: 2, why });
        let none = r#"{"error":{"code":400,"message":"Unable to parse the given JSON"}}"#;
        assert_eq!(of(400, none), Fate::Refused("it answered 400: Unable to parse the given JSON".to_owned()));
        assert_eq!(of(413, ""), Fate::TooLong);
        assert_eq!(of(503, "busy"), Fate::Later("it answered 503: busy".to_owned()));
        assert!(matches!(of(404, ""), Fate::Later(_)));
    }
}
