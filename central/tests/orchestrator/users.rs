use serde_json::{Value, json};

use crate::hosts::with;
use crate::support::{Server, documents};

fn body() -> Value {
    json!({"user": {"name": "new", "subtype": "user", "balancing_method": "pair_swapping", "resources": {
        "cpu": {"max": "800", "min": 0}, "mem": {"max": 16384, "min": "512"}, "energy": {"max": 100, "min": 0}}}})
}

#[test]
fn all_and_one() {
    let server = Server::start();
    assert_eq!(server.shows("/user/"), documents()["users"]);
    assert_eq!(server.shows("/user/user0"), documents()["users"][0]);
    server.refuses(&[("GET", "/user/user9", json!(null), 404, "there is no user \"user9\"")]);
}

#[test]
fn a_user_comes_and_goes() {
    let server = Server::start();
    server.put("/user/new", &body()).is_done("PUT");
    let expected = json!({"type": "user", "subtype": "user", "name": "new", "balancing_method": "pair_swapping", "clusters": [],
        "resources": {"cpu": {"max": 800, "min": 0}, "mem": {"max": 16384, "min": 512}, "energy": {"max": 100, "min": 0}}});
    assert_eq!(server.shows("/user/new"), expected);
    server.refuses(&[("PUT", "/user/new", body(), 400, "there is a user \"new\" already")]);
    server.put("/user/clusters/new/app1", &json!({})).is_done("taken");
    server.delete("/user/new/").is_done("DELETE");
    server.get("/user/new").error(404);
    assert_eq!(server.shows("/structure/app1")["name"], "app1");
    server.put("/user/new/", &body()).is_done("again");
    let missing = [
        "/user",
        "/user/name",
        "/user/subtype",
        "/user/resources",
        "/user/resources/cpu",
        "/user/resources/mem",
        "/user/resources/cpu/max",
        "/user/resources/mem/min",
    ];
    let path = "/user/new2";
    let mut table: Vec<(&str, &str, Value, u16, &str)> = missing
        .iter()
        .map(|pointer| ("PUT", path, with(&with(&body(), "/user/name", json!("new2")), pointer, json!(null)), 400, "is missing"))
        .collect();
    let wrong = [
        ("/user/name", json!("old"), "user.name is \"old\", but the path says \"new2\""),
        ("/user/subtype", json!("admin"), "expected \"user\""),
        ("/user/resources", json!(5), "user.resources is 5; expected an object"),
        ("/user/resources/cpu/max", json!(-1), "user.resources.cpu.max is -1"),
        ("/user/resources/mem/min", json!(99999), "user.resources.mem.min is 99999; expected at most max, 16384"),
    ];
    for (pointer, value, words) in &wrong {
        let body = with(&with(&body(), "/user/name", json!("new2")), pointer, value.clone());
        table.push(("PUT", path, body, 400, *words));
    }
    table.push(("DELETE", "/user/user9", json!(null), 404, "there is no user \"user9\""));
    server.refuses(&table);
}

#[test]
fn what_a_user_may_have() {
    let server = Server::start();
    let table = [
        ("resources/cpu/max", "cpu", "max", json!("900")),
        ("resources/mem/min", "mem", "min", json!(900)),
        ("energy/max", "energy", "max", json!(900.0)),
    ];
    for (path, resource, key, given) in table {
        server.changes(&format!("/user/user0/{path}"), &json!({"value": given}));
        assert_eq!(server.shows("/user/user0")["resources"][resource][key], 900);
    }
    let value = |value: Value| json!({ "value": value });
    server.refuses(&[
        ("PUT", "/user/user0/resources/cpu/max", value(json!(-1)), 400, "cpu.max is -1; expected a whole number, 0 or more"),
        ("PUT", "/user/user0/resources/cpu/max", value(json!("x")), 400, "cpu.max is \"x\""),
        ("PUT", "/user/user0/resources/cpu/max", value(json!(0.5)), 400, "expected a whole number"),
        ("PUT", "/user/user0/resources/cpu/max", json!({}), 400, "\"value\" is missing"),
        ("PUT", "/user/user0/resources/cpu/usage", value(json!(5)), 400, "\"usage\" cannot be set; expected max or min"),
        ("PUT", "/user/user0/resources/net/max", value(json!(5)), 404, "\"user0\" has no resource \"net\""),
        ("PUT", "/user/user0/resources/gpu/max", value(json!(5)), 404, "\"user0\" has no resource \"gpu\""),
        ("PUT", "/user/user9/resources/cpu/max", value(json!(5)), 404, "there is no user \"user9\""),
        ("PUT", "/user/user9/energy/max", value(json!(5)), 404, "there is no user \"user9\""),
        ("PUT", "/user/user0/energy/max", value(json!("x")), 400, "energy.max is \"x\""),
    ]);
}
