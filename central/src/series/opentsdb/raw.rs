//! The agents' raw series, under the names that readers of the earlier monitoring pipeline know: what a container used between two reports, tagged
//! `host=<container>`.

use std::collections::HashMap;
use std::sync::Arc;

use headroom_model::resource::Resource;
use headroom_model::wire::{ContainerReport, Counted, Pair, Report};
use parking_lot::Mutex;

use super::OpenTsdb;
use super::points::{Point, Tag, in_requests, stamp};

/// What was last heard of each container of each host.
#[derive(Debug)]
pub struct RawFeed {
    to: Arc<OpenTsdb>,
    before: Mutex<HashMap<String, HashMap<String, Before>>>,
}

#[derive(Debug)]
struct Before {
    incarnation: String,
    counted: Counted,
}

impl RawFeed {
    /// Goes there.
    pub fn new(to: Arc<OpenTsdb>) -> Self {
        Self { to, before: Mutex::default() }
    }

    /// A report's worth: `at` is when what it says was so, by our clock.
    pub fn take(&self, report: &Report, at: f64) {
        let mut hosts = self.before.lock();
        let before = hosts.remove(&report.host).unwrap_or_default();
        let mut points = Vec::new();
        let mut now = HashMap::new();
        for container in &report.containers {
            let Some(counted) = container.counted else { continue };
            let last = before.get(&container.name).filter(|last| last.incarnation == container.incarnation);
            points.extend(of_container(container, last.map(|last| last.counted), counted, at, at - report.at));
            now.insert(container.name.clone(), Before { incarnation: container.incarnation.clone(), counted });
        }
        hosts.insert(report.host.clone(), now);
        drop(hosts);
        if let Err(e) = self.to.queue.put(&in_requests(points.into_iter())) {
            tracing::warn!("raw series are lost: {e}");
        }
    }
}

/// `ahead`: how far our clock is ahead of the agent's, in s.
fn of_container(container: &ContainerReport, last: Option<Counted>, now: Counted, at: f64, ahead: f64) -> Vec<Point> {
    let tags = Tag::new("host", &container.name);
    let point = |metric: &str, at: f64, value: f64| Point {
        metric: metric.to_owned(),
        timestamp: stamp(at.floor()),
        value,
        tags: tags.clone(),
    };
    let mut points = Vec::new();
    if let Some(used) = container.resources.known[Resource::Mem].as_ref().and_then(|mem| mem.usage) {
        points.push(point("proc.mem.resident", at, used));
    }
    for (metrics, of) in METRICS {
        let (Some(before), Some(after)) = (last.as_ref().and_then(of), of(&now)) else { continue };
        let seconds = after.at - before.at;
        // Not read again since.
        if seconds < SAME {
            continue;
        }
        for ((metric, before), after_counter) in metrics.into_iter().zip(before.counters).zip(after.counters) {
            // A counter that went back is another one.
            if after_counter >= before {
                points.push(point(metric, after.at + ahead, (after_counter - before) / seconds));
            }
        }
    }
    points
}

/// Times of one reading, told by two reports: the wall clock may have been put right in between.
const SAME: f64 = 0.05;

type Counters = fn(&Counted) -> Option<Pair>;

/// The rates, each in its counter's unit per second.
const METRICS: [([&str; 2], Counters); 3] = [
    (["proc.cpu.user", "proc.cpu.kernel"], |counted| counted.cpu),
    (["proc.disk.reads.mb", "proc.disk.writes.mb"], |counted| counted.disk),
    (["proc.net.tcp.in.mb", "proc.net.tcp.out.mb"], |counted| counted.net),
];
