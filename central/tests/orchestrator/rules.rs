use serde_json::{Value, json};

use crate::support::Server;

#[test]
fn all_and_one() {
    let server = Server::start();
    let all = server.shows("/rule/");
    assert_eq!(all.as_array().map(Vec::len), Some(18));
    let one = server.shows("/rule/CpuRescaleUp");
    assert!(all.as_array().unwrap().contains(&one));
    assert_eq!((&one["amount"], &one["rescale_policy"], &one["active"]), (&json!(75), &json!("amount"), &json!(true)));
    server.refuses(&[("GET", "/rule/CpuRescaleSideways", json!(null), 404, "there is no rule \"CpuRescaleSideways\"")]);
}

#[test]
fn on_and_off() {
    let server = Server::start();
    for (path, active) in [("deactivate", false), ("activate", true)] {
        server.does(&format!("/rule/cpu_exceeded_upper/{path}"));
        assert_eq!(server.shows("/rule/cpu_exceeded_upper")["active"], active);
    }
    server.does("/rule/cpu_usage_high/activate");
    server.refuses(&[
        ("PUT", "/rule/nothing/activate", json!(null), 404, "there is no rule \"nothing\""),
        ("PUT", "/rule/nothing/deactivate", json!(null), 404, "there is no rule \"nothing\""),
    ]);
}

#[test]
fn amounts_of_rules_that_go_up() {
    let server = Server::start();
    for (given, stored) in [(json!(100), json!(100)), (json!("150"), json!(150)), (json!(12.5), json!(12.5))] {
        server.changes("/rule/CpuRescaleUp/amount", &json!({"value": given}));
        assert_eq!(server.shows("/rule/CpuRescaleUp")["amount"], stored);
    }
    let body = json!({"value": 100});
    let value = |value: Value| json!({ "value": value });
    server.refuses(&[
        ("PUT", "/rule/CpuRescaleDown/amount", body.clone(), 400, "\"CpuRescaleDown\" makes no upward requests"),
        ("PUT", "/rule/cpu_exceeded_upper/amount", body.clone(), 400, "makes no requests"),
        ("PUT", "/rule/cpu_usage_high/amount", body.clone(), 400, "makes no requests"),
        ("PUT", "/rule/nothing/amount", body, 404, "there is no rule"),
        ("PUT", "/rule/CpuRescaleUp/amount", value(json!(-1)), 400, "value is -1; expected a number, 0 or more"),
        ("PUT", "/rule/CpuRescaleUp/amount", value(json!("much")), 400, "value is \"much\""),
        ("PUT", "/rule/CpuRescaleUp/amount", value(json!(true)), 400, "expected a number"),
        ("PUT", "/rule/CpuRescaleUp/amount", value(json!([75])), 400, "expected a number"),
        ("PUT", "/rule/CpuRescaleUp/amount", value(json!("inf")), 400, "expected a number"),
        ("PUT", "/rule/CpuRescaleUp/amount", json!({"amount": 75}), 400, "\"value\" is missing"),
    ]);
}

#[test]
fn policies_by_direction() {
    let server = Server::start();
    for policy in ["proportional", "multiplicative", "amount"] {
        server.changes("/rule/CpuRescaleUp/policy", &json!({"value": policy}));
        assert_eq!(server.shows("/rule/CpuRescaleUp")["rescale_policy"], policy);
    }
    assert_eq!(server.shows("/rule/CpuRescaleUp")["factor"], 2, "multiplicative needs one, and there was none");
    let down = |key: &str| server.shows("/rule/CpuRescaleDown")[key].clone();
    for (policy, amount) in
        [("amount", json!(-75)), ("proportional", json!(75)), ("multiplicative", json!(75)), ("fit_to_usage", json!(75))]
    {
        server.changes("/rule/CpuRescaleDown/policy", &json!({"value": policy}));
        assert_eq!((down("rescale_policy"), down("amount")), (json!(policy), amount), "{policy}");
    }
    assert_eq!(down("factor"), 0.5);
    let value = |value: Value| json!({ "value": value });
    server.refuses(&[
        ("PUT", "/rule/CpuRescaleUp/policy", value(json!("fit_to_usage")), 400, "expected amount, proportional, multiplicative"),
        ("PUT", "/rule/CpuRescaleDown/policy", value(json!("guess")), 400, "policy \"guess\" is not for rule \"CpuRescaleDown\""),
        ("PUT", "/rule/CpuRescaleUp/policy", value(json!("")), 400, "is not for rule"),
        ("PUT", "/rule/CpuRescaleUp/policy", value(json!(5)), 400, "value is 5; expected a text"),
        ("PUT", "/rule/CpuRescaleUp/policy", json!({}), 400, "\"value\" is missing"),
        ("PUT", "/rule/mem_dropped_lower/policy", value(json!("amount")), 400, "makes no requests"),
        ("PUT", "/rule/nothing/policy", value(json!("amount")), 404, "there is no rule"),
    ]);
}

#[test]
fn events_that_are_required() {
    let server = Server::start();
    server.changes("/rule/CpuRescaleUp/events_required", &json!({"value": "4", "event_type": "up"}));
    let up = |n: i64| json!({">=": [{"var": "events.scale.up"}, n]});
    let rule = server.shows("/rule/CpuRescaleUp");
    assert_eq!(rule["rule"], json!({"and": [up(4), {"<=": [{"var": "events.scale.down"}, 2]}]}));
    assert_eq!(rule["events_to_remove"], 4, "it is the direction in which it scales");
    server.changes("/rule/CpuRescaleUp/events_required", &json!({"value": 0, "event_type": "down"}));
    let rule = server.shows("/rule/CpuRescaleUp");
    assert_eq!(rule["rule"], json!({"and": [up(4), {"<=": [{"var": "events.scale.down"}, 0]}]}));
    assert_eq!(rule["events_to_remove"], 4);
    server.changes("/rule/CpuRescaleDown/events_required", &json!({"value": 3, "event_type": "down"}));
    assert_eq!(server.shows("/rule/CpuRescaleDown")["events_to_remove"], 3);
    let path = "/rule/CpuRescaleUp/events_required";
    server.refuses(&[
        ("PUT", path, json!({"value": -1, "event_type": "up"}), 400, "value is -1; expected a whole number, 0 or more"),
        ("PUT", path, json!({"value": 1.5, "event_type": "up"}), 400, "expected a whole number"),
        ("PUT", path, json!({"value": "many", "event_type": "up"}), 400, "expected a whole number"),
        (
            "PUT",
            path,
            json!({"value": 4, "event_type": "sideways"}),
            400,
            "event_type is \"sideways\"; expected \"up\" or \"down\"",
        ),
        ("PUT", path, json!({"value": 4, "event_type": 1}), 400, "event_type is 1; expected a text"),
        ("PUT", path, json!({"value": 4}), 400, "\"event_type\" is missing"),
        ("PUT", path, json!({"event_type": "up"}), 400, "\"value\" is missing"),
        (
            "PUT",
            "/rule/cpu_exceeded_upper/events_required",
            json!({"value": 4, "event_type": "up"}),
            400,
            "\"cpu_exceeded_upper\" has no condition on events.scale.up",
        ),
        ("PUT", "/rule/nothing/events_required", json!({"value": 4, "event_type": "up"}), 404, "there is no rule"),
    ]);
}

#[test]
fn older_spellings_and_rules_that_do_not_work() {
    let old = json!({"type": "rule", "name": "OldUp", "resource": "cpu", "generates": "requests", "active": "true", "mine": "kept",
        "rule": {">=": [{"var": "events.scale.up"}, "2"]}, "rescale_by": "amount", "amount": "75", "events_to_remove": "2"});
    let broken = json!({"name": "Broken", "generates": "requests", "resource": "gpu", "rescale_type": "up", "rule": 5});
    let server = Server::with(&json!({"rules": [old, broken]}));
    server.changes("/rule/OldUp/amount", &json!({"value": 80}));
    server.changes("/rule/OldUp/events_required", &json!({"value": 3, "event_type": "up"}));
    server.changes("/rule/OldUp/policy", &json!({"value": "proportional"}));
    let rule = server.shows("/rule/OldUp");
    assert_eq!((&rule["amount"], &rule["mine"], &rule["rescale_policy"]), (&json!(80), &json!("kept"), &json!("proportional")));
    assert_eq!((&rule["rescale_by"], &rule["events_to_remove"]), (&Value::Null, &json!(3)));
    assert_eq!(rule["rule"], json!({">=": [{"var": "events.scale.up"}, 3]}));
    // What does not work may be switched off, and put right bit by bit.
    server.does("/rule/Broken/deactivate");
    server.changes("/rule/Broken/amount", &json!({"value": 5}));
    assert_eq!(server.shows("/rule/Broken")["rule"], 5);
    // An upward rule without an amount cannot follow a policy that needs one.
    let server = Server::with(&json!({"rules": [{"name": "M", "resource": "cpu", "generates": "requests", "active": true,
        "rule": {">=": [{"var": "events.scale.up"}, 1]}, "rescale_type": "up", "rescale_policy": "multiplicative", "factor": 1.5,
        "events_to_remove": 1}]}));
    server.refuses(&[(
        "PUT",
        "/rule/M/policy",
        json!({"value": "amount"}),
        400,
        "\"M\" would not work any more: amount is missing",
    )]);
    server.changes("/rule/M/amount", &json!({"value": 5}));
    server.changes("/rule/M/policy", &json!({"value": "amount"}));
}
