use serde_json::{Value, json};

use crate::hosts::with;
use crate::support::Server;

fn body() -> Value {
    json!({
        "app": {"name": "new", "guard": false, "subtype": "application", "framework": "hadoop", "start_script": "start.sh",
            "stop_script": "", "resources": {
                "cpu": {"max": "400", "min": 100, "guard": "true", "weight": 2.5}, "mem": {"max": 8192, "min": 1024, "guard": false}}},
        "limits": {"resources": {"cpu": {"boundary": 50, "boundary_type": "absolute"}, "mem": {"boundary": "10",
            "boundary_type": "percentage_of_max"}}},
    })
}

const PATH: &str = "/structure/apps/new";

#[test]
fn an_application_comes_and_goes() {
    let server = Server::start();
    server.put(PATH, &body()).is_done("PUT");
    let expected = json!({"type": "structure", "subtype": "application", "name": "new", "guard": false, "state": "stopped",
        "framework": "hadoop", "containers": [], "install_script": "", "install_files": "", "runtime_files": "", "output_dir": "",
        "start_script": "start.sh", "stop_script": "", "resources": {
            "cpu": {"max": 400, "min": 100, "guard": true, "weight": 2.5}, "mem": {"max": 8192, "min": 1024, "guard": false}}});
    assert_eq!(server.shows("/structure/new"), expected);
    assert_eq!(server.shows("/structure/new/limits/mem"), json!({"boundary": 10, "boundary_type": "percentage_of_max"}));
    server.refuses(&[("PUT", PATH, body(), 400, "there is a structure \"new\" already")]);
    server.put("/structure/container/cont0/new", &json!({})).is_done("joined");
    server.put("/user/clusters/user0/new", &json!({})).is_done("taken");
    server.delete("/structure/apps/new/").is_done("DELETE");
    server.get("/structure/new").error(404);
    server.get("/structure/new/limits").error(404);
    assert_eq!(server.shows("/user/user0")["clusters"], json!([]), "its user has it no more");
    assert_eq!(server.shows("/structure/cont0")["name"], "cont0", "its containers stay");
    server.put("/structure/apps/new/", &with(&body(), "/app/resources/cpu/weight", json!(null))).is_done("again");
}

#[test]
fn what_an_application_has_to_say() {
    let server = Server::start();
    let missing = [
        "/app",
        "/limits",
        "/app/name",
        "/app/guard",
        "/app/subtype",
        "/app/resources",
        "/app/resources/cpu",
        "/app/resources/mem",
        "/app/resources/cpu/max",
        "/app/resources/cpu/min",
        "/app/resources/cpu/guard",
        "/limits/resources",
        "/limits/resources/cpu",
        "/limits/resources/mem",
        "/limits/resources/cpu/boundary",
    ];
    let mut table: Vec<(&str, &str, Value, u16, &str)> =
        missing.iter().map(|pointer| ("PUT", PATH, with(&body(), pointer, json!(null)), 400, "is missing")).collect();
    let wrong = [
        ("/app", json!("new"), "app is \"new\"; expected an object"),
        ("/app/name", json!("old"), "app.name is \"old\", but the path says \"new\""),
        ("/app/subtype", json!("container"), "expected \"application\""),
        ("/app/guard", json!("maybe"), "app.guard is \"maybe\"; expected true or false"),
        ("/app/start_script", json!(5), "app.start_script is 5; expected a text"),
        ("/app/resources/cpu/max", json!("lots"), "app.resources.cpu.max is \"lots\""),
        ("/app/resources/cpu/min", json!(401), "app.resources.cpu.min is 401; expected at most max, 400"),
        ("/app/resources/cpu/weight", json!("heavy"), "app.resources.cpu.weight is \"heavy\""),
        ("/limits/resources/cpu/boundary", json!(401), "boundary 401 is outside 0..=400"),
        ("/limits/resources/mem/boundary", json!(101), "boundary 101 is no percentage"),
        ("/limits/resources/mem/boundary_type", json!(1), "expected a text"),
    ];
    for (pointer, value, words) in &wrong {
        table.push(("PUT", PATH, with(&body(), pointer, value.clone()), 400, *words));
    }
    let named = |name: &str| with(&body(), "/app/name", json!(name));
    table.push(("PUT", "/structure/apps/app1", named("app1"), 400, "there is a structure \"app1\" already"));
    table.push(("PUT", "/structure/apps/cont0", named("cont0"), 400, "there is a structure \"cont0\" already"));
    table.push(("PUT", "/structure/apps/apps", named("apps"), 400, "\"apps\" cannot be a structure's name"));
    table.push(("DELETE", "/structure/apps/app9", json!(null), 404, "there is no application \"app9\""));
    table.push(("DELETE", "/structure/apps/cont0", json!(null), 404, "there is no application \"cont0\""));
    server.refuses(&table);
}
