//! The accounts of a real central: through kills, restarts, moves and prices.
#![allow(clippy::unwrap_used, clippy::panic, clippy::float_cmp, dead_code, reason = "tests; two of them share a bed")]

#[path = "../ctl/bed.rs"]
mod bed;

use bed::{Agent, Central};
use serde_json::{Value, json};

/// Share-hours that a container's account has, in all.
fn used(central: &Central, asked: &str) -> f64 {
    let bill = central.get(&format!("/accounting?{asked}"));
    bill["resources"]["cpu"]["used"].as_f64().unwrap_or_default()
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 2e-6, "{a}, expected {b}");
}

#[test]
fn killing_central_or_the_agent_at_any_moment_loses_nothing_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut central = Central::start(directory.path(), "");
    let mut agent = Agent::start("host0");
    let (mut before, mut counter) = (0.0, 0.0);
    for round in 0..8 {
        for report in 0..5 {
            counter += 3600.0;
            let report = if report == 2 {
                // One is lost.
                agent.next(&[("cont0", counter)]);
                continue;
            } else {
                agent.next(&[("cont0", counter), ("cont1", counter / 2.0)])
            };
            central.report(&report);
            // Its answer was lost, so it comes again.
            central.report(&report);
        }
        central.kill9();
        central = Central::start(directory.path(), "");
        let expected = (before + counter) / 3600.0;
        near(used(&central, "structure=cont0"), expected);
        near(used(&central, "structure=cont1"), expected / 2.0);
        near(used(&central, ""), expected * 1.5);
        if round % 3 == 1 {
            // What the agent counted since its last report is gone with it; nothing else is.
            agent = Agent::start("host0");
            before += counter;
            counter = 0.0;
        }
    }
    let bill = central.get("/accounting?structure=cont0");
    assert_eq!((&bill["bill"], &bill["resources"]["cpu"]["cost"]), (&Value::Null, &Value::Null), "nothing has a price");
    assert_eq!(bill["resources"]["cpu"]["utilization"], 0.5);
}

#[test]
fn amounts_are_whose_the_container_was_and_cost_what_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let prices = "[accounting]\ncore_hour = 0.04\ngib_hour = 0.005\ncurrency = 'CHF'\n";
    let central = Central::start(directory.path(), prices);
    let mut agents = [Agent::start("host0"), Agent::start("host1")];
    let mut report = |first: f64, second: f64| {
        central.report(&agents[0].next(&[("cont0", first)]));
        central.report(&agents[1].next(&[("cont1", second)]));
    };
    report(0.0, 0.0);
    let resource = json!({ "max": 400, "min": 50, "guard": false });
    let resources = json!({ "cpu": resource, "mem": resource });
    let band = json!({ "boundary": 25, "boundary_type": "absolute" });
    let limits = json!({ "resources": { "cpu": band, "mem": band } });
    for app in ["one", "the other"] {
        let body =
            json!({ "app": { "name": app, "guard": false, "subtype": "application", "resources": resources }, "limits": limits });
        central.put(&format!("/structure/apps/{}", app.replace(' ', "%20")), &body);
    }
    central.put("/user/ann", &json!({ "user": { "name": "ann", "subtype": "user", "resources": resources } }));
    central.put("/user/clusters/ann/one", &Value::Null);
    for container in ["cont0", "cont1"] {
        let subscribed = json!({ "max": 200, "min": 50, "current": 200, "guard": false });
        let body = json!({ "container": { "name": container, "host": format!("host{}", &container[4..]), "host_rescaler_ip": "h",
            "host_rescaler_port": 8000, "guard": false, "subtype": "container", "resources": { "cpu": subscribed, "mem": subscribed } },
            "limits": limits });
        // The played agents carry out no orders, so limits are not set; membership does not need that.
        central.send("PUT", &format!("/structure/container/{container}"), None, &body.to_string());
        central.put(&format!("/structure/container/{container}/one"), &Value::Null);
    }
    report(360_000.0, 3600.0);
    bed::until("the membership has settled", || {
        report(360_000.0, 3600.0);
        central.get("/structure/one")["containers"].as_array().is_some_and(|containers| containers.len() == 2)
    });
    let (status, text) = central.send("DELETE", "/structure/container/cont0/one", None, "");
    assert_eq!(status, 201, "{text}");
    central.put("/structure/container/cont0/the%20other", &Value::Null);
    report(360_000.0 + 720_000.0, 7200.0);

    near(used(&central, "structure=cont0"), 300.0);
    near(used(&central, "app=one"), 100.0 + 2.0);
    near(used(&central, "app=the%20other"), 200.0);
    near(used(&central, "user=ann"), 102.0);
    let bill = central.get("/accounting?app=the+other&from=-1h");
    assert_eq!((&bill["currency"], &bill["resources"]["cpu"]["unit"]), (&json!("CHF"), &json!("share-hours")));
    // 200 share-hours are 2 core-hours, and as many MiB-hours are 0.195 GiB-hours.
    near(bill["bill"]["used"].as_f64().unwrap(), 2.0 * 0.04 + 200.0 / 1024.0 * 0.005);
    near(bill["bill"]["reserved"].as_f64().unwrap(), 4.0 * bill["bill"]["used"].as_f64().unwrap());
    assert_eq!(bill["accounts"][0]["application"], "the other");
    near(used(&central, "structure=cont0&from=-2d&to=-1d"), 0.0);

    let (status, csv) = central.send("GET", "/accounting/?user=ann", Some("text/csv"), "");
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!((status, rows.len()), (200, 5), "{csv}");
    assert!(rows[0].starts_with("structure,host,application,user,resource,unit,used,"), "{csv}");
    assert!(rows[1].starts_with("cont0,host0,one,ann,cpu,share-hours,100,200,400,0.5,0.25,0.04,0.08,0.16,CHF"), "{csv}");

    for (path, status, says) in [
        ("/accounting?structure=nobody", 404, "no structure \\\"nobody\\\""),
        ("/accounting?app=nobody", 404, "no application"),
        ("/accounting?container=cont0", 400, "unknown key"),
        ("/accounting?from=soon", 400, "seconds since the epoch"),
        ("/timeseries?structure=nobody", 404, "no structure"),
        ("/timeseries?structure=cont0&resource=gpu", 400, "unknown resource"),
    ] {
        let (answered, text) = central.send("GET", path, None, "");
        assert!(answered == status && text.contains(says), "{path}: {answered} {text}");
    }
}

#[test]
fn series_follow_what_agents_report_and_outlive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let central = Central::start(directory.path(), "");
    central.put("/service/database_snapshoter/POLLING_FREQUENCY", &json!({ "value": "0.1" }));
    let mut agent = Agent::start("host0");
    let series = |central: &Central| central.get("/timeseries?structure=cont0&resource=cpu&field=usage,current,upper&step=raw");
    let rows = |series: &Value| series["times"].as_array().unwrap().len();
    bed::until("there are samples", || {
        central.report(&agent.next(&[("cont0", 1.0)]));
        rows(&series(&central)) >= 3
    });
    let answer = series(&central);
    assert_eq!(answer["tags"], json!({ "structure": "cont0" }));
    let last = |metric: &str| answer["metrics"][metric].as_array().and_then(|values| values.last()).cloned().unwrap_or_default();
    assert_eq!(
        (last("structure.cpu.usage"), last("structure.cpu.current"), last("limit.cpu.upper")),
        (json!(12.5), json!(200), json!(175))
    );
    let services = central.get("/timeseries?service=database_snapshoter");
    assert_eq!(services["times"].as_array().unwrap().len(), 0, "only the Guardian's and the Scaler's settings are kept");
    let guardian = central.get("/timeseries?service=guardian");
    assert!(guardian["metrics"]["conf.guardian.window_timelapse"].is_array(), "{guardian}");
    let beat = &central.get("/service/database_snapshoter")["heartbeat"];
    assert!(beat.as_f64().is_some_and(|at| (bed::now() - at).abs() < 60.0), "{beat}");
    let user = json!({ "user": { "name": "ann", "subtype": "user", "resources": { "cpu": { "max": 800, "min": 0 }, "mem": { "max": 1, "min": 0 } } } });
    central.put("/user/ann", &user);
    bed::until("users are kept too", || {
        let (status, text) = central.send("GET", "/timeseries?user=ann&resource=cpu", None, "");
        status == 200 && text.contains("\"structure.cpu.max\":[800")
    });
    // Other fields on the fly; one of them is none.
    central.put("/service/database_snapshoter/FIELDS_PERSISTED", &json!({ "value": ["usage", "free", "colour"] }));
    bed::until("hosts have something free", || {
        central.get("/timeseries?structure=host0&field=free")["metrics"]["structure.cpu.free"]
            .as_array()
            .is_some_and(|v| v[v.len() - 1] == 100)
    });
    bed::until("limits are kept no more", || {
        central.report(&agent.next(&[("cont0", 1.0)]));
        let newest = |metric: &str| series(&central)["metrics"][metric].as_array().and_then(|values| values.last().cloned());
        newest("structure.cpu.usage") == Some(json!(12.5)) && newest("structure.cpu.current") == Some(Value::Null)
    });
    // Switched off on the fly.
    central.put("/service/database_snapshoter/ACTIVE", &json!({ "value": "false" }));
    let mut before = usize::MAX;
    bed::until("no more samples come", || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = rows(&series(&central));
        std::mem::replace(&mut before, now) == now
    });
    central.end();
    let central = Central::start(directory.path(), "");
    assert_eq!(rows(&series(&central)), before, "what was buffered was written down at the end");
}
