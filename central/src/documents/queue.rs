//! Edits that wait for one document.
//!
//! A write takes as long as the disk does. Edits of a document that come meanwhile are made on what it will be then, one on top of the
//! other, and go to the store together: the first of them leads, the others follow. Sixteen people who turn one knob at once wait for
//! two writes, not for sixteen.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::answer::Answer;
use crate::store::{Body, Database, StoreError};

/// What became of edits that were written together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// They are durable.
    Written,
    /// The document was not what they were made on: each has to be made again.
    Again,
    /// They were not made.
    Failed(StoreError),
}

/// Where an edit stands.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// It changes nothing, and nothing is on its way.
    Nothing,
    /// Another one writes it too.
    Following(watch::Receiver<Option<Outcome>>),
    /// It has to write all those that follow.
    Leading(Leader<'a>),
}

/// By document.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<HashMap<(Database, Box<str>), Pending>>);

#[derive(Debug, Default)]
struct Pending {
    /// What is being written.
    writing: Option<Body>,
    /// What waits for that to end.
    next: Option<Edits>,
}

/// Edits, made on each other.
#[derive(Debug)]
pub(super) struct Edits {
    /// What the document has to be.
    pub(super) base: Body,
    /// What it is to become.
    pub(super) body: Body,
    outcome: watch::Sender<Option<Outcome>>,
}

impl Queue {
    /// Makes an edit on what the document will be when everything that is on its way is written; `now` is what it is without.
    pub(super) fn join<T>(
        &self,
        database: Database,
        name: &str,
        now: impl FnOnce() -> Result<Body, Answer>,
        edit: impl Fn(&mut Body) -> Result<T, Answer>,
    ) -> Result<(T, Place<'_>), Answer> {
        let key = (database, Box::from(name));
        let mut all = self.0.lock();
        let pending = all.get_mut(&key);
        let coming =
            pending.as_ref().and_then(|pending| pending.next.as_ref().map(|edits| &edits.body).or(pending.writing.as_ref()));
        let base = match coming {
            Some(body) => body.clone(),
            None => now()?,
        };
        let mut body = base.clone();
        let value = edit(&mut body)?;
        if let Some(Pending { next: Some(edits), .. }) = pending {
            edits.body = body;
            return Ok((value, Place::Following(edits.outcome.subscribe())));
        }
        if pending.is_none() && body == base {
            return Ok((value, Place::Nothing));
        }
        let (outcome, _) = watch::channel(None);
        all.entry(key.clone()).or_default().next = Some(Edits { base, body, outcome });
        Ok((value, Place::Leading(Leader { queue: self, key, stage: Stage::Waits })))
    }
}

/// Who writes. One that is dropped halfway, because nobody waits for it any more, lets the others go on by themselves.
#[derive(Debug)]
pub(super) struct Leader<'a> {
    queue: &'a Queue,
    key: (Database, Box<str>),
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waits,
    Writes,
    Done,
}

impl Leader<'_> {
    /// It is this document's turn: edits that come from now on are the next leader's. To be ended by [`Leader::end`].
    pub(super) fn begin(&mut self) -> Option<Edits> {
        let mut all = self.queue.0.lock();
        let pending = all.get_mut(&self.key)?;
        let edits = pending.next.take()?;
        pending.writing = Some(edits.body.clone());
        self.stage = Stage::Writes;
        Some(edits)
    }

    /// Tells everybody what became of it.
    pub(super) fn end(mut self, edits: &Edits, outcome: Outcome) {
        self.leave();
        self.stage = Stage::Done;
        edits.outcome.send_replace(Some(outcome));
    }

    fn leave(&self) {
        let mut all = self.queue.0.lock();
        let Some(pending) = all.get_mut(&self.key) else { return };
        match self.stage {
            Stage::Waits => pending.next = None,
            Stage::Writes => pending.writing = None,
            Stage::Done => {}
        }
        if pending.writing.is_none() && pending.next.is_none() {
            all.remove(&self.key);
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        if self.stage != Stage::Done {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DB: Database = Database::Rules;

    fn body(n: i64) -> Body {
        Body::from_iter([("n".to_owned(), json!(n))])
    }

    /// Adds one to what is there; the value is what there was.
    fn add(queue: &Queue, now: i64) -> (i64, Place<'_>) {
        let edit = |body: &mut Body| {
            let before = body["n"].as_i64().unwrap();
            body.insert("n".into(), json!(before + 1));
            Ok(before)
        };
        queue.join(DB, "x", || Ok(body(now)), edit).unwrap()
    }

    fn leading(place: Place<'_>) -> Leader<'_> {
        match place {
            Place::Leading(leader) => leader,
            other => panic!("{other:?}"),
        }
    }

    fn following(place: Place<'_>) -> watch::Receiver<Option<Outcome>> {
        match place {
            Place::Following(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn edits_that_come_while_one_is_written_go_together() {
        let queue = Queue::default();
        let (value, place) = add(&queue, 0);
        let mut first = leading(place);
        let written = first.begin().unwrap();
        assert_eq!((value, &written.base, &written.body), (0, &body(0), &body(1)));
        // Memory has 0 until it is written.
        let (value, place) = add(&queue, 0);
        let mut second = leading(place);
        let (third_value, place) = add(&queue, 0);
        let third = following(place);
        assert_eq!((value, third_value), (1, 2));
        first.end(&written, Outcome::Written);
        let together = second.begin().unwrap();
        assert_eq!((&together.base, &together.body), (&body(1), &body(3)));
        assert_eq!(*third.borrow(), None);
        second.end(&together, Outcome::Written);
        assert_eq!(*third.borrow(), Some(Outcome::Written));
        assert!(queue.0.lock().is_empty());
        assert_eq!(add(&queue, 3).0, 3, "from memory again");
    }

    #[test]
    fn what_changes_nothing_waits_only_for_what_is_on_its_way() {
        let queue = Queue::default();
        let look = || queue.join(DB, "x", || Ok(body(0)), |body| Ok(body["n"].clone())).unwrap();
        assert!(matches!(look(), (_, Place::Nothing)));
        let (_, place) = add(&queue, 0);
        let (seen, follows) = look();
        assert_eq!(seen, json!(1));
        assert_eq!(*following(follows).borrow(), None);
        drop(place);
        assert!(queue.0.lock().is_empty());
    }

    #[test]
    fn a_leader_that_goes_away_leaves_its_followers_to_themselves() {
        let queue = Queue::default();
        let (_, place) = add(&queue, 0);
        let leader = leading(place);
        let (_, place) = add(&queue, 0);
        let follower = following(place);
        drop(leader);
        assert!(follower.has_changed().is_err(), "nobody will tell");
        assert_eq!(add(&queue, 0).0, 0, "nothing was made");

        let (_, place) = add(&queue, 5);
        let mut leader = leading(place);
        let edits = leader.begin();
        drop((leader, edits));
        assert!(queue.0.lock().is_empty());
    }

    #[test]
    fn what_is_refused_leaves_nothing_behind() {
        let queue = Queue::default();
        let refused = queue.join(DB, "x", || Ok(body(0)), |_| Err::<(), _>(Answer::bad("no")));
        assert!(refused.is_err());
        let gone = queue.join(DB, "x", || Err(Answer::missing("none")), |_| Ok(()));
        assert!(gone.is_err() && queue.0.lock().is_empty());
    }
}
