//! Documents as other programs write them: understood as far as possible, and left as they are.

use serde_json::json;

use crate::support::Server;

#[test]
fn numbers_and_flags_may_be_texts() {
    let server = Server::with(&json!({
        "structures": [{"subtype": "container", "name": "old", "host": "h", "host_rescaler_port": "8000", "guard": "False", "resources": {
            "cpu": {"max": "200", "min": "50", "current": "", "guard": "True"}}}],
        "limits": [{"name": "old", "resources": {"cpu": {"boundary": "25", "boundary_type": ""}}}],
        "services": [{"name": "guardian", "heartbeat": "", "config": {"ACTIVE": "true", "WINDOW_TIMELAPSE": "10", "theirs": 1}}],
    }));
    assert_eq!(server.shows("/structure/old/resources/cpu/max"), "200", "nobody touched it");
    server.changes("/structure/old/limits/cpu/boundary", &json!({"value": 30}));
    server.refuses(&[("PUT", "/structure/old/limits/cpu/boundary", json!({"value": 201}), 400, "outside 0..=200")]);
    server.changes("/structure/old/resources/cpu/max", &json!({"value": 300}));
    server.does("/structure/old/guard");
    server.changes("/service/guardian/WINDOW_TIMELAPSE", &json!({"value": 5}));
    let now = server.shows("/structure/old");
    assert_eq!(
        now,
        json!({"subtype": "container", "name": "old", "host": "h", "host_rescaler_port": "8000", "guard": true,
        "resources": {"cpu": {"max": 300, "min": "50", "current": "", "guard": "True"}}})
    );
    let config = json!({"ACTIVE": "true", "WINDOW_TIMELAPSE": 5, "theirs": 1});
    assert_eq!(server.shows("/service/guardian")["config"], config);
}

#[test]
fn what_cannot_be_understood_is_left_as_it_is() {
    let odd = json!({
        "structures": [{"subtype": "container", "name": "odd", "resources": [1, 2]}, {"subtype": "planet", "name": "mars"}, {"subtype": "application", "name": "app", "containers": "cont0", "resources": {}}],
        "limits": [{"name": "odd", "resources": "none"}, {"name": "mars", "resources": {"cpu": 5}}],
        "services": [{"name": "scaler", "config": 7}],
        "rules": [{"name": "r", "amount": {}, "generates": 7}],
    });
    let server = Server::with(&odd);
    assert_eq!(server.shows("/structure/odd"), odd["structures"][0]);
    let value = json!({"value": 5});
    server.refuses(&[
        ("PUT", "/structure/odd/resources/cpu/max", value.clone(), 404, "\"odd\" has no resource \"cpu\""),
        (
            "PUT",
            "/structure/odd/limits/cpu/boundary",
            value.clone(),
            400,
            "\"resources\" in the document is \"none\"; expected an object",
        ),
        ("PUT", "/structure/mars/limits/cpu/boundary", value.clone(), 400, "the limits of cpu are 5; expected an object"),
        ("PUT", "/service/scaler/REQUEST_TIMEOUT", value.clone(), 400, "\"config\" in the document is 7; expected an object"),
        ("PUT", "/rule/r/amount", value, 400, "the document cannot be understood"),
        ("PUT", "/user/clusters/user0/mars", json!(null), 404, "there is no user"),
    ]);
    server.does("/structure/odd/guard");
    assert_eq!(server.shows("/structure/odd")["resources"], json!([1, 2]));
}
