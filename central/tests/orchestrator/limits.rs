use serde_json::{Value, json};

use crate::support::{Server, documents};

#[test]
fn all_and_one() {
    let server = Server::start();
    let limits = &documents()["limits"][0]["resources"];
    assert_eq!(server.shows("/structure/cont0/limits"), *limits);
    assert_eq!(server.shows("/structure/cont0/limits/cpu"), limits["cpu"]);
    server.refuses(&[
        ("GET", "/structure/cont9/limits", json!(null), 404, "there is no structure \"cont9\""),
        ("GET", "/structure/cont9/limits/cpu", json!(null), 404, "there is no structure \"cont9\""),
        ("GET", "/structure/cont1/limits", json!(null), 404, "\"cont1\" has no limits"),
        ("GET", "/structure/cont0/limits/net", json!(null), 404, "\"cont0\" has no limits of \"net\""),
    ]);
}

#[test]
fn boundaries_and_their_types() {
    let server = Server::start();
    let table = [
        ("cpu/boundary", json!("50"), json!(50)),
        ("cpu/boundary", json!(200), json!(200)),
        ("cpu/boundary", json!(12.5), json!(12.5)),
        ("cpu/boundary_type", json!("percentage_of_max"), json!("percentage_of_max")),
        ("cpu/boundary", json!(100), json!(100)),
        ("cpu/boundary_type", json!("percentage_of_current"), json!("percentage_of_current")),
        ("mem/boundary", json!(0), json!(0)),
    ];
    for (path, given, stored) in table {
        server.changes(&format!("/structure/cont0/limits/{path}"), &json!({"value": given}));
        let (resource, key) = path.split_once('/').unwrap();
        assert_eq!(server.shows("/structure/cont0/limits")[resource][key], stored, "{path} {given}");
    }
    assert_eq!(server.shows("/structure/cont0/limits/cpu")["upper"], 175, "what is not ours to change is as it was");
}

#[test]
fn a_structure_that_came_without_limits_gets_them() {
    let server = Server::start();
    server.changes("/structure/cont1/limits/cpu/boundary", &json!({"value": 10}));
    server.changes("/structure/cont1/limits/mem/boundary_type", &json!({"value": "percentage_of_max"}));
    let expected = json!({"cpu": {"boundary": 10}, "mem": {"boundary_type": "percentage_of_max"}});
    assert_eq!(server.shows("/structure/cont1/limits"), expected);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = Server::start();
    let value = |value: Value| json!({ "value": value });
    let boundary = "/structure/cont0/limits/cpu/boundary";
    let kind = "/structure/cont0/limits/cpu/boundary_type";
    server.refuses(&[
        ("PUT", boundary, value(json!(201)), 400, "boundary 201 is outside 0..=200"),
        ("PUT", boundary, value(json!(-1)), 400, "boundary is -1; expected a number, 0 or more"),
        ("PUT", boundary, value(json!("wide")), 400, "boundary is \"wide\""),
        ("PUT", boundary, value(json!(null)), 400, "\"value\" is missing"),
        ("PUT", boundary, value(json!({})), 400, "expected a number"),
        ("PUT", "/structure/cont0/limits/mem/boundary", value(json!(100.5)), 400, "must be within 0..=100"),
        ("PUT", "/structure/cont0/limits/net/boundary", value(json!(5)), 404, "\"cont0\" has no resource \"net\""),
        ("PUT", "/structure/cont0/limits/gpu/boundary", value(json!(5)), 404, "\"cont0\" has no resource \"gpu\""),
        ("PUT", "/structure/cont9/limits/cpu/boundary", value(json!(5)), 404, "there is no structure \"cont9\""),
        ("PUT", kind, value(json!("relative")), 400, "unknown boundary_type \"relative\"; known are absolute, percentage_of_max"),
        ("PUT", kind, value(json!(5)), 400, "boundary_type is 5; expected a text"),
        ("PUT", kind, json!({}), 400, "\"value\" is missing"),
        ("PUT", "/structure/cont9/limits/cpu/boundary_type", value(json!("absolute")), 404, "there is no structure"),
        ("PUT", "/structure/cont1/limits/net/boundary_type", value(json!("absolute")), 404, "no resource \"net\""),
    ]);
    // A boundary that was right by its old type.
    server.changes(boundary, &value(json!(150)));
    server.refuses(&[("PUT", kind, value(json!("percentage_of_max")), 400, "boundary 150 is no percentage")]);
    server.changes(boundary, &value(json!(90)));
    server.changes(kind, &value(json!("percentage_of_max")));
}
