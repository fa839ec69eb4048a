//! Time series in OpenTSDB, from a real central with agents that are played; the other side holds what comes against OpenTSDB's rules.
#![allow(clippy::unwrap_used, clippy::panic, clippy::float_cmp, dead_code, reason = "tests; some of them share a bed")]

#[path = "../ctl/bed.rs"]
mod bed;
mod tsdb;

use std::path::Path;

use bed::{Agent, Central, now, until};
use headroom_model::wire::{Counted, Pair};
use serde_json::json;
use tsdb::{Fault, Tsdb};

fn central(directory: &Path, tsdb: &Tsdb, more: &str) -> Central {
    let central = Central::start(directory, &format!("time_series = 'opentsdb'\n[opentsdb]\nurl = '{}'\n{more}", tsdb.url()));
    central.put("/service/database_snapshoter", &json!({"POLLING_FREQUENCY": 0.2}));
    central
}

#[test]
fn what_documents_and_agents_say_arrives_under_the_names_that_are_known() {
    let (directory, mut tsdb) = (tempfile::tempdir().unwrap(), Tsdb::down());
    tsdb.up();
    let central = central(directory.path(), &tsdb, "");
    let mut agent = Agent::start("host0");
    central.report(&agent.next(&[("cont0", 1.0), ("a:b c", 1.0)]));
    until("samples", || tsdb.series("structure.cpu.usage", "structure=cont0").len() > 3);
    tsdb.took_all();
    assert!(tsdb.series("structure.cpu.usage", "structure=cont0").iter().all(|(_, value)| *value == 12.5));
    let known = ["structure.cpu.current", "structure.cpu.max", "limit.cpu.upper", "limit.cpu.lower", "structure.mem.usage"];
    let metrics = tsdb.metrics("structure=cont0");
    assert!(known.iter().all(|metric| metrics.contains(*metric)), "{metrics:?}");
    // A name that OpenTSDB does not take.
    assert!(!tsdb.series("structure.cpu.usage", "structure=a_b_c").is_empty());
    let guardian = tsdb.metrics("service=guardian");
    for metric in ["conf.guardian.window_delay", "conf.guardian.event_timeout", "conf.guardian.window_timelapse"] {
        assert!(guardian.contains(metric), "{guardian:?}");
    }
    // Without the raw feed nothing of it.
    assert!(tsdb.metrics("host=cont0").is_empty());

    // It is answered from there.
    let answer = central.get("/timeseries?structure=cont0&resource=cpu&field=usage&from=-60s");
    let times = answer["times"].as_array().unwrap();
    assert!(times.len() > 3 && times.iter().all(|time| now() - time.as_f64().unwrap() < 60.0), "{answer}");
    assert_eq!(answer["metrics"]["structure.cpu.usage"][0], 12.5);
    let rolled = central.get("/timeseries?structure=cont0&resource=cpu&field=usage&from=-10min&step=1h");
    assert_eq!(rolled["metrics"]["structure.cpu.usage_peak"][0], 12.5, "{rolled}");
    let (status, _) = central.send("GET", "/timeseries?structure=nobody", None, "");
    assert_eq!(status, 404);
}

#[test]
fn nothing_is_lost_while_it_is_away_or_ill() {
    let (directory, mut tsdb) = (tempfile::tempdir().unwrap(), Tsdb::down());
    let start = now();
    let central = central(directory.path(), &tsdb, "");
    let mut agent = Agent::start("host0");
    central.report(&agent.next(&[("cont0", 1.0)]));
    until("it is said", || central.get("/fleet")["time_series"].as_str().is_some_and(|why| why.contains("requests wait")));
    let (status, text) = central.send("GET", "/timeseries?structure=cont0", None, "");
    assert_eq!(status, 503, "{text}");
    tsdb.fails(Some(Fault::Busy));
    tsdb.up();
    until("it was asked", || tsdb.requests() > 1);
    tsdb.fails(Some(Fault::Mute));
    let asked = tsdb.requests();
    until("it was asked again", || tsdb.requests() > asked);
    tsdb.fails(Some(Fault::Small(200)));
    let asked = tsdb.requests();
    until("requests are halved until they fit", || tsdb.requests() > asked + 8);
    tsdb.fails(None);
    until("all is well", || central.get("/fleet")["time_series"].is_null());
    until("what was said first is there", || {
        let series = tsdb.series("conf.guardian.window_timelapse", "service=guardian");
        series.first().is_some_and(|(at, _)| (*at as f64 / 1000.0) < start + 5.0)
    });
    tsdb.took_all();
    // From then on every snapshot is there: no hole that is longer than a busy machine makes one.
    let series = || tsdb.series("conf.guardian.window_timelapse", "service=guardian");
    until("snapshots come at their pace", || series().len() > 20);
    let series = series();
    let widest = series[2..].windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap();
    assert!(widest < 3000, "{widest} ms without a sample: {series:?}");
    tsdb.take_down();
    central.kill9();
}

#[test]
fn what_waits_is_bounded() {
    let (directory, tsdb) = (tempfile::tempdir().unwrap(), Tsdb::down());
    let central = central(directory.path(), &tsdb, "max_waiting = '1KiB'\n");
    let mut agent = Agent::start("host0");
    central.report(&agent.next(&[("cont0", 1.0)]));
    until("it is said", || {
        let fleet = central.get("/fleet");
        let why = fleet["time_series"].as_str().unwrap_or_default();
        why.contains("pushed out") && !why.contains(" 0 were pushed out")
    });
}

#[test]
fn the_raw_feed_has_the_names_of_old() {
    let (directory, mut tsdb) = (tempfile::tempdir().unwrap(), Tsdb::down());
    tsdb.up();
    let central = central(directory.path(), &tsdb, "raw_feed = true\n");
    let orders = central.get("/agent/orders?host=host0&instance=agent%20of%20host0&after=&wait=0.2");
    assert_eq!(orders["wants_counted"], true);
    let mut agent = Agent::start("host0");
    let start = now() - 20.0;
    for step in 0..3_u32 {
        let grown = f64::from(step);
        let mut report = agent.next(&[("cont0", 1.0)]);
        report.at = start + 5.0 * grown;
        // The CPU is read at every other report only.
        let cpu =
            Pair { at: start + 10.0 * f64::from(step / 2), counters: [1000.0, 100.0].map(|rate| rate * f64::from(step / 2)) };
        let disk = Pair { at: report.at, counters: [10.0 * grown, 5.0 * grown] };
        report.containers[0].counted = Some(Counted { cpu: Some(cpu), disk: Some(disk), net: None });
        let body = serde_json::to_string(&report).unwrap();
        let (status, text) = central.send("POST", &format!("/agent/report?sent_at={}", now()), None, &body);
        assert_eq!(status, 200, "{text}");
    }
    until("it arrives", || tsdb.series("proc.disk.reads.mb", "host=cont0").len() == 2);
    tsdb.took_all();
    let rate = |metric: &str| tsdb.series(metric, "host=cont0").iter().map(|(_, value)| value.round()).collect::<Vec<_>>();
    assert_eq!(rate("proc.cpu.user"), [100.0]);
    assert_eq!(rate("proc.cpu.kernel"), [10.0]);
    assert_eq!(rate("proc.disk.reads.mb"), [2.0, 2.0]);
    assert_eq!(rate("proc.disk.writes.mb"), [1.0, 1.0]);
    assert_eq!(rate("proc.mem.resident"), [13.0, 13.0, 13.0]);
    assert!(rate("proc.net.tcp.in.mb").is_empty());
}
