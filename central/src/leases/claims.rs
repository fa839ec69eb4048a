//! Hosts' claims: which agent a host's name belongs to, and the central that it reports to.
//!
//! A claim is written when an agent comes, not while it stays: it holds as long as its central is there. An agent takes its claim along to
//! another central at once; another agent of that name gets it when the first one's central has let go of it, or is not there any more.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Leases;
use super::table::{CENTRAL, HOST, write};
use crate::store::{Database, Rev, StateStore, StoreError, Written};

/// How often is tried again what another central was faster with.
const ATTEMPTS: u32 = 5;

/// Why a host's name is not an agent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotClaimed {
    /// It is this instance's, which reports to a central that is there.
    Anothers(String),
    /// This is not known now.
    Unknown(StoreError),
}

impl From<StoreError> for NotClaimed {
    fn from(error: StoreError) -> Self {
        Self::Unknown(error)
    }
}

/// A claim's document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    host: String,
    instance: String,
    /// The central's id.
    holder: String,
}

/// Those that this central holds: by host, with their versions.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<Box<str>, (Claim, Rev)>>);

impl Claims {
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl Leases {
    /// Makes sure that a host's name is this agent's, and that it reports here. `stayed`: it has not reported elsewhere since it last did here; then it
    /// costs a look into memory.
    pub async fn claim(&self, host: &str, instance: &str, stayed: bool) -> Result<(), NotClaimed> {
        let Some(store) = &self.store else { return Ok(()) };
        let me = self.id().ok_or_else(|| StoreError::Unreachable("this central has lost touch with it".into()))?;
        let is_same = |(claim, _): &(Claim, Rev)| claim.instance == instance && *claim.holder == *me;
        if stayed && self.claims.0.lock().get(host).is_some_and(is_same) {
            return Ok(());
        }
        let wanted = Claim { host: host.to_owned(), instance: instance.to_owned(), holder: me.to_string() };
        for _ in 0..ATTEMPTS {
            if let Some(rev) = take(&**store, &wanted, &me).await? {
                self.claims.0.lock().insert(host.into(), (wanted, rev));
                return Ok(());
            }
        }
        Err(StoreError::Unreachable(format!("other centrals write the claim of host {host:?} all the time")).into())
    }

    /// Lets go of the claims of hosts that this central hears no more of. One that another central has taken meanwhile is that one's.
    pub async fn let_go(&self, is_over: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        let over: Vec<(Box<str>, Rev)> = {
            let mut claims = self.claims.0.lock();
            let over: Vec<Box<str>> = claims.keys().filter(|host| is_over(host)).cloned().collect();
            over.into_iter().filter_map(|host| claims.remove(&host).map(|(_, rev)| (host, rev))).collect()
        };
        if over.is_empty() {
            return Ok(());
        }
        let writes = over.iter().map(|(host, rev)| write(format!("{HOST}{host}"), Some(rev), None)).collect();
        store.write(writes).await.map(drop)
    }
}

/// The version in which it is this central's; `None`: another one was faster, to be looked at again.
async fn take(store: &dyn StateStore, wanted: &Claim, me: &Arc<str>) -> Result<Option<Rev>, NotClaimed> {
    let id = format!("{HOST}{}", wanted.host);
    let found = store.read(Database::Centrals, &id).await?;
    if let Some(found) = &found
        && let Ok(claim) = serde_json::from_value::<Claim>(Value::Object(found.body.clone()))
    {
        let is_here = *claim.holder == **me;
        if claim.instance != wanted.instance
            && !is_here
            && store.read(Database::Centrals, &format!("{CENTRAL}{}", claim.holder)).await?.is_some()
        {
            return Err(NotClaimed::Anothers(claim.instance));
        }
    }
    // Also where it is so already: whoever is about to let go of it then fails to.
    let Value::Object(mut body) = json!(wanted) else { return Ok(None) };
    body.insert("type".into(), "claim".into());
    let written = store.write(vec![write(id, found.as_ref().map(|found| &found.rev), Some(body))]).await?.pop();
    match written {
        Some(Written::Done(rev)) => Ok(Some(rev)),
        Some(Written::Refused(why)) => Err(StoreError::Refused(why).into()),
        _ => Ok(None),
    }
}
