//! Asks for orders, keeps them, and hands them on.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headroom_model::wire::Orders;
use tokio::sync::watch;

use super::client::{Client, Failure};
use super::identity::Identity;
use super::{Patience, Shared, requests, sets};
use crate::api::command::ControlHandle;

/// How long central may take to answer that there is nothing new.
const WAIT: Duration = Duration::from_secs(30);

/// Where the orders in force are kept.
const FILE: &str = "orders.json";

/// The orders of the last run.
pub(super) fn kept(state_dir: &Path) -> Option<Orders> {
    let path = state_dir.join(FILE);
    let text = fs::read(&path).ok()?;
    // What was to be done then was done, or is asked for again.
    let read = serde_json::from_slice(&text).map(|orders: Orders| Orders { sets: Vec::new(), requests: Vec::new(), ..orders });
    read.inspect_err(|e| tracing::warn!("{}: not understood, not used: {e}", path.display())).ok()
}

fn keep(state_dir: &Path, orders: &[u8]) -> io::Result<()> {
    let (path, new) = (state_dir.join(FILE), state_dir.join("orders.new"));
    fs::write(&new, orders)?;
    fs::rename(&new, &path)
}

/// For ever.
pub(super) async fn ask(
    client: &Client,
    identity: &Identity,
    state_dir: &Path,
    orders: &watch::Sender<Option<Arc<Orders>>>,
    control: Arc<dyn ControlHandle>,
    shared: &Shared,
) {
    let mut after = orders.borrow().as_ref().map(|orders| orders.revision.clone()).unwrap_or_default();
    let mut patience = Patience::new(client);
    let mut is_away = false;
    let mut sets = sets::Setting::new(Arc::clone(&control), shared.clone());
    let requests = requests::Requests::new(control, shared.clone(), orders.subscribe());
    loop {
        match client.orders(identity.host(), identity.instance(), &after, WAIT).await {
            Ok(news) => {
                patience = Patience::new(client);
                if std::mem::take(&mut is_away) {
                    tracing::info!("central answers again");
                }
                let Some(text) = news else { continue };
                match serde_json::from_slice::<Orders>(&text) {
                    Ok(new) => {
                        after.clone_from(&new.revision);
                        if let Err(e) = keep(state_dir, &text) {
                            tracing::warn!("central's orders are not kept for a restart: {e}");
                        }
                        sets.carry_out(&new.sets);
                        let new = Arc::new(new);
                        orders.send_replace(Some(Arc::clone(&new)));
                        requests.carry_out(&new.requests);
                    }
                    Err(e) => {
                        tracing::error!("central's orders are not understood, the last ones stay in force: {e}");
                        patience.wait().await;
                    }
                }
            }
            Err(failure) => {
                if !std::mem::replace(&mut is_away, true) {
                    match &failure {
                        Failure::Away { .. } => tracing::warn!("{failure}; decisions go on without it"),
                        Failure::Refused { .. } => tracing::error!("{failure}; decisions go on without it"),
                    }
                }
                if matches!(failure, Failure::Away { .. }) && client.urls().len() > 1 {
                    // Whoever is asked now is to know of this host, too.
                    shared.now.notify_one();
                }
                patience.wait().await;
            }
        }
    }
}
