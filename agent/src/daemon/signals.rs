//! What reaches the agent from outside: signals, the service manager, CPUs that come and go, central's orders.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headroom_model::wire::Orders;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::reload;
use crate::api::Doors;
use crate::control::{Command, Handle, Settings};
use crate::host;
use crate::link::{Received, Teller};

/// How often the online CPUs are looked at.
const HOTPLUG: Duration = Duration::from_secs(1);

/// What SIGHUP works on.
pub(super) struct Reloads<'a> {
    pub(super) config_path: &'a Path,
    /// This host's own settings as they really run, which is not always what was read last.
    pub(super) own: Settings,
    pub(super) doors: Doors,
    /// Central's orders, which are laid over them.
    pub(super) received: Received,
    pub(super) teller: Teller,
    /// The documents of the orders in force.
    pub(super) laid: Option<Orders>,
}

impl Reloads<'_> {
    /// Newer orders are here. Those whose documents are the same change nothing in how this host decides.
    fn ordered(&mut self, handle: &Handle) {
        if self.received.documents() == self.laid {
            self.teller.still_in_force();
        } else {
            self.put_in_force(handle);
        }
    }

    /// Puts what is known now in force.
    fn put_in_force(&mut self, handle: &Handle) {
        let (settings, problems) = self.received.lay_over(&self.own);
        handle.send(Command::Reload(Box::new(settings)));
        self.teller.in_force(&self.own, problems);
        self.laid = self.received.documents();
    }
}

/// Serves signals, hotplug and the watchdog until SIGTERM or SIGINT, or until the control loop has ended. The service manager is told
/// that the agent is ready when `up` is.
pub(super) async fn until_told(
    up: impl Future<Output = ()>,
    mut reloads: Reloads<'_>,
    handle: &Handle,
    hotplug: Option<&host::cpus::Hotplug>,
) {
    let (Some(mut terminate), Some(mut interrupt), Some(mut hangup)) =
        (listen(SignalKind::terminate()), listen(SignalKind::interrupt()), listen(SignalKind::hangup()))
    else {
        return;
    };
    let mut online = hotplug.and_then(|h| h.online().ok());
    let mut look = interval(HOTPLUG);
    let watchdog = sd_notify::watchdog_enabled();
    // Four looks within the limit: each reports the answer to the ping before it, so that a loop that is merely late lives on.
    let mut alive = interval(watchdog.map_or(HOTPLUG, |limit| limit / 4));
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (answer, answered) = crossbeam_channel::bounded(1);
    let (mut up, mut is_up) = (std::pin::pin!(up), false);
    loop {
        tokio::select! {
            () = &mut up, if !is_up => {
                is_up = true;
                notify(&[NotifyState::Ready]);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                if let Ok(now) = NotifyState::monotonic_usec_now() {
                    notify(&[NotifyState::Reloading, now]);
                }
                let file = reloads.config_path;
                match reload(file, &reloads.own.config, &reloads.doors) {
                    Ok(settings) => {
                        tracing::info!("{}: read again", file.display());
                        reloads.own = settings;
                        reloads.put_in_force(handle);
                    }
                    Err(e) => tracing::error!("not reloaded, all stays as it was: {e:#}"),
                }
                notify(&[NotifyState::Ready]);
            }
            () = reloads.received.changed() => reloads.ordered(handle),
            _ = look.tick() => {
                let now = hotplug.and_then(|h| h.online().ok());
                if now != online && let Some(cpus) = &now {
                    match host::topology::Topology::read(cpus) {
                        Ok(topology) => { handle.send(Command::CpusOnline(Arc::new(topology.into_map()))); }
                        Err(e) => tracing::warn!("the CPUs changed but cannot be read: {e}"),
                    }
                    online = now;
                }
            }
            _ = alive.tick() => {
                if answered.try_recv().is_ok() && watchdog.is_some() {
                    notify(&[NotifyState::Watchdog]);
                }
                if !handle.send(Command::Ping(answer.clone())) {
                    tracing::error!("the control loop has ended");
                    break;
                }
            }
        }
    }
    notify(&[NotifyState::Stopping]);
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind).inspect_err(|e| tracing::error!("cannot listen to signals: {e}")).ok()
}

/// No service manager is no failure.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::debug!("the service manager was not told: {e}");
    }
}
