//! Who is there and who holds what, out of what the store shows: pure, but for the documents' names.
//!
//! A central is there while its document is. It writes that document anew every second; one whose document has not changed for [`DEAD`], by the
//! clock of who looks, is taken for dead, and its document is deleted: in the version that was looked at, so that one that lives after all
//! makes the deletion fail. What is held names its holder, and is free when the holder's document is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store::{Body, Database, Document, Rev, Write};

/// A central holds what it holds for so long after it last said that it is there.
pub(super) const HELD: Duration = Duration::from_secs(4);

/// One that has not said so for this long is taken for dead: later than it holds anything by its own clock.
pub(super) const DEAD: Duration = Duration::from_secs(5);

/// A time on the kernel's clock that goes on while a machine is suspended: what was held then is not held any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) Duration);

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        let clock = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
        // Every kernel that this runs on has it.
        Self(clock.map(Duration::from).unwrap_or_default())
    }

    /// How long it is since an earlier one.
    pub(super) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the documents' ids begin with. In this order: hosts' claims are many, and are not looked at all the time.
pub(super) const CENTRAL: &str = "central/";
pub(super) const DUTY: &str = "duty/";
pub(super) const HOST: &str = "host/";

/// Grows with each holder. What is written under a lease carries it, so that who held it before writes no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl Fence {
    /// Of the one central that an embedded State Database has: nobody else writes.
    pub const ALONE: Self = Self(0);

    /// The next holder's. Also after the documents were deleted it is a greater one than before, since it is no smaller than the time.
    pub(super) fn next(self, wall: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since the epoch")]
        Self((self.0 + 1).max(wall as u64))
    }
}

/// A central, as it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Presence {
    /// Where the others find it.
    pub url: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Since when it is there: seconds since the epoch.
    #[serde(default)]
    pub since: f64,
    /// When it last said so, by its own clock.
    #[serde(default)]
    pub at: f64,
}

/// Something that one central at a time does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Duty {
    /// The central's id; empty: nobody.
    pub(super) holder: String,
    pub(super) fence: Fence,
}

/// What the store shows, all of it read after one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) centrals: BTreeMap<Arc<str>, (Rev, Presence)>,
    pub(super) duties: BTreeMap<String, (Rev, Duty)>,
}

impl Look {
    /// Takes a document in. False when it is a host's claim: from there on there are only these.
    pub(super) fn take(&mut self, document: &Document) -> bool {
        let of = |body: &Body| Value::Object(body.clone());
        if let Some(id) = document.id.strip_prefix(CENTRAL) {
            let presence = serde_json::from_value(of(&document.body)).unwrap_or_default();
            self.centrals.insert(id.into(), (document.rev.clone(), presence));
        } else if let Some(name) = document.id.strip_prefix(DUTY)
            && let Ok(duty) = serde_json::from_value(of(&document.body))
        {
            self.duties.insert(name.to_owned(), (document.rev.clone(), duty));
        }
        !document.id.starts_with(HOST)
    }
}

/// What this central knows.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Its own id, while its document is there, and when it began to write that document for the last time that was answered.
    pub(super) me: Option<(Arc<str>, Moment)>,
    /// The others' documents, and since when they are in this version.
    seen: BTreeMap<Arc<str>, (Rev, Moment)>,
    pub(super) look: Look,
}

impl Table {
    /// Its own id, while the others believe that it is there.
    pub(super) fn id(&self, now: Moment) -> Option<&Arc<str>> {
        self.me.as_ref().filter(|(_, since)| now.since(*since) < HELD).map(|(id, _)| id)
    }

    /// Whether it holds something: it said in time that it is there, and then saw that it does.
    pub(super) fn held(&self, name: &str, now: Moment) -> Option<Fence> {
        let id = self.id(now)?;
        self.look.duties.get(name).filter(|(_, duty)| *duty.holder == **id).map(|(_, duty)| duty.fence)
    }

    /// Takes a look in. What is to be written about it: the dead go, and what is `wanted` and nobody's is taken.
    pub(super) fn next(&mut self, look: Look, wanted: &BTreeSet<String>, now: Moment, wall: f64) -> Vec<Write> {
        self.look = look;
        let Some(me) = self.id(now).cloned() else { return Vec::new() };
        let Self { look, seen, .. } = self;
        seen.retain(|id, _| look.centrals.contains_key(id));
        let mut writes = Vec::new();
        for (id, (rev, _)) in look.centrals.iter().filter(|(id, _)| **id != me) {
            match seen.get(id) {
                Some((before, since)) if before == rev => {
                    if now.since(*since) >= DEAD {
                        writes.push(write(format!("{CENTRAL}{id}"), Some(rev), None));
                    }
                }
                _ => drop(seen.insert(Arc::clone(id), (rev.clone(), now))),
            }
        }
        for name in wanted {
            let (rev, duty) = look.duties.get(name).map(|(rev, duty)| (rev, duty)).unzip();
            if duty.is_some_and(|duty| look.centrals.contains_key(duty.holder.as_str())) {
                continue;
            }
            let fence = duty.map_or(Fence::default(), |duty| duty.fence).next(wall);
            let mut body = Body::from_iter([("type".into(), "lease".into()), ("name".into(), name.as_str().into())]);
            body.extend([("holder".into(), (*me).into()), ("fence".into(), fence.0.into())]);
            writes.push(write(format!("{DUTY}{name}"), rev, Some(body)));
        }
        writes
    }
}

pub(super) fn write(id: String, expected: Option<&Rev>, body: Option<Body>) -> Write {
    Write { database: Database::Centrals, id, expected: expected.cloned(), body }
}

#[cfg(test)]
impl Table {
    /// What it saw was so long ago.
    pub(super) fn look_back(&mut self, time: Duration) {
        for (_, since) in self.seen.values_mut() {
            since.0 -= time;
        }
    }
}
