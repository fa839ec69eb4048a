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
use tokio::sync::broadcast::error::RecvError;

pub use groups::{Groups, Owners};
pub use totals::Totals;

use crate::central::{Central, wall};
use crate::documents::{Edit, texts};
use crate::leases::{Fence, fenced};
use crate::store::{Body, Database};

/// Under it totals are written.
const LEASE: &str = "refeeder";

/// A document's `usage` is refreshed at most this often, and only when it is off by [`MARGIN`].
const REFRESH: Duration = Duration::from_secs(30);

/// By what part of `max` a stored usage may be off.
const MARGIN: f64 = 0.05;

/// For ever.
pub async fn run(central: Central) {
    let mut changes = central.documents.subscribe();
    // What changed before was told to nobody.
    central.groups.read(&central.documents);
    let mut written = Instant::now().checked_sub(REFRESH);
    loop {
        let settings = Settings::read(&central);
        if settings.active {
            central.groups.total(&central.fleet, &settings.metrics);
            // Of several centrals each has the totals, and one writes them.
            if let Some(fence) = central.leases.held(LEASE) {
                if settings.applications && written.is_none_or(|at| at.elapsed() >= REFRESH) {
                    written = Some(Instant::now());
                    write(&central, fence).await;
                }
                heartbeat(&central, Service::Refeeder).await;
            }
        }
        // Whose a container is counts for the accounts at once; totals follow with the next window.
        let until = tokio::time::Instant::now() + Duration::from_secs_f64(settings.window);
        while let Ok(change) = tokio::time::timeout_at(until, changes.recv()).await {
            match change {
                Ok(changed) => central.groups.changed(&central.documents, changed.database, &changed.name),
                Err(RecvError::Lagged(_)) => central.groups.read(&central.documents),
                Err(RecvError::Closed) => return,
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
        Self {
            active: config("ACTIVE") == json!(true),
            window: number::lenient(&config("WINDOW_TIMELAPSE")).unwrap_or(10.0).max(0.1),
            metrics: texts(&config("GENERATED_METRICS")).filter_map(|name| name.parse().ok()).collect(),
            applications: texts(&config("STRUCTURES_REFEEDED")).any(|what| what == "application"),
        }
    }
}

/// Writes the totals that are off in the documents.
async fn write(central: &Central, fence: Fence) {
    let mut edits: Vec<Edit> = Vec::new();
    for (database, name, totals) in central.groups.all() {
        let refresh = move |body: &mut Body| fenced(body, LEASE, fence, |body| totals.refresh_usage(body, MARGIN));
        edits.push((database, name.to_string(), Box::new(refresh)));
    }
    if let Err(e) = central.documents.edit_many(edits).await {
        tracing::warn!("totals are not written: {e}");
    }
}

/// Writes a service's heartbeat into its document.
pub(crate) async fn heartbeat(central: &Central, service: Service) {
    let at = number::rounded(wall(), 3);
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
        let body = self.documents.in_force(Database::Services, service.name()).unwrap_or_default();
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
    use super::*;
    use crate::config::Config;

    /// Waits until something is so, as long as a test may.
    async fn comes_true(what: &str, so: impl Fn() -> bool) {
        let wait = async {
            while !so() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect(what);
    }

    async fn set_containers(central: &Central, containers: &[&str]) {
        let containers = json!(containers);
        let set = move |body: &mut Body| {
            body.insert("containers".into(), containers.clone());
        };
        let edits: Vec<Edit> = vec![(Database::Structures, "app1".to_owned(), Box::new(set))];
        central.documents.edit_many(edits).await.unwrap();
    }

    #[tokio::test]
    async fn whose_a_container_is_is_known_within_the_window_and_totalled_with_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let central = Central::open(Config { state_dir: directory.path().to_owned(), ..Config::default() }).await.unwrap();
        // One that comes after the groups were read and before the Refeeder listens.
        let body = json!({"type": "structure", "subtype": "application", "name": "app1", "containers": ["c0"], "resources": {}});
        let Value::Object(body) = body else { unreachable!() };
        central.documents.create(Database::Structures, "app1", body).await.unwrap();
        let window = |seconds: f64| {
            move |body: &mut Body| {
                body["config"]["WINDOW_TIMELAPSE"] = number::plain(seconds);
            }
        };
        let edits: Vec<Edit> = vec![(Database::Services, "refeeder".to_owned(), Box::new(window(3600.0)))];
        central.documents.edit_many(edits).await.unwrap();
        let refeeder = tokio::spawn(run(central.clone()));
        let app = || central.groups.application("app1").map(|totals| totals.left_out.clone()).unwrap_or_default();
        let owner = |container: &str| central.groups.of(container).application;
        comes_true("the first window is totalled", || app() == ["c0".into()]).await;
        // The next window is an hour away.
        set_containers(&central, &["c1"]).await;
        comes_true("it is known at once", || owner("c1").is_some() && owner("c0").is_none()).await;
        assert_eq!(app(), ["c0".into()]);
        refeeder.abort();

        let edits: Vec<Edit> = vec![(Database::Services, "refeeder".to_owned(), Box::new(window(0.1)))];
        central.documents.edit_many(edits).await.unwrap();
        let refeeder = tokio::spawn(run(central.clone()));
        comes_true("the next window has it", || app() == ["c1".into()]).await;
        set_containers(&central, &["c0", "c1"]).await;
        comes_true("and each window from then on", || app() == ["c0".into(), "c1".into()]).await;
        refeeder.abort();
    }

    #[test]
    fn times_are_readable() {
        let table = [
            (0.0, "1970-01-01 00:00:00 UTC"),
            (951_827_696.0, "2000-02-29 12:34:56 UTC"),
            (1_763_799_303.9, "2025-11-22 08:15:03 UTC"),
        ];
        for (at, expected) in table {
            assert_eq!(human(at), expected);
        }
    }
}
