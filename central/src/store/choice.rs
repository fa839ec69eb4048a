//! The store that the configuration names.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Couch, Sqlite, StateStore, StoreError};
use crate::config::{Config, Store};

/// How often one looks for a store that does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Opens the State Database; makes it where there is none.
pub async fn open(config: &Config) -> Result<Arc<dyn StateStore>> {
    Ok(match config.store {
        Store::Embedded => {
            let directory = &config.state_dir;
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot make the state directory {}", directory.display()))?;
            Arc::new(Sqlite::open(&directory.join("state.db"))?)
        }
        Store::CouchDb => Arc::new(Couch::open(config.couchdb.as_ref().context("no [couchdb]")?).await?),
    })
}

/// The same for a service: one that does not answer yet is waited for.
pub async fn wait_for(config: &Config) -> Result<Arc<dyn StateStore>> {
    let mut said = String::new();
    loop {
        match open(config).await {
            Err(error) if matches!(error.downcast_ref(), Some(StoreError::Unreachable(_))) && config.store == Store::CouchDb => {
                let why = error.to_string();
                if why != said {
                    tracing::warn!("waiting for the State Database: {why}");
                    said = why;
                }
                tokio::time::sleep(AGAIN).await;
            }
            opened => return opened,
        }
    }
}

/// Opens the one that is there already.
pub async fn open_known(config: &Config) -> Result<Arc<dyn StateStore>> {
    match (config.store, &config.couchdb) {
        (Store::Embedded, _) => {
            let directory = &config.state_dir;
            let is_there = directory.join("state.db").exists();
            ensure!(is_there, "there is no State Database in {}: --state-dir or --config say where it is", directory.display());
        }
        (Store::CouchDb, Some(couchdb)) => {
            let why = format!("{} has not all databases of a State Database: --config says where it is", couchdb.url);
            ensure!(Couch::is_there(couchdb).await?, why);
        }
        (Store::CouchDb, None) => bail!("no [couchdb]"),
    }
    open(config).await
}
