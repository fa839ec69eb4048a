use serde_json::{Value, json};

use crate::agent::Agent;
use crate::support::Server;

fn disk(name: &str) -> Value {
    json!({"name": name, "type": "SSD", "load": 1, "path": "/", "max_read": 500, "free_read": "400", "max_write": "300", "free_write": 200})
}

fn host(name: &str) -> Value {
    json!({"name": name, "host": name, "subtype": "host", "host_rescaler_ip": name, "host_rescaler_port": "8000", "mine": "kept",
        "resources": {"cpu": {"max": "400", "free": 400}, "mem": {"max": 16384, "free": "8192"}, "disks": [disk("sda")]}})
}

/// `body` with something else at a place; null: with nothing there.
pub(crate) fn with(body: &Value, pointer: &str, value: Value) -> Value {
    let mut body = body.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(key)
    } else {
        parent.insert(key.to_owned(), value)
    };
    body
}

#[test]
fn a_host_comes_and_goes() {
    let server = Server::start();
    let _agent = Agent::start(&server, "host1", (400.0, 8000.0), &[]);
    server.put("/structure/host/host1", &host("host1")).is_done("the first PUT makes what was discovered ours");
    let now = server.shows("/structure/host1");
    let expected = json!({"type": "structure", "subtype": "host", "name": "host1", "host": "host1", "host_rescaler_ip": "host1",
        "host_rescaler_port": 8000, "mine": "kept", "resources": {
            // The agent says what is free, and who is on which core.
            "cpu": {"max": 400, "free": 400, "core_usage_mapping": {"0": {"free": 100}}}, "mem": {"max": 16384, "free": 8000},
            "disks": {"sda": {"type": "SSD", "load": 1, "path": "/", "max_read": 500, "free_read": 400, "max_write": 300,
                "free_write": 200}}}});
    assert_eq!(now, expected);
    server.refuses(&[("PUT", "/structure/host/host1", host("host1"), 400, "there is a structure \"host1\" already")]);
    server.delete("/structure/host/host1/").is_done("DELETE");
    server.put("/structure/host/host1/", &with(&host("host1"), "/resources/disks", json!(null))).is_done("again, without disks");
}

#[test]
fn every_core_starts_with_100_free() {
    let server = Server::start();
    let agent = Agent::start(&server, "host1", (400.0, 8000.0), &[]);
    server.put("/structure/host/host1", &with(&host("host1"), "/resources/cpu/max", json!(450))).is_done("PUT");
    drop(agent);
    let server = server.restart();
    let free = json!({"free": 100});
    assert_eq!(
        server.shows("/structure/host1/resources/cpu/core_usage_mapping"),
        json!({"0": free, "1": free, "2": free, "3": free})
    );
}

#[test]
fn what_a_host_has_to_say() {
    let server = Server::start();
    let _agent = Agent::start(&server, "host1", (400.0, 8000.0), &[]);
    let path = "/structure/host/host1";
    let missing = [
        "/name",
        "/host",
        "/subtype",
        "/host_rescaler_ip",
        "/host_rescaler_port",
        "/resources",
        "/resources/cpu",
        "/resources/mem",
        "/resources/cpu/max",
        "/resources/cpu/free",
        "/resources/mem/max",
        "/resources/mem/free",
    ];
    let mut table: Vec<(&str, &str, Value, u16, &str)> =
        missing.iter().map(|pointer| ("PUT", path, with(&host("host1"), pointer, json!(null)), 400, "is missing")).collect();
    let wrong = [
        ("/name", json!("host2"), "name is \"host2\", but the path says \"host1\""),
        ("/name", json!(5), "name is 5; expected a text"),
        ("/subtype", json!("container"), "subtype is \"container\"; expected \"host\""),
        ("/host", json!(5), "host is 5; expected a text"),
        ("/host_rescaler_port", json!("door"), "host_rescaler_port is \"door\"; expected a port"),
        ("/host_rescaler_port", json!(70000), "expected a port"),
        ("/host_rescaler_port", json!(0), "expected a port"),
        ("/resources", json!([]), "resources is []; expected an object"),
        ("/resources/cpu", json!(400), "resources.cpu is 400; expected an object"),
        ("/resources/cpu/max", json!("lots"), "resources.cpu.max is \"lots\"; expected a number, 0 or more"),
        ("/resources/cpu/max", json!(-400), "resources.cpu.max is -400"),
        ("/resources/mem/free", json!(99999), "resources.mem.free is 99999; expected at most max, 16384"),
        ("/resources/net", json!(5), "resources.net is 5; expected an object"),
        ("/resources/disks", json!({}), "resources.disks is {}; expected a list"),
        ("/resources/disks", json!([5]), "resources.disks[0] is 5; expected an object"),
    ];
    for (pointer, value, words) in &wrong {
        table.push(("PUT", path, with(&host("host1"), pointer, value.clone()), 400, *words));
    }
    for key in ["name", "type", "path", "load", "max_read", "free_read", "max_write", "free_write"] {
        let body = with(&host("host1"), "/resources/disks", json!([with(&disk("sda"), &format!("/{key}"), json!(null))]));
        table.push(("PUT", path, body, 400, "is missing"));
    }
    server.refuses(&table);
}

#[test]
fn a_host_without_an_agent_is_refused() {
    let server = Server::start();
    server.refuses(&[
        ("PUT", "/structure/host/host1", host("host1"), 400, "no agent has reported as host \"host1\" within 15s"),
        ("PUT", "/structure/host/host0", host("host0"), 400, "there is a structure \"host0\" already"),
        ("PUT", "/structure/host/cont0", host("cont0"), 400, "there is a structure \"cont0\" already"),
        ("PUT", "/structure/host/container", host("container"), 400, "\"container\" cannot be a structure's name"),
        ("DELETE", "/structure/host/host9", json!(null), 404, "there is no host \"host9\""),
        ("DELETE", "/structure/host/cont0", json!(null), 404, "there is no host \"cont0\""),
    ]);
    server.delete("/structure/host/host0").is_done("DELETE");
    server.get("/structure/host0").error(404);
}

#[test]
fn disks_are_added_and_set() {
    let server = Server::start();
    let path = "/structure/host/host0/disks";
    let disks = |disks: Value| json!({"resources": {"disks": disks}});
    server.changes(path, &disks(json!([with(&disk("sda"), "/max_read", json!(9999)), disk("sdb")])));
    let now = server.shows("/structure/host0/resources/disks");
    assert_eq!(now["sda"]["max_read"], 500, "one that is known is skipped");
    let sdb =
        json!({"type": "SSD", "load": 1, "path": "/", "max_read": 500, "free_read": 400, "max_write": 300, "free_write": 200});
    assert_eq!(now["sdb"], sdb);
    for path in [path.to_owned(), format!("{path}/")] {
        let body = disks(
            json!([{"name": "sda", "max_read": "600", "max_write": 60}, {"name": "sdb", "max_read": 500, "max_write": 300}]),
        );
        server.send("POST", &path, &[crate::support::JSON], &body.to_string()).is_done("POST");
    }
    let sda = server.shows("/structure/host0/resources/disks/sda");
    assert_eq!([&sda["max_read"], &sda["free_read"], &sda["max_write"], &sda["free_write"]], [600, 500, 60, 10]);
    assert_eq!(server.shows("/structure/host0/resources/disks/sdb"), sdb);
    let set = |name: &str, read: Value| disks(json!([{"name": name, "max_read": read, "max_write": 5}]));
    server.refuses(&[
        (
            "PUT",
            path,
            disks(json!([with(&disk("sdc"), "/free_read", json!(501))])),
            400,
            "free_read is 501; expected at most max_read, 500",
        ),
        (
            "PUT",
            path,
            disks(json!([disk("sdc"), with(&disk("sdd"), "/load", json!("x"))])),
            400,
            "resources.disks[1].load is \"x\"",
        ),
        ("PUT", path, disks(json!([with(&disk("sdc"), "/name", json!(""))])), 400, "name is empty"),
        ("PUT", path, disks(json!("sdc")), 400, "expected a list"),
        ("PUT", path, json!({"disks": []}), 400, "\"resources\" is missing"),
        ("PUT", "/structure/host/host9/disks", disks(json!([disk("sdc")])), 404, "there is no host \"host9\""),
        ("PUT", "/structure/host/cont0/disks", disks(json!([disk("sdc")])), 404, "there is no host \"cont0\""),
        ("POST", path, set("sdz", json!(5)), 404, "\"host0\" has no disk \"sdz\""),
        ("POST", path, set("sda", json!(-5)), 400, "max_read is -5; expected a number"),
        ("POST", path, set("sda", json!(null)), 400, "max_read\" is missing"),
        ("POST", path, disks(json!([{"name": "sda", "max_read": 5}])), 400, "max_write\" is missing"),
        ("POST", "/structure/host/host9/disks", set("sda", json!(5)), 404, "there is no host"),
    ]);
}
