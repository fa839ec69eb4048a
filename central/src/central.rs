//! Everything that routes answer from, and the tasks that keep it current.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::access::Access;
use crate::accounting::Ledger;
use crate::agents::orders::Common;
use crate::audit::Audit;
use crate::config::{Config, Store};
use crate::documents::Documents;
use crate::fleet::Fleet;
use crate::guardian::Judge;
use crate::leases::Leases;
use crate::peers::Peers;
use crate::refeeder::Groups;
use crate::requests::History;
use crate::series::{RawFeed, TimeSeriesSink};
use crate::store::choice;
use crate::{agents, database_snapshoter, guardian, peers, refeeder, requests, seed, series, structures_snapshoter};

/// How long it may take to tell other centrals that this one ends.
const LEAVE: Duration = Duration::from_secs(2);

/// The state of all routes.
#[derive(Clone, Debug)]
pub struct Central {
    /// The State Database's contents.
    pub documents: Arc<Documents>,
    /// What agents report.
    pub fleet: Arc<Fleet>,
    /// Applications and users, with their totals.
    pub groups: Arc<Groups>,
    /// What only one of several centrals does at a time.
    pub leases: Arc<Leases>,
    /// The other centrals.
    pub peers: Arc<Peers>,
    /// What every host's orders have in common.
    pub common: Arc<Common>,
    /// Time series.
    pub series: Arc<dyn TimeSeriesSink>,
    /// The way of the agents' raw series, where they are wanted.
    pub raw_feed: Option<Arc<RawFeed>>,
    /// Used, allocated and reserved amounts.
    pub ledger: Arc<Ledger>,
    /// Who changed what.
    pub audit: Arc<Audit>,
    /// Groups that are judged as one.
    pub guardian: Arc<Judge>,
    /// What agents asked for of late.
    pub history: Arc<History>,
    /// Who may do what.
    pub access: Arc<Access>,
    /// `central.toml`.
    pub config: Arc<Config>,
}

impl Central {
    /// Opens what is in the state directory; a new State Database is given the profile's documents.
    pub async fn open(config: Config) -> Result<Self> {
        let directory = &config.state_dir;
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make the state directory {}", directory.display()))?;
        let store = choice::wait_for(&config).await?;
        seed::fill(&*store, config.profile).await?;
        let (leases, peers) = match config.store {
            Store::CouchDb => (Leases::shared(Arc::clone(&store)), Peers::new(&config.peers)?),
            Store::Embedded => (Leases::alone(), Peers::none()),
        };
        let documents = Documents::open(store).await?;
        let (series, raw_feed) = series::open(&config)?;
        let ledger = Ledger::open(directory, &config.accounting)?;
        let central = Self {
            fleet: Arc::new(Fleet::new(config.quiet_after)),
            groups: Arc::new(Groups::new(&documents)),
            leases: Arc::new(leases),
            peers: Arc::new(peers),
            common: Arc::new(Common::new(&documents)),
            series,
            raw_feed: raw_feed.map(Arc::new),
            ledger,
            audit: Arc::new(Audit::open(&directory.join("audit.db"))?),
            guardian: Arc::default(),
            history: Arc::default(),
            access: Arc::new(Access::load(directory, config.is_open())?),
            config: Arc::new(config),
            documents,
        };
        Ok(central)
    }

    /// Starts the roles. They end when the set is dropped.
    pub fn start(&self) -> JoinSet<()> {
        let mut roles = JoinSet::new();
        roles.spawn(Arc::clone(&self.documents).follow());
        roles.spawn(Arc::clone(&self.access).follow());
        roles.spawn(Arc::clone(&self.leases).keep());
        roles.spawn(peers::run(self.clone()));
        roles.spawn(agents::orders::follow(self.clone()));
        roles.spawn(refeeder::run(self.clone()));
        roles.spawn(requests::run(self.clone()));
        roles.spawn(guardian::run(self.clone()));
        roles.spawn(structures_snapshoter::run(self.clone()));
        roles.spawn(database_snapshoter::run(self.clone()));
        roles
    }

    /// Writes down what waits to be written.
    pub async fn close(&self) -> Result<()> {
        // The others find out by themselves.
        tokio::time::timeout(LEAVE, self.leases.leave()).await.ok();
        self.series.flush().await?;
        self.audit.flush().await;
        Ok(())
    }
}

/// Seconds since the epoch.
pub fn wall() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
