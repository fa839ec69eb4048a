//! What an agent tells central, which is played here.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::bed::Bed;

const LONGEST: Duration = Duration::from_mins(1);

/// A central that takes reports and never has orders.
struct Central {
    url: String,
    reports: Receiver<Value>,
    /// It ends with this.
    _lives: oneshot::Sender<()>,
}

impl Central {
    fn new() -> Self {
        let (tell, reports) = channel();
        let take = move |body: Bytes| async move {
            let mut text = String::new();
            GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
            // Who has heard enough has gone.
            tell.send(serde_json::from_str(&text).unwrap()).ok();
            StatusCode::NO_CONTENT
        };
        let wait = || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            StatusCode::NO_CONTENT
        };
        let central = Router::new().route("/agent/report", post(take)).route("/agent/orders", get(wait));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (lives, ended) = oneshot::channel::<()>();
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    served = axum::serve(listener, central) => served.unwrap(),
                    _ = ended => {}
                }
            });
        });
        Self { url, reports, _lives: lives }
    }

    /// The names of the containers in the next report.
    fn hears_of(&self) -> Vec<String> {
        let report = self.reports.recv_timeout(LONGEST).unwrap();
        let containers = report["containers"].as_array().unwrap();
        containers.iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn the_first_report_has_every_container_that_was_there() {
    let bed = Bed::new("linked");
    let names: Vec<String> = (0..120).map(|number| format!("cont{number:03}")).collect();
    let containers: Vec<_> = names.iter().map(|name| bed.container(name)).collect();
    for run in ["first", "second"] {
        let central = Central::new();
        let mut config = bed.config();
        config.set("central", "url", &format!("'{}'", central.url)).set("central", "report_interval", "'500ms'");
        let mut agent = bed.run(&config);
        assert_eq!(central.hears_of(), names, "the {run} run");
        agent.end();
    }
    drop(containers);
}
