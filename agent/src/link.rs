//! The link to central: reports go there, orders come from there. No decision waits for it.
//!
//! Two tasks beside the API's. One takes stock every few seconds, and at once when a container came or went, into a bounded queue, and sends
//! what is in it in order. The other asks for orders, again as soon as it has an answer, and turns them into the configuration in force
//! ([`overlay`]). The orders in force are kept in the state directory, for a start while central is away.

mod client;
mod identity;
mod orders;
mod overlay;
mod queue;
mod report;
mod requests;
mod sets;
mod stock;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use headroom_model::wire::{Orders, SetDone};
use tokio::sync::{Notify, watch};

use self::client::Client;
use self::identity::Identity;
use crate::api::DecisionLog;
use crate::api::command::ControlHandle;
use crate::config::Config;
use crate::control::Settings;
use crate::status::Snapshot;

/// After a failure the first wait, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// What the link works with.
pub struct Parts {
    /// What is published after each step.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// The way to the control loop, for limits that are set at once.
    pub control: Arc<dyn ControlHandle>,
    /// The decisions of late.
    pub decisions: Arc<DecisionLog>,
    /// Tells containers of one boot from those of another.
    pub boot_id: String,
    /// Where the Container Scaler API listens.
    pub api: Option<SocketAddr>,
}

/// The link, ready to run.
pub struct Link {
    parts: Parts,
    client: Client,
    identity: Identity,
    state_dir: PathBuf,
    interval: Duration,
    line: Line,
}

/// Between the link and whoever puts orders in force.
pub struct Line {
    sender: watch::Sender<Option<Arc<Orders>>>,
    received: Received,
    shared: Shared,
}

impl Line {
    /// Has the orders of the last run, where central is configured.
    pub fn new(config: &Config) -> Self {
        let kept = config.central.as_ref().and_then(|_| orders::kept(&config.agent.state_dir));
        let (sender, receiver) = watch::channel(kept.map(Arc::new));
        let requests = config.central.as_ref().map(|_| requests::Kept::open(&config.agent.state_dir)).unwrap_or_default();
        Self { sender, received: Received(receiver), shared: Shared { requests: Arc::new(requests), ..Shared::default() } }
    }

    /// The newest orders.
    pub fn received(&self) -> Received {
        self.received.clone()
    }

    /// The way to tell what is in force.
    pub fn teller(&self) -> Teller {
        Teller { shared: self.shared.clone(), received: self.received.clone() }
    }
}

/// What both tasks, and the one that puts orders in force, know.
#[derive(Clone, Default)]
struct Shared {
    /// The revision in force, what of it cannot be carried out, and the settings of this host alone.
    in_force: Arc<ArcSwap<InForce>>,
    /// What became of limits that were to be set at once, until a report has it.
    done: Arc<parking::Done>,
    /// What became of requests.
    requests: Arc<requests::Kept>,
    /// A report is to be made now.
    now: Arc<Notify>,
}

/// What the host does now.
#[derive(Clone, Default)]
struct InForce {
    /// This host's own settings, without orders.
    own: Option<Settings>,
    revision: Option<String>,
    problems: Vec<String>,
}

/// Outcomes that wait for a report.
mod parking {
    use std::sync::{Mutex, PoisonError};

    use super::SetDone;

    #[derive(Default)]
    pub(super) struct Done(Mutex<Vec<SetDone>>);

    impl Done {
        pub(super) fn add(&self, done: SetDone) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(done);
        }

        pub(super) fn take(&self) -> Vec<SetDone> {
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }
}

/// The newest orders, for whoever puts them in force.
#[derive(Clone)]
pub struct Received(watch::Receiver<Option<Arc<Orders>>>);

impl Received {
    /// Ready when there are newer orders; never, once the link has ended.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What the host's own settings are with the orders of central laid over them, and what of these cannot be carried out.
    pub fn lay_over(&self, own: &Settings) -> (Settings, Vec<String>) {
        match &*self.0.borrow() {
            Some(orders) => overlay::lay(own, orders),
            None => (own.clone(), Vec::new()),
        }
    }

    /// Whether reports are to have what the kernel counted.
    fn wants_counted(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(|orders| orders.wants_counted)
    }

    /// The documents of the newest orders, without what is to be done once.
    pub fn documents(&self) -> Option<Orders> {
        let orders = self.0.borrow();
        orders.as_deref().map(|orders| Orders {
            revision: String::new(),
            sets: Vec::new(),
            requests: Vec::new(),
            ..Orders::clone(orders)
        })
    }

    fn revision(&self) -> Option<String> {
        self.0.borrow().as_ref().map(|orders| orders.revision.clone())
    }
}

/// Tells the link what is in force.
#[derive(Clone)]
pub struct Teller {
    shared: Shared,
    received: Received,
}

impl Teller {
    /// These orders are in force over these settings.
    pub fn in_force(&self, own: &Settings, problems: Vec<String>) {
        for problem in &problems {
            tracing::warn!("central's orders: {problem}");
        }
        let own = Some(own.clone());
        self.shared.in_force.store(Arc::new(InForce { own, revision: self.received.revision(), problems }));
        self.shared.now.notify_one();
    }

    /// The newest orders ask for nothing else than those in force.
    pub fn still_in_force(&self) {
        let InForce { own, problems, .. } = InForce::clone(&self.shared.in_force.load());
        self.shared.in_force.store(Arc::new(InForce { own, revision: self.received.revision(), problems }));
        self.shared.now.notify_one();
    }
}

impl Link {
    /// The link of a configuration that has a `[central]`.
    pub fn new(config: &Config, parts: Parts, line: Line) -> Result<Option<Self>> {
        let Some(central) = &config.central else { return Ok(None) };
        let state_dir = config.agent.state_dir.clone();
        let identity = Identity::of(&state_dir, &config.host.name).context("cannot keep who this agent is")?;
        let client = Client::new(central)?;
        Ok(Some(Self { parts, client, identity, state_dir, interval: central.report_interval, line }))
    }

    /// Runs both tasks, for ever.
    pub async fn run(self) {
        let Self { parts, client, identity, state_dir, interval, line: Line { sender, received, shared } } = self;
        tracing::info!(urls = ?client.urls(), instance = identity.instance(), "linked to central");
        let asking = orders::ask(&client, &identity, &state_dir, &sender, Arc::clone(&parts.control), &shared);
        let reporting = stock::report(&client, &identity, interval, &parts, &received, &shared);
        tokio::join!(asking, reporting);
    }
}

/// Waits longer after each round of failures in a row: after one that leaves another URL to be tried it does not wait.
struct Patience {
    next: Duration,
    urls: usize,
    failed: usize,
}

impl Patience {
    fn new(client: &Client) -> Self {
        Self { next: AGAIN.0, urls: client.urls().len().max(1), failed: 0 }
    }

    async fn wait(&mut self) {
        self.failed += 1;
        if self.failed.is_multiple_of(self.urls) {
            tokio::time::sleep(self.next).await;
            self.next = (self.next * 2).min(AGAIN.1);
        }
    }
}
