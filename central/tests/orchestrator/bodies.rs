//! What every path has in common: slashes, bodies, methods.

use serde_json::{Value, json};

use crate::support::{JSON, Server};

/// Every path that needs a body, with one that is right.
fn with_bodies() -> Vec<(&'static str, &'static str, Value)> {
    let value = |value: Value| json!({ "value": value });
    let amounts = json!({"max": 100, "min": 10, "current": 50, "guard": false});
    let both = |of: Value| json!({"cpu": of, "mem": of});
    let limits = json!({"resources": both(json!({"boundary": 5, "boundary_type": "absolute"}))});
    vec![
        ("PUT", "/service/guardian", json!({"DEBUG": true})),
        ("PUT", "/service/guardian/WINDOW_TIMELAPSE", value(json!(5))),
        ("PUT", "/rule/CpuRescaleUp/amount", value(json!(75))),
        ("PUT", "/rule/CpuRescaleUp/policy", value(json!("amount"))),
        ("PUT", "/rule/CpuRescaleUp/events_required", json!({"value": 2, "event_type": "up"})),
        ("PUT", "/structure/cont0/resources/cpu/max", value(json!(200))),
        ("PUT", "/structure/cont0/resources/guard", json!({"resources": ["cpu"]})),
        ("PUT", "/structure/cont0/resources/unguard", json!({"resources": "mem"})),
        ("PUT", "/structure/cont0/limits/cpu/boundary", value(json!(25))),
        ("PUT", "/structure/cont0/limits/cpu/boundary_type", value(json!("absolute"))),
        ("PUT", "/structure/host/host9", json!({"name": "host9"})),
        ("PUT", "/structure/host/host0/disks", json!({"resources": {"disks": []}})),
        ("POST", "/structure/host/host0/disks", json!({"resources": {"disks": []}})),
        (
            "PUT",
            "/structure/container/cont9",
            json!({"container": {"name": "cont9", "resources": both(amounts.clone())}, "limits": limits}),
        ),
        ("PUT", "/structure/apps/app9", json!({"app": {"name": "app9", "resources": both(amounts)}, "limits": limits})),
        ("PUT", "/user/user9", json!({"user": {"name": "user9"}})),
        ("PUT", "/user/user0/resources/cpu/max", value(json!(800))),
        ("PUT", "/user/user0/energy/max", value(json!(100))),
    ]
}

/// Every path that needs none.
const WITHOUT_BODIES: [(&str, &str); 14] = [
    ("PUT", "/rule/CpuRescaleUp/activate"),
    ("PUT", "/rule/CpuRescaleUp/deactivate"),
    ("PUT", "/structure/cont0/guard"),
    ("PUT", "/structure/cont0/unguard"),
    ("PUT", "/structure/cont0/resources/cpu/guard"),
    ("PUT", "/structure/cont0/resources/cpu/unguard"),
    ("PUT", "/structure/cont0/state/running"),
    ("PUT", "/structure/cont0/reset"),
    ("DELETE", "/structure/host/host9"),
    ("DELETE", "/structure/container/cont9"),
    ("DELETE", "/structure/apps/app9"),
    ("PUT", "/structure/container/cont0/app9"),
    ("DELETE", "/user/user9"),
    ("PUT", "/user/clusters/user0/app9"),
];

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    let server = Server::start();
    let before = server.everything();
    let bad = [
        ("", 400, "the body is empty; expected a JSON object"),
        (" \n", 400, "the body is empty"),
        ("{", 400, "the body is no JSON"),
        ("value=75", 400, "the body is no JSON"),
        ("{} {}", 400, "the body is no JSON"),
        ("[1]", 422, "the body is a list; expected a JSON object"),
        ("75", 422, "the body is a number"),
        ("null", 422, "the body is null"),
        ("\"x\"", 422, "the body is a text"),
    ];
    for (method, path, _) in with_bodies() {
        for (body, status, words) in bad {
            let message = server.send(method, path, &[JSON], body).error(status);
            assert!(message.contains(words), "{method} {path} {body:?}: {message}");
        }
        // Every body needs something.
        if method == "PUT" || path.ends_with("disks") {
            server.send(method, path, &[JSON], "{}").error(400);
            server.send(method, path, &[JSON], r#"{"value": null, "resources": null}"#).error(400);
        }
    }
    assert_eq!(server.everything(), before);
}

#[test]
fn a_body_that_is_too_long_is_refused() {
    let server = Server::start();
    let before = server.everything();
    let padding = " ".repeat(300 * 1024);
    for (method, path, body) in with_bodies() {
        let message = server.send(method, path, &[JSON], &format!("{body}{padding}")).error(413);
        assert!(message.contains("the longest body is 256 KiB"), "{method} {path}: {message}");
    }
    for (method, path) in WITHOUT_BODIES {
        server.send(method, path, &[JSON], &padding).error(413);
    }
    assert_eq!(server.everything(), before);
}

#[test]
fn what_is_said_to_be_no_json_is_not_taken() {
    let server = Server::start();
    let before = server.everything();
    for (method, path, body) in with_bodies() {
        for other in ["text/plain", "multipart/form-data", "application/xml", ";"] {
            let header = format!("Content-Type: {other}");
            let message = server.send(method, path, &[&header], &body.to_string()).error(415);
            assert!(message.contains("expected application/json"), "{method} {path} {other}: {message}");
        }
    }
    let path = "/rule/CpuRescaleUp/amount";
    let curls = "Content-Type: application/x-www-form-urlencoded";
    for form in ["value=75", "[75]", "75"] {
        assert!(server.send("PUT", path, &[curls], form).error(415).contains("x-www-form-urlencoded"), "{form}");
    }
    assert_eq!(server.everything(), before);
    server.send("PUT", path, &[curls], r#"{"value": "81"}"#).is_done("curl -d without a header");
    for header in [
        "Content-Type: application/json; charset=utf-8",
        "Content-Type: APPLICATION/JSON",
        "Content-Type: application/vnd.x+json",
        "X: y",
    ] {
        server.send("PUT", path, &[header], r#"{"value": 80}"#).is_done(header);
    }
}

#[test]
fn a_body_that_is_not_needed_does_not_matter() {
    let server = Server::start();
    for body in ["", "{", "[]", r#"{"value": 5}"#] {
        for headers in [&[][..], &[JSON], &["Content-Type: text/plain"]] {
            server.send("PUT", "/structure/cont0/guard", headers, body).is_done(body);
        }
    }
}

#[test]
fn paths_work_with_and_without_a_slash() {
    let server = Server::start();
    let paths = [
        "/heartbeat",
        "/service",
        "/service/guardian",
        "/rule",
        "/rule/CpuRescaleUp",
        "/structure",
        "/structure/cont0",
        "/structure/cont0/resources",
        "/structure/cont0/resources/cpu",
        "/structure/cont0/resources/cpu/max",
        "/structure/cont0/resources/cpu/guard",
        "/structure/cont0/limits",
        "/structure/cont0/limits/cpu",
        "/user",
        "/user/user0",
    ];
    for path in paths {
        assert_eq!(server.shows(path), server.shows(&format!("{path}/")), "{path}");
    }
    assert_eq!(server.shows("/heartbeat"), json!({"status": "alive"}));
}

#[test]
fn other_methods_and_other_paths_are_refused() {
    let server = Server::start();
    let wrong = [
        ("DELETE", "/service/guardian"),
        ("POST", "/service/"),
        ("GET", "/service/guardian/ACTIVE"),
        ("PUT", "/rule/CpuRescaleUp"),
        ("GET", "/rule/CpuRescaleUp/amount"),
        ("POST", "/structure/cont0/guard"),
        ("GET", "/structure/host/host0/disks"),
        ("DELETE", "/structure/cont0"),
        ("GET", "/structure/cont0/limits/cpu/boundary"),
        ("POST", "/user/user0"),
        ("GET", "/user/clusters/user0/app1"),
    ];
    for (method, path) in wrong {
        let answer = server.send(method, path, &[], "");
        assert!(answer.head.to_lowercase().contains("\r\nallow: "), "{answer:?}");
        assert_eq!(answer.error(405), format!("{method} is not for {path:?}"));
    }
    for path in ["/", "/structures", "/service/guardian/ACTIVE/x", "/structure/a/b/c/d/e", "/rule/a/b/c", "/user/clusters/a/b/c"]
    {
        let message = server.get(path).error(404);
        assert!(message.contains("there is no path"), "{path}: {message}");
    }
}

#[test]
fn what_was_answered_outlives_a_restart() {
    let server = Server::start();
    server.changes("/rule/CpuRescaleUp/amount", &json!({"value": "80"}));
    server.does("/structure/cont0/guard");
    let before = server.everything();
    let server = server.restart();
    assert_eq!(server.everything(), before);
    assert_eq!(server.shows("/rule/CpuRescaleUp")["amount"], 80);
}
