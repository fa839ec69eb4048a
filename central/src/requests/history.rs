//! The requests that agents made themselves, the newest of them as documents that are marked as done: for people and audits. A fixed number of
//! documents is written over and over, at most every few seconds, so that a busy fleet costs no more than this. Of several centrals each writes
//! its own part of them: where all wrote over the same, they would meet at each.

use std::collections::VecDeque;

use headroom_model::documents::request::Request as Document;
use headroom_model::policy::request::{Direction, Field, action};
use headroom_model::wire::Decision;
use headroom_model::{number, resource::Resource};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::STATE;
use crate::central::Central;
use crate::documents::{Documents, Edit};
use crate::store::{Body, Database, StoreError};

/// Documents that are kept.
const MOST: usize = 100;

/// What their names begin with.
const PREFIX: &str = "agents-";

/// What was decided and is not written yet: the newest.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Body>>);

/// Whether a document is one of the history's, by its name.
pub(super) fn is_kept_here(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|number| number.parse::<usize>().is_ok())
}

impl History {
    /// A host's agent decided; its clock is so far behind ours.
    pub fn add(&self, host: &str, behind: f64, decisions: &[Decision]) {
        let mut news = decisions.iter().rev().filter_map(|decision| document(host, behind, decision)).take(MOST).peekable();
        if news.peek().is_none() {
            return;
        }
        let mut waiting = self.0.lock();
        let news: Vec<Body> = news.collect();
        waiting.extend(news.into_iter().rev());
        while waiting.len() > MOST {
            waiting.pop_front();
        }
    }

    /// Writes them over the oldest.
    pub(super) async fn write(&self, central: &Central) -> Result<(), StoreError> {
        // One that does not know its part yet waits.
        let Some(part) = central.leases.place() else { return Ok(()) };
        let mut news: Vec<Body> = self.0.lock().drain(..).collect();
        if news.is_empty() {
            return Ok(());
        }
        let places = places(&central.documents, part);
        let newest = news.split_off(news.len().saturating_sub(places.len()));
        let mut edits: Vec<Edit> = Vec::new();
        for (name, body) in places.into_iter().zip(newest) {
            if central.documents.has(Database::Requests, &name) {
                edits.push((Database::Requests, name, Box::new(move |document| document.clone_from(&body))));
            } else if let Err(e) = central.documents.create(Database::Requests, &name, body).await {
                tracing::debug!("the request {name} is not kept: {e}");
            }
        }
        central.documents.edit_many(edits).await.map(|_| ())
    }
}

/// Where the next may go: where there is none yet, then over the oldest, in one part of so many.
fn places(documents: &Documents, (part, parts): (usize, usize)) -> Vec<String> {
    let age = |name: &String| {
        let body = documents.body(Database::Requests, name);
        body.and_then(|body| number::lenient(body.get("timestamp")?)).unwrap_or(f64::NEG_INFINITY)
    };
    let own = (part..MOST).step_by(parts.max(1)).map(|n| format!("{PREFIX}{n:02}"));
    let mut names: Vec<(f64, String)> = own.map(|name| (age(&name), name)).collect();
    names.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    names.into_iter().map(|(_, name)| name).collect()
}

/// What a request that moved a limit is kept as.
fn document(host: &str, behind: f64, decision: &Decision) -> Option<Body> {
    let direction = direction(decision.resource, &decision.action)?;
    let amount = decision.to.amount()? - decision.from.amount()?;
    if !matches!(decision.outcome.as_str(), "applied" | "partial") {
        return None;
    }
    let mut rest = Body::from_iter([("type".to_owned(), json!("request")), (STATE.to_owned(), json!("done"))]);
    rest.insert("why".into(), json!(decision.why));
    rest.extend(decision.detail.as_ref().map(|detail| ("reason".to_owned(), json!(detail))));
    let request = Document {
        resource: decision.resource,
        amount: number::rounded(amount, 2),
        priority: None,
        structure: decision.structure.clone(),
        structure_type: Some("container".into()),
        action: action(decision.resource, direction).into(),
        field: Field::Current,
        timestamp: Some(number::rounded(decision.at + behind, 3)),
        host: Some(host.to_owned()),
        pair_structure: None,
        rest,
    };
    match serde_json::to_value(request) {
        Ok(Value::Object(body)) => Some(body),
        _ => None,
    }
}

/// Of what is a request, and no first limit or the like.
fn direction(resource: Resource, name: &str) -> Option<Direction> {
    [Direction::Up, Direction::Down].into_iter().find(|direction| action(resource, *direction) == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use headroom_model::limit::Limit;

    use super::*;
    use crate::store::Sqlite;

    fn decision(action: &str, outcome: &str) -> Decision {
        Decision {
            at: 100.0,
            structure: "cont0".into(),
            resource: Resource::Cpu,
            action: action.into(),
            why: "CpuRescaleUp (amount 75)".into(),
            from: Limit::At(100.0),
            to: Limit::At(175.0),
            outcome: outcome.into(),
            detail: None,
        }
    }

    #[test]
    fn only_requests_that_moved_a_limit_are_kept() {
        let body = document("host0", 2.5, &decision("CpuRescaleUp", "applied")).unwrap();
        let expected = json!({"type": "request", "state": "done", "resource": "cpu", "amount": 75, "structure": "cont0",
            "structure_type": "container", "action": "CpuRescaleUp", "field": "current", "timestamp": 102.5, "host": "host0",
            "why": "CpuRescaleUp (amount 75)"});
        assert_eq!(Value::Object(body), expected);
        assert_eq!(document("host0", 0.0, &decision("FirstLimit", "applied")), None);
        assert_eq!(document("host0", 0.0, &decision("CpuRescaleUp", "starved")), None);
    }

    #[test]
    fn of_many_the_newest_wait() {
        let history = History::default();
        let many: Vec<Decision> =
            (0..MOST + 5).map(|n| Decision { structure: format!("c{n}"), ..decision("CpuRescaleUp", "applied") }).collect();
        history.add("host0", 0.0, &many);
        history.add("host0", 0.0, &many[..1]);
        let waiting = history.0.lock();
        assert_eq!(waiting.len(), MOST);
        assert_eq!((&waiting[0]["structure"], &waiting[MOST - 1]["structure"]), (&json!("c6"), &json!("c0")));
    }

    #[tokio::test]
    async fn centrals_share_the_places_out() {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&directory.path().join("state.db")).unwrap();
        let documents = Documents::open(Arc::new(store)).await.unwrap();
        let parts: Vec<Vec<String>> = (0..3).map(|part| places(&documents, (part, 3))).collect();
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [34, 33, 33]);
        let all: BTreeSet<&String> = parts.iter().flatten().collect();
        assert_eq!((all.len(), all.iter().all(|name| is_kept_here(name))), (MOST, true));
    }
}
