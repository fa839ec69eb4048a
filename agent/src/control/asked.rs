//! Requests from outside the host: planned and carried out as the Guardian's are, and answered.

use std::collections::HashMap;
use std::sync::Arc;

use headroom_model::limit::Limit;
use headroom_model::policy::request::{Field, Request};
use headroom_model::wire::RequestDone;
use tokio::sync::oneshot;

use super::apply::Pending;
use super::pairs::{Came, Pairs, Then};
use super::state::State;
use crate::api::command::Wanted;
use crate::clock;
use crate::config::ContainerRule;

/// What is not answered yet, by what whoever asked calls it.
#[derive(Debug, Default)]
pub(super) struct Outside {
    replies: HashMap<Arc<str>, oneshot::Sender<RequestDone>>,
    /// Wait for a write that is under way.
    waiting: Vec<Request>,
    pub(super) pairs: Pairs,
}

impl State {
    /// Takes up requests that are to be planned together.
    pub(super) fn asked(&mut self, wanted: Vec<Wanted>) {
        for Wanted { request, reply } in wanted {
            if let Some(id) = request.asked.clone() {
                self.outside.replies.insert(id, reply);
                self.outside.waiting.push(request);
            }
        }
        self.carry_out_asked();
    }

    /// Carries out what waits and need not wait longer.
    pub(super) fn carry_out_asked(&mut self) {
        if self.outside.waiting.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.outside.waiting);
        let is_held_up = |request: &Request| {
            let entry = self.id_of(&request.structure).and_then(|id| self.entries.get(&id));
            entry.is_some_and(|entry| entry.in_flight.contains(request.resource))
        };
        let is_early =
            |request: &&Request| is_held_up(request) || all.iter().any(|other| request.pairs_with(other) && is_held_up(other));
        let (early, ready): (Vec<&Request>, Vec<&Request>) = all.iter().partition(is_early);
        let (early, ready) = (early.into_iter().cloned().collect(), ready.into_iter().cloned().collect::<Vec<Request>>());
        self.outside.waiting = early;
        if ready.is_empty() {
            return;
        }
        self.requests.extend(ready.iter().cloned());
        let now_ns = clock::monotonic_ns();
        self.carry_out(now_ns);
        self.write_staged(now_ns);
        for request in ready {
            // Nothing was told of it: what the limit was planned from is not what stands.
            if request.asked.as_ref().is_some_and(|id| !self.is_under_way(id)) {
                self.came_out(&request, Came::Not(Some("something else changed its limit just now; ask again".to_owned())));
            }
        }
    }

    fn is_under_way(&self, id: &Arc<str>) -> bool {
        let is_it =
            |pending: &Pending| matches!(pending, Pending::Grant { grant, .. } if grant.request.asked.as_ref() == Some(id));
        self.pending.values().any(is_it)
    }

    /// Tells whoever asked, if this was asked for.
    pub(super) fn answer(&mut self, request: &Request, limits: (Limit, Limit), outcome: &str, detail: Option<String>) {
        let came = match outcome {
            "applied" | "partial" | "unchanged" => Came::Done { limits, detail },
            "advised" => Came::Not(Some("its host only advises it: decided on paper, nothing was written".to_owned())),
            _ => Came::Not(detail),
        };
        self.came_out(request, came);
    }

    /// Answers what can be answered now: a half of a pair waits for the other.
    pub(super) fn came_out(&mut self, request: &Request, came: Came) {
        let Some(id) = &request.asked else { return };
        match self.outside.pairs.came(id, came) {
            Then::Alone(came) => self.answer_alone(request, came),
            Then::Waits => {}
            Then::Takes(grant) => self.take(*grant),
            Then::Both(halves) => self.end_pair(*halves),
        }
    }

    /// Tells whoever asked.
    pub(super) fn answer_alone(&mut self, request: &Request, came: Came) {
        let Some(id) = &request.asked else { return };
        match came {
            Came::Done { limits, detail } => {
                let max = if request.field == Field::Max { self.take_over_max(request) } else { None };
                self.reply(id, Some(limits), max, detail);
            }
            Came::Not(reason) => self.reply(id, None, None, reason),
        }
    }

    fn reply(&mut self, id: &Arc<str>, limits: Option<(Limit, Limit)>, max: Option<f64>, reason: Option<String>) {
        if let Some(reply) = self.outside.replies.remove(id) {
            // Whoever asked may have given up.
            reply.send(RequestDone { id: id.as_ref().to_owned(), limits, max, reason }).ok();
        }
    }

    /// A `max` that was asked for counts from now on; the documents follow.
    fn take_over_max(&mut self, request: &Request) -> Option<f64> {
        let max = self.ledger.entry(&request.structure, request.resource)?.share?.max;
        let entry = self.entries.get_mut(&self.id_of(&request.structure)?)?;
        if let Some(guarded) = &mut entry.subject.resources[request.resource] {
            guarded.bounds.max = max;
        }
        if let Some(rule) = &mut entry.rule {
            let mut new = ContainerRule::clone(rule);
            if let Some(of) = &mut new.resources[request.resource] {
                of.max = max;
            }
            *rule = Arc::new(new);
        }
        Some(max)
    }
}
