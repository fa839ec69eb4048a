//! Names that are hard on paths and stores.

use serde_json::{Value, json};

use crate::hosts::with;
use crate::support::{Server, encoded};

const NAMES: [&str; 9] = ["a b", "a/b", "_design/x", "ünï-コンテナ", "100%", "?q=1&x#y", "..", "quote\"'`;--", "resources"];

fn application(name: &str) -> Value {
    let amounts = json!({"max": 100, "min": 0, "guard": false});
    let resources = json!({"cpu": amounts, "mem": amounts});
    json!({"app": {"name": name, "guard": false, "subtype": "application", "resources": resources},
        "limits": {"resources": {"cpu": {"boundary": 5}, "mem": {"boundary": 5}}}})
}

#[test]
fn any_name_goes_all_the_way() {
    let server = Server::start();
    for name in NAMES {
        let path = format!("/structure/{}", encoded(name));
        server.put(&format!("/structure/apps/{}", encoded(name)), &application(name)).is_done(name);
        assert_eq!(server.shows(&path)["name"], name);
        server.does(&format!("{path}/guard"));
        server.changes(&format!("{path}/resources/cpu/max"), &json!({"value": 50}));
        server.changes(&format!("{path}/limits/cpu/boundary"), &json!({"value": 7}));
        server.put(&format!("/user/clusters/user0/{}", encoded(name)), &json!({})).is_done(name);
        let user = json!({"user": {"name": name, "subtype": "user", "resources": application(name)["app"]["resources"]}});
        server.put(&format!("/user/{}", encoded(name)), &user).is_done(name);
    }
    let server = server.restart();
    let mut sorted: Vec<&str> = NAMES.into();
    sorted.sort_unstable();
    let users = server.shows("/user/");
    let named: Vec<&str> =
        users.as_array().unwrap().iter().filter_map(|user| user["name"].as_str()).filter(|n| *n != "user0").collect();
    assert_eq!(named, sorted);
    assert_eq!(server.shows("/user/user0")["clusters"], json!(NAMES));
    for name in NAMES {
        let now = server.shows(&format!("/structure/{}", encoded(name)));
        assert_eq!((&now["guard"], &now["resources"]["cpu"]["max"]), (&json!(true), &json!(50)), "{name}");
        assert_eq!(server.shows(&format!("/structure/{}/limits/cpu", encoded(name)))["boundary"], 7);
        server.delete(&format!("/structure/apps/{}", encoded(name))).is_done(name);
        server.delete(&format!("/user/{}", encoded(name))).is_done(name);
        server.get(&format!("/structure/{}", encoded(name))).error(404);
    }
    assert_eq!(server.shows("/user/user0")["clusters"], json!([]));
}

#[test]
fn names_of_no_use_are_refused() {
    let server = Server::start();
    let long = "x".repeat(256);
    for name in [" ", "a\nb", "a\u{0}b", long.as_str()] {
        let body = application(name);
        let message = server.put(&format!("/structure/apps/{}", encoded(name)), &body).error(400);
        assert!(message.contains("is no name"), "{message}");
    }
    let body = with(&application("x"), "/app/name", json!(""));
    server.put("/structure/apps/x", &body).error(400);
    // No text at all.
    assert!(server.get("/structure/%FF").error(400).contains("UTF-8"));
    server.put("/structure/%FF/guard", &json!({})).error(400);
}
