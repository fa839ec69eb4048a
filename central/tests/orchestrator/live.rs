//! What agents report, over what the documents say.

use serde_json::json;

use crate::agent::{Agent, Container};
use crate::support::Server;

#[test]
fn what_is_reported_now_is_shown() {
    let server = Server::start();
    let agent = Agent::start(&server, "host0", (150.0, 4000.0), &[("cont0", Container::new(175.5, 12.345_678))]);
    let cpu = json!({"max": 200, "min": 50, "current": 175.5, "usage": 12.346, "guard": true, "weight": 1});
    // No limit is in force on memory: what the machine allows. No usage is known.
    let mem = json!({"max": 8192, "min": 1024, "current": 16000, "guard": false});
    assert_eq!(server.shows("/structure/cont0/resources/cpu"), cpu);
    assert_eq!(server.shows("/structure/cont0/resources/mem"), mem);
    assert_eq!(server.shows("/structure/cont0/resources/cpu/current"), 175.5);
    server.get("/structure/cont0/resources/mem/usage").error(404);
    let listed = server.shows("/structure/");
    assert_eq!((&listed[2]["resources"]["cpu"], &listed[2]["theirs"]), (&cpu, &json!({"kept": [1]})));
    let limits = server.shows("/structure/cont0/limits");
    assert_eq!((&limits["cpu"]["upper"], &limits["cpu"]["lower"]), (&json!(145.5), &json!(115.5)));
    assert_eq!(limits["mem"], json!({"boundary": 10, "boundary_type": "percentage_of_max"}));
    let host = server.shows("/structure/host0/resources");
    assert_eq!((&host["cpu"]["free"], &host["cpu"]["max"], &host["mem"]["free"]), (&json!(150), &json!(400), &json!(4000)));
    assert_eq!(host["cpu"]["core_usage_mapping"], json!({"0": {"free": 100}}));
    assert_eq!(host["disks"]["sda"]["free_read"], 400);
    // The host may give out more than people let it.
    server.changes("/structure/host0/resources/cpu/max", &json!({"value": 300}));
    assert_eq!(server.shows("/structure/host0/resources/cpu/free"), 50);
    server.changes("/structure/host0/resources/cpu/max", &json!({"value": 100}));
    assert_eq!(server.shows("/structure/host0/resources/cpu/free"), 0);
    drop(agent);
    // Nothing of it was written: after a restart the documents speak until an agent reports.
    let server = server.restart();
    assert_eq!(server.shows("/structure/cont0/resources/cpu/current"), 200);
}

#[test]
fn what_is_discovered_is_not_guarded_and_can_be() {
    let server = Server::start();
    let _agent = Agent::start(&server, "host1", (400.0, 8000.0), &[("found", Container::new(100.0, 5.0))]);
    let found = server.shows("/structure/found");
    assert_eq!((&found["guard"], &found["host"], &found["subtype"]), (&json!(false), &json!("host1"), &json!("container")));
    server.does("/structure/found/guard");
    assert_eq!(server.shows("/structure/found/guard".trim_end_matches("/guard"))["guard"], true);
    server.changes("/structure/found/resources/cpu/max", &json!({"value": 300}));
    server.changes("/structure/found/limits/cpu/boundary", &json!({"value": 20}));
}

#[test]
fn a_label_puts_a_new_container_into_its_application() {
    let server = Server::start();
    server.put("/structure/container/cont0/app1", &json!({}));
    let labelled = |application| Container { application: Some(application), ..Container::new(100.0, 5.0) };
    let containers = [
        ("web", labelled("shop")),
        ("db", labelled("shop")),
        ("other", labelled("app1")),
        ("cont0", labelled("shop")),
        ("odd", labelled("host0")),
        ("none", labelled("host")),
    ];
    let agent = Agent::start(&server, "host1", (400.0, 8000.0), &containers);
    let shop = server.shows("/structure/shop");
    let mut members: Vec<_> = shop["containers"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    members.sort_unstable();
    assert_eq!(members, ["db", "web"], "what was known before, or is somebody's, stays where it is");
    assert_eq!((&shop["subtype"], &shop["guard"], &shop["discovered"]), (&json!("application"), &json!(false), &json!(true)));
    assert!(server.shows("/structure/app1")["containers"].as_array().unwrap().contains(&json!("other")));
    for (name, _) in &containers {
        assert_eq!(server.shows(&format!("/structure/{name}"))["subtype"], "container");
    }
    assert_eq!(server.shows("/structure/host0")["subtype"], "host");

    // People have the last word.
    server.delete("/structure/container/web/shop").is_done("taken out");
    drop(agent);
    let server = server.restart();
    let _agent = Agent::start(&server, "host1", (400.0, 8000.0), &containers);
    assert_eq!(server.shows("/structure/shop")["containers"], json!(["db"]));
    let body = json!({"app": {"name": "shop", "guard": false, "subtype": "application",
            "resources": {"cpu": {"max": 400, "min": 100, "guard": true}, "mem": {"max": 8192, "min": 1024, "guard": false}}},
        "limits": {"resources": {"cpu": {"boundary": 50, "boundary_type": "absolute"}, "mem": {"boundary": 10,
            "boundary_type": "percentage_of_max"}}}});
    server.put("/structure/apps/shop", &body).is_done("what was discovered is subscribed");
    let shop = server.shows("/structure/shop");
    assert_eq!((&shop["containers"], &shop["discovered"]), (&json!(["db"]), &json!(null)));
}

#[test]
fn the_audit_knows_who_changed_what() {
    let server = Server::start();
    server.does("/structure/cont0/guard");
    server.changes("/service/guardian/WINDOW_TIMELAPSE", &json!({"value": 0.5}));
    let entries = server.shows("/decisions").to_string();
    assert!(entries.contains("guarded") && entries.contains("guardian.WINDOW_TIMELAPSE = 0.5"), "{entries}");
}
