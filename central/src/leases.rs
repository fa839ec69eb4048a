//! What centrals beside each other on one store agree on: who is there, and what only one of them does at a time.
//!
//! Each has a document in the database `centrals` that it writes anew every second; a lease is a document that names its holder ([`table`]).
//! Everything is written in the version that was seen, so of two who want something one gets it. Clocks are not compared: how long ago
//! something changed is each one's own observation. A lease has a fencing number, which grows with each holder; what is written under it
//! shows it ([`fenced`]), so that one who was held up, and still believes to hold it, does no harm.

mod claims;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use crate::central::wall;
use crate::store::{Body, Database, Rev, StateStore, StoreError, Written};
use claims::Claims;
use table::{CENTRAL, Look, Moment, Table, write};

pub use claims::NotClaimed;
pub use table::{Fence, Presence};

/// How often a central says that it is there.
const BEAT: Duration = Duration::from_secs(1);

/// One that could not say so for this long sends agents away.
const IN_TOUCH: Duration = Duration::from_secs(3);

/// A lease that nobody has asked for in this time is not wanted any more.
const WANTED: Duration = Duration::from_mins(1);

/// Documents beyond those of the last time that are read at once.
const MORE: usize = 8;

/// A central's view of the leases.
#[derive(Debug)]
pub struct Leases {
    /// None: this central is the only one there can be, and holds everything.
    store: Option<Arc<dyn StateStore>>,
    presence: Mutex<Presence>,
    table: Mutex<Table>,
    /// The version of its own document.
    rev: Mutex<Option<Rev>>,
    /// When the store last answered that it has it.
    answered: Mutex<Option<Moment>>,
    wanted: Mutex<BTreeMap<String, Moment>>,
    claims: Claims,
}

/// Who is there and who holds what, for people.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// This central.
    pub this: Option<Arc<str>>,
    /// All that are there.
    pub centrals: BTreeMap<Arc<str>, Presence>,
    /// What only one does at a time: the central that holds it, and the lease's fencing number.
    pub leases: BTreeMap<String, (String, Fence)>,
}

impl Leases {
    /// Of the only central: everything is its own.
    pub fn alone() -> Self {
        Self::new(None)
    }

    /// Of one of several on this store. To be kept by [`Leases::keep`].
    pub fn shared(store: Arc<dyn StateStore>) -> Self {
        Self::new(Some(store))
    }

    /// Where the others find this central.
    pub fn announce(&self, url: String) {
        self.presence.lock().url = url;
    }

    fn new(store: Option<Arc<dyn StateStore>>) -> Self {
        let presence = Presence { url: String::new(), version: env!("CARGO_PKG_VERSION").into(), since: wall(), at: 0.0 };
        let (table, rev, answered, wanted, claims) = Default::default();
        Self { store, presence: Mutex::new(presence), table, rev, answered, wanted, claims }
    }

    /// The fencing number, if this central holds the lease now. Who asks wants it: it is taken when nobody has it, within seconds.
    pub fn held(&self, name: &str) -> Option<Fence> {
        if self.store.is_none() {
            return Some(Fence::ALONE);
        }
        let now = Moment::now();
        self.wanted.lock().insert(name.to_owned(), now);
        self.table.lock().held(name, now)
    }

    /// Whether a lease is still held with this fencing number: to be asked when something is written under it, which may be later.
    pub fn still_held(&self, name: &str, fence: Fence) -> bool {
        self.store.is_none() || self.table.lock().held(name, Moment::now()) == Some(fence)
    }

    /// Whether this central has written to the store of late, or is alone anyway.
    pub fn is_in_touch(&self) -> bool {
        self.store.is_none() || self.answered.lock().is_some_and(|at| Moment::now().since(at) < IN_TOUCH)
    }

    /// The others that were there when this central last looked, with where they are.
    pub fn others(&self) -> Vec<(Arc<str>, String)> {
        let table = self.table.lock();
        let me = table.me.as_ref().map(|(id, _)| id);
        let others = table.look.centrals.iter().filter(|(id, _)| Some(*id) != me);
        others.map(|(id, (_, presence))| (Arc::clone(id), presence.url.clone())).collect()
    }

    /// This central's id, while it is there.
    pub fn id(&self) -> Option<Arc<str>> {
        self.table.lock().id(Moment::now()).cloned()
    }

    /// Which one of how many centrals this is, from 0: for what each has its own part of. None where it does not know.
    pub fn place(&self) -> Option<(usize, usize)> {
        if self.store.is_none() {
            return Some((0, 1));
        }
        let table = self.table.lock();
        let me = table.id(Moment::now())?;
        let centrals = &table.look.centrals;
        Some((centrals.keys().position(|id| id == me)?, centrals.len()))
    }

    /// Everything, for people; nothing when there can be only one central.
    pub fn shown(&self) -> Option<Shown> {
        self.store.as_ref()?;
        let table = self.table.lock();
        let centrals = table.look.centrals.iter().map(|(id, (_, presence))| (Arc::clone(id), presence.clone())).collect();
        let leases = table.look.duties.iter().map(|(name, (_, duty))| (name.clone(), (duty.holder.clone(), duty.fence)));
        Some(Shown { this: table.id(Moment::now()).cloned(), centrals, leases: leases.collect() })
    }

    /// Says every second that this central is there, and takes what is wanted and free, for ever.
    pub async fn keep(self: Arc<Self>) {
        if self.store.is_none() {
            return;
        }
        // Where the store is slow, saying so does not wait for looking.
        let (mut beats, mut looks) = (Beats::new(), Beats::new());
        let beating = async {
            loop {
                beats.next("this central cannot say that it is there", self.beat().await).await;
            }
        };
        let looking = async {
            loop {
                looks.next("who else is there is not known", self.watch().await).await;
            }
        };
        tokio::join!(beating, looking);
    }

    /// Says that it is there.
    pub async fn beat(&self) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        self.renew(&**store).await
    }

    /// Looks who else is there, and takes what is free.
    pub async fn watch(&self) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        let look = self.look(&**store).await?;
        let now = Moment::now();
        let wanted: BTreeSet<String> = {
            let mut wanted = self.wanted.lock();
            wanted.retain(|_, asked| now.since(*asked) < WANTED);
            wanted.keys().cloned().collect()
        };
        let writes = self.table.lock().next(look, &wanted, now, wall());
        if !writes.is_empty() {
            // What came of it is seen the next time: only what was seen is held.
            store.write(writes).await?;
        }
        Ok(())
    }

    /// Writes its own document. Where it is gone, the others have taken this central for dead: it comes back as another one, that holds nothing.
    async fn renew(&self, store: &dyn StateStore) -> Result<(), StoreError> {
        // Only this one writes it: a conflict is either a write of ours that was not answered, or a deletion.
        for _ in 0..3 {
            let (known, began) = (self.table.lock().me.as_ref().map(|(id, _)| Arc::clone(id)), Moment::now());
            let id = match &known {
                Some(id) => Arc::clone(id),
                None => new_id()?,
            };
            let (document, rev) = (format!("{CENTRAL}{id}"), self.rev.lock().clone().filter(|_| known.is_some()));
            let presence = Presence { at: wall(), ..self.presence.lock().clone() };
            let Value::Object(mut body) = json!(presence) else { return Ok(()) };
            body.insert("type".into(), "central".into());
            match store.write(vec![write(document.clone(), rev.as_ref(), Some(body))]).await?.pop() {
                Some(Written::Done(rev)) => {
                    *self.rev.lock() = Some(rev);
                    self.table.lock().me = Some((id, began));
                    *self.answered.lock() = Some(Moment::now());
                    return Ok(());
                }
                Some(Written::Refused(why)) => return Err(StoreError::Refused(why)),
                _ => {}
            }
            if let Some(found) = store.read(Database::Centrals, &document).await? {
                *self.rev.lock() = Some(found.rev);
            } else {
                tracing::warn!(%id, "the others took this central for dead: it begins anew, and holds nothing");
                self.table.lock().me = None;
                self.claims.clear();
            }
        }
        Err(StoreError::Unreachable("somebody else writes this central's document".into()))
    }

    /// All but the hosts' claims.
    async fn look(&self, store: &dyn StateStore) -> Result<Look, StoreError> {
        let known = {
            let table = self.table.lock();
            table.look.centrals.len() + table.look.duties.len()
        };
        let (mut look, mut after, limit) = (Look::default(), None::<String>, known + MORE);
        loop {
            let page = store.page(Database::Centrals, after.as_deref(), limit).await?;
            let is_last = page.len() < limit;
            after = page.last().map(|document| document.id.clone());
            if !page.iter().all(|document| look.take(document)) || is_last {
                return Ok(look);
            }
        }
    }

    /// Gives up everything, so that the others need not wait.
    pub async fn leave(&self) {
        let me = self.table.lock().me.take();
        let (Some(store), Some((id, _)), rev) = (&self.store, me, self.rev.lock().take()) else { return };
        if let Err(error) = store.write(vec![write(format!("{CENTRAL}{id}"), rev.as_ref(), None)]).await {
            tracing::warn!("the others are not told that this central ends, they find out: {error}");
        }
    }
}

/// What is done once a beat, and why it did not work the last time.
struct Beats {
    interval: tokio::time::Interval,
    said: String,
}

impl Beats {
    fn new() -> Self {
        let mut interval = tokio::time::interval(BEAT);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self { interval, said: String::new() }
    }

    /// Waits for the next; says what does not work once.
    async fn next(&mut self, what: &str, done: Result<(), StoreError>) {
        let why = done.err().map(|error| error.to_string()).unwrap_or_default();
        if why != self.said && !why.is_empty() {
            tracing::warn!("{what}: {why}");
        }
        self.said = why;
        self.interval.tick().await;
    }
}

fn new_id() -> Result<Arc<str>, StoreError> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).map_err(|e| StoreError::Refused(format!("the kernel gives no random bytes: {e}")))?;
    Ok(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")).into())
}

/// Where documents show under which leases they were written.
const FENCES: &str = "fences";

/// Makes a change that is one's only under a lease: not where a later holder has written, and the document shows the fence afterwards. One that
/// changes nothing leaves no trace.
pub fn fenced(body: &mut Body, lease: &str, fence: Fence, change: impl FnOnce(&mut Body)) {
    let written = body.get(FENCES).and_then(|fences| fences.get(lease)).and_then(Value::as_u64).unwrap_or_default();
    if fence == Fence::ALONE {
        return change(body);
    }
    if written > fence.0 {
        return;
    }
    let before = body.clone();
    change(body);
    if *body == before || written == fence.0 {
        return;
    }
    let fences = body.entry(FENCES).or_insert_with(|| json!({}));
    if let Some(fences) = fences.as_object_mut() {
        fences.insert(lease.to_owned(), fence.0.into());
    }
}
