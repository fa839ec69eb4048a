//! The Refeeder: the totals of applications and users, over their containers on whatever hosts these run. Live totals are worked out each
//! window and kept in memory; documents are refreshed seldom, so that an idle fleet writes none.

mod groups;
mod totals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use headroom_model::documents::service::Service as Document;
use headroom_model::number;
use headroom_model::resource::Resource;
use headroom_model::settings::Service;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

pub use groups::{Groups, Owners};
pub use totals::Totals;

use crate::central::{Central, wall};
use crate::documents::Edit;
use crate::store::{Body, Database};

/// A document's `usage` is refreshed at most this often, and only when it is off by [`MARGIN`].
const REFRESH: Duration = Duration::from_secs(30);

/// By what part of `max` a stored usage may be off.
const MARGIN: f64 = 0.05;

/// For ever.
pub async fn run(central: Central) {
    let mut changes = central.documents.subscribe();
    let mut written = Instant::now().checked_sub(REFRESH);
    loop {
        loop {
            match changes.try_recv() {
                Ok(changed) => central.groups.changed(&central.documents, changed.database, &changed.name),
                Err(TryRecvError::Lagged(_)) => central.groups.read(&central.documents),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Closed) => return,
            }
        }
        let settings = Settings::read(&central);
        if settings.active {
            central.groups.total(&central.fleet, &settings.metrics);
            if settings.applications && written.is_none_or(|at| at.elapsed() >= REFRESH) {
                written = Some(Instant::now());
                write(&central).await;
            }
            heartbeat(&central, Service::Refeeder).await;
        }
        // A membership that changes is to be in the totals at once.
        let until = tokio::time::Instant::now() + Duration::from_secs_f64(settings.window);
        loop {
            match tokio::time::timeout_at(until, changes.recv()).await {
                Err(_) => break,
                Ok(Ok(changed)) => central.groups.changed(&central.documents, changed.database, &changed.name),
                Ok(Err(RecvError::Lagged(_))) => central.groups.read(&central.documents),
                Ok(Err(RecvError::Closed)) => return,
            }
        }
    }
}

struct Settings {
    active: bool,
    window: f64,
    metrics: Vec<Resource>,
    applications: bool,
}

impl Settings {
    /// From its document, on the fly; what makes no sense there is as it is by default.
    fn read(central: &Central) -> Self {
        let config = central.setting(Service::Refeeder);
        let texts =
            |key: &str| config(key).as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect();
        let metrics: Vec<String> = texts("GENERATED_METRICS");
        let refed: Vec<String> = texts("STRUCTURES_REFEEDED");
        Self {
            active: config("ACTIVE") == json!(true),
            window: number::lenient(&config("WINDOW_TIMELAPSE")).unwrap_or(10.0).max(0.1),
            metrics: metrics.iter().filter_map(|name| name.parse().ok()).collect(),
            applications: refed.iter().any(|what| what == "application"),
        }
    }
}

/// Writes the totals that are off in the documents.
async fn write(central: &Central) {
    let mut edits: Vec<Edit> = Vec::new();
    for (database, name, totals) in central.groups.all() {
        edits.push((database, name.to_string(), Box::new(move |body| totals.refresh_usage(body, MARGIN))));
    }
    if let Err(e) = central.documents.edit_many(edits).await {
        tracing::warn!("totals are not written: {e}");
    }
}

/// Writes a service's heartbeat into its document.
pub(crate) async fn heartbeat(central: &Central, service: Service) {
    let at = (wall() * 1000.0).round() / 1000.0;
    let beat = move |body: &mut Body| {
        body.insert("heartbeat".into(), number::plain(at));
        body.insert("heartbeat_human".into(), Value::String(human(at)));
    };
    let edits: Vec<Edit> = vec![(Database::Services, service.name().to_owned(), Box::new(beat))];
    if let Err(e) = central.documents.edit_many(edits).await {
        tracing::warn!("the heartbeat of {} is not written: {e}", service.name());
    }
}

/// `2026-11-22 08:15:03 UTC`.
fn human(at: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch")]
    let at = jiff::Timestamp::from_second(at as i64).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

impl Central {
    /// One service's settings, key by key: what its document has, if that makes sense, else the default.
    pub fn setting(&self, service: Service) -> impl Fn(&str) -> Value {
        let body = self.documents.body(Database::Services, service.name()).unwrap_or_default();
        let config = serde_json::from_value::<Document>(Value::Object(body)).map(|document| document.config).unwrap_or_default();
        let mut defaults = service.defaults();
        for (key, value) in config {
            if let Ok(value) = service.check(&key, &value) {
                defaults.insert(key, value);
            }
        }
        let settings = Arc::new(defaults);
        move |key| settings.get(key).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_readable() {
        let table = [
            (0.0, "1970-01-01 00:00:00 UTC"),
            (951_827_696.0, "2000-02-29 12:34:56 UTC"),
            (1_763_799_303.9, "2025-11-22 08:15:03 UTC"),
        ];
        for (at, expected) in table {
            assert_eq!(super::human(at), expected);
        }
    }
}
