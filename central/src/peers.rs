//! The other centrals on the same store: what their hosts report is asked for every second, so that each central answers for the whole fleet,
//! counts for all of it, and takes over an agent knowing what it said before.
//!
//! What is in no central's memory but one's is asked for when somebody wants it (decisions), or handed on (limits that an agent is to set at
//! once).

mod client;
mod config;
mod routes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join_all;
use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::{AbortHandle, JoinSet};

use crate::answer::Answer;
use crate::central::{Central, wall};
use crate::fleet::{MANY, Relays, SET_WITHIN};
use client::Client;

pub use config::Settings;
pub use routes::router;

/// How often the others are asked.
const EVERY: Duration = Duration::from_secs(1);

/// How often it is looked who is there, and whether this central is still in touch with the store.
const LOOK: Duration = Duration::from_millis(250);

/// How often claims of hosts that are quiet are let go.
const LET_GO: Duration = Duration::from_secs(2);

/// What another central said of itself is good for so long.
const FRESH: Duration = Duration::from_secs(4);

/// Limits that an agent is to set at once, for the central that it asks.
#[derive(Debug, Serialize, Deserialize)]
struct Sets {
    host: String,
    sets: Vec<Set>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Set {
    structure: String,
    resource: Resource,
    limit: Limit,
}

/// What is known of the others.
#[derive(Debug)]
pub struct Peers {
    /// None: there can be no others.
    client: Option<Client>,
    told: Mutex<BTreeMap<Arc<str>, Told>>,
}

/// What one of them last said.
#[derive(Debug)]
struct Told {
    at: Instant,
    /// Whether it can write to the store; or why it did not answer.
    said: Result<bool, String>,
}

impl Peers {
    /// With the token and the authorities of the settings.
    pub fn new(settings: &Settings) -> Result<Self> {
        Ok(Self { client: Some(Client::new(settings)?), told: Mutex::default() })
    }

    /// Of the only central.
    pub fn none() -> Self {
        Self { client: None, told: Mutex::default() }
    }

    fn client(&self) -> Result<&Client, Answer> {
        self.client.as_ref().ok_or_else(|| Answer::unavailable("this central has none beside it"))
    }

    /// Why another central does not answer.
    pub fn trouble(&self, id: &str) -> Option<String> {
        self.told.lock().get(id).and_then(|told| told.said.clone().err())
    }

    fn heard(&self, id: &Arc<str>, said: Result<bool, String>) {
        let before = self.told.lock().insert(Arc::clone(id), Told { at: Instant::now(), said: said.clone() });
        let was = before.and_then(|told| told.said.err());
        match (was, said) {
            (Some(_), Ok(_)) => tracing::info!(central = %id, "the other central answers again"),
            (None, Err(why)) => tracing::warn!(central = %id, "hosts of another central are not known: {why}"),
            _ => {}
        }
    }

    /// Whether it said that it cannot write to the store either.
    fn is_out_of_touch(&self, id: &str) -> bool {
        self.told.lock().get(id).is_some_and(|told| told.at.elapsed() < FRESH && told.said == Ok(false))
    }
}

impl Central {
    /// Whether agents had better go to another central: this one has lost touch with the store, and there is one that may not have.
    pub fn sends_away(&self) -> bool {
        !self.leases.is_in_touch() && self.leases.others().iter().any(|(id, _)| !self.peers.is_out_of_touch(id))
    }

    /// Refuses an agent that had better go to another central.
    pub fn may_take(&self) -> Result<(), Answer> {
        if self.sends_away() {
            return Err(Answer::unavailable("this central has lost touch with the State Database: ask another one"));
        }
        Ok(())
    }

    /// Has limits set at once, by way of whichever central the host's agent asks.
    pub async fn set_limits(&self, host: &str, sets: Vec<(String, Resource, Limit)>) -> Result<(), Answer> {
        let others = self.leases.others();
        let via = self.fleet.via(host).and_then(|via| others.into_iter().find(|(id, _)| *id == via));
        let Some((_, url)) = via else { return self.fleet.set_limits(host, sets).await };
        let set = |(structure, resource, limit)| Set { structure, resource, limit };
        let sets = Sets { host: host.to_owned(), sets: sets.into_iter().map(set).collect() };
        self.peers.client()?.post(&url, "/central/sets", &json!(sets), SET_WITHIN).await
    }

    /// What each of the others answers; one that does not is left out.
    pub async fn ask_others<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Vec<T> {
        let others = self.leases.others();
        let asked = others.iter().map(async |(id, url)| {
            let answer = async { self.peers.client()?.get::<T>(url, path, query).await };
            answer
                .await
                .inspect_err(|error| tracing::warn!(central = %id, path, "an answer lacks another central's: {error}"))
                .ok()
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// For ever: asks those who are there, and lets waiting agents know when they had better go.
pub async fn run(central: Central) {
    let mut asking: BTreeMap<(Arc<str>, String), AbortHandle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let (mut sent_away, mut let_go) = (false, Instant::now());
    loop {
        let others = central.leases.others();
        asking.retain(|other, task| {
            let stays = others.contains(other);
            if !stays {
                task.abort();
                central.peers.told.lock().remove(&other.0);
                central.fleet.requests_of(&other.0, &[], wall());
            }
            stays
        });
        for other in others {
            let (id, url) = other.clone();
            asking.entry(other).or_insert_with(|| tasks.spawn(ask(central.clone(), id, url)));
        }
        while tasks.try_join_next().is_some() {}
        let sends_away = central.sends_away();
        if sends_away != std::mem::replace(&mut sent_away, sends_away) {
            central.fleet.touch_all();
        }
        if let_go.elapsed() > LET_GO {
            let_go = Instant::now();
            if let Err(error) = central.leases.let_go(|host| !central.fleet.is_here(host)).await {
                tracing::debug!("claims of hosts that are not here any more stay for now: {error}");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks one of them every second, for ever.
async fn ask(central: Central, id: Arc<str>, url: String) {
    let mut after = 0_u64;
    loop {
        let next = tokio::time::Instant::now() + EVERY;
        let me = central.leases.id().map(|id| id.to_string()).unwrap_or_default();
        let query = [("after", after.to_string()), ("central", me)];
        match async { central.peers.client()?.get::<Relays>(&url, "/central/hosts", &query).await }.await {
            Ok(relays) => {
                central.peers.heard(&id, Ok(relays.in_touch));
                after = relays.through;
                central.fleet.requests_of(&id, &relays.requests, wall());
                take(&central, &id, &relays).await;
                if relays.hosts.len() >= MANY {
                    continue;
                }
            }
            Err(error) => central.peers.heard(&id, Err(error.message)),
        }
        tokio::time::sleep_until(next).await;
    }
}

/// Takes in what it was reported. What is counted here too is there when the other central is not: each has all accounts.
async fn take(central: &Central, id: &Arc<str>, relays: &Relays) {
    let now = wall();
    let counted = relays.hosts.iter().map(async |relayed| {
        let is_news = central.fleet.relay(id, relayed, now);
        if is_news {
            let counted = central.ledger.receive(&relayed.report, now - relayed.so_ago, |container| central.groups.of(container));
            if let Err(error) = counted.await {
                tracing::warn!(host = relayed.report.host, "amounts wait for the next report: {error}");
            }
        }
    });
    join_all(counted).await;
}
