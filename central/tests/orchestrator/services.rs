use serde_json::{Value, json};

use crate::support::Server;

fn config(server: &Server, service: &str) -> Value {
    server.shows(&format!("/service/{service}"))["config"].clone()
}

#[test]
fn all_and_one() {
    let server = Server::start();
    let all = server.shows("/service/");
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|service| service["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["database_snapshoter", "guardian", "refeeder", "scaler", "structures_snapshoter"]);
    let guardian = server.shows("/service/guardian");
    assert_eq!((&guardian, &guardian["type"]), (&all[1], &json!("service")));
    assert_eq!(guardian["config"]["WINDOW_TIMELAPSE"], 10);
}

#[test]
fn a_setting_as_number_text_flag_or_list() {
    let server = Server::start();
    let table = [
        ("guardian", "WINDOW_TIMELAPSE", json!(5), json!(5)),
        ("guardian", "WINDOW_TIMELAPSE", json!("0.5"), json!(0.5)),
        ("guardian", "ACTIVE", json!("false"), json!(false)),
        ("guardian", "ACTIVE", json!(true), json!(true)),
        ("guardian", "ACTIVE", json!("True"), json!(true)),
        ("guardian", "GUARDABLE_RESOURCES", json!(["cpu", "mem"]), json!(["cpu", "mem"])),
        ("guardian", "GUARDABLE_RESOURCES", json!("mem"), json!(["mem"])),
        ("guardian", "STRUCTURE_GUARDED", json!("application"), json!("application")),
        ("scaler", "REQUEST_TIMEOUT", json!("90"), json!(90)),
        ("refeeder", "WINDOW_DELAY", json!("0"), json!(0)),
        (
            "structures_snapshoter",
            "STRUCTURES_PERSISTED",
            json!(["container", "application"]),
            json!(["container", "application"]),
        ),
        ("database_snapshoter", "FIELDS_PERSISTED", json!(["max"]), json!(["max"])),
        // Nobody knows these: they are kept.
        ("guardian", "MY_OWN", json!("12"), json!(12)),
        ("guardian", "MY_OWN", json!("true"), json!(true)),
        ("guardian", "MY_OWN", json!({"a": ["1"]}), json!({"a": ["1"]})),
        // These are texts, whatever they look like.
        ("guardian", "ENERGY_MODEL_NAME", json!("12"), json!("12")),
        ("guardian", "ENERGY_MODEL_RELIABILITY", json!("true"), json!("true")),
        ("guardian", "CONTROL_POLICY", json!("5"), json!("5")),
        ("scaler", "POWER_MODEL", json!("false"), json!("false")),
    ];
    for (service, key, given, stored) in table {
        server.changes(&format!("/service/{service}/{key}"), &json!({"value": given}));
        assert_eq!(config(&server, service)[key], stored, "{service}.{key} {given}");
    }
}

#[test]
fn several_settings_at_once_or_none() {
    let server = Server::start();
    server.changes("/service/guardian", &json!({"WINDOW_TIMELAPSE": "2", "WINDOW_DELAY": 0, "DEBUG": "true", "MINE": "x"}));
    let now = config(&server, "guardian");
    let expected = [("WINDOW_TIMELAPSE", json!(2)), ("WINDOW_DELAY", json!(0)), ("DEBUG", json!(true)), ("MINE", json!("x"))];
    for (key, value) in expected {
        assert_eq!(now[key], value);
    }
    assert_eq!(now["EVENT_TIMEOUT"], 100, "the others are as they were");
    server.refuses(&[
        ("PUT", "/service/guardian", json!({"WINDOW_DELAY": 5, "WINDOW_TIMELAPSE": "soon"}), 400, "guardian.WINDOW_TIMELAPSE"),
        ("PUT", "/service/guardian", json!({"WINDOW_DELAY": 5, "MINE": null}), 400, "guardian.MINE is null"),
        ("PUT", "/service/guardian", json!({}), 400, "no setting"),
    ]);
}

#[test]
fn nonsense_is_refused() {
    let server = Server::start();
    let value = |value: Value| json!({ "value": value });
    server.refuses(&[
        ("PUT", "/service/guardian/WINDOW_TIMELAPSE", value(json!(0)), 400, "is 0, expected seconds, 0.01 or more"),
        ("PUT", "/service/guardian/WINDOW_TIMELAPSE", value(json!("-1")), 400, "expected seconds"),
        ("PUT", "/service/guardian/WINDOW_TIMELAPSE", value(json!("soon")), 400, "\"soon\""),
        ("PUT", "/service/guardian/WINDOW_TIMELAPSE", value(json!("NaN")), 400, "expected seconds"),
        ("PUT", "/service/guardian/WINDOW_TIMELAPSE", value(json!([5])), 400, "expected seconds"),
        ("PUT", "/service/guardian/EVENT_TIMEOUT", value(json!({})), 400, "expected seconds"),
        ("PUT", "/service/guardian/ACTIVE", value(json!("yes")), 400, "expected true or false"),
        ("PUT", "/service/guardian/ACTIVE", value(json!(1)), 400, "expected true or false"),
        ("PUT", "/service/guardian/GUARDABLE_RESOURCES", value(json!(["cpu", "gpu"])), 400, "expected a list of cpu, mem"),
        ("PUT", "/service/guardian/GUARDABLE_RESOURCES", value(json!(5)), 400, "expected a list of cpu, mem"),
        ("PUT", "/service/guardian/STRUCTURE_GUARDED", value(json!("host")), 400, "expected container or application"),
        ("PUT", "/service/guardian/STRUCTURE_GUARDED", value(json!(5)), 400, "expected container or application"),
        ("PUT", "/service/guardian/BALANCING_METHOD", value(json!(5)), 400, "expected a text"),
        ("PUT", "/service/guardian/ACTIVE", json!({}), 400, "\"value\" is missing"),
        ("PUT", "/service/guardian/ACTIVE", json!({"valu": true}), 400, "\"value\" is missing"),
        ("PUT", "/service/guardian/ACTIVE", value(json!(null)), 400, "\"value\" is missing"),
    ]);
}

#[test]
fn services_that_are_not_there() {
    let server = Server::start();
    for service in ["rebalancer", "energy_controller", "watt_trainer"] {
        let message = server.get(&format!("/service/{service}")).error(404);
        assert!(message.contains("Headroom does not have the service") && message.contains(service), "{message}");
        let message = server.put(&format!("/service/{service}/ACTIVE"), &json!({"value": true})).error(404);
        assert!(message.contains("Headroom does not have the service"), "{message}");
    }
    let body = json!({"value": true});
    server.refuses(&[
        ("GET", "/service/guardin", json!(null), 404, "there is no service \"guardin\"; there are database_snapshoter, guardian"),
        ("PUT", "/service/guardin/ACTIVE", body.clone(), 404, "there is no service \"guardin\""),
        ("PUT", "/service/guardin", body, 404, "there is no service \"guardin\""),
    ]);
}
