use serde_json::{Value, json};

use crate::agent::{Agent, Container};
use crate::hosts::with;
use crate::support::{Server, documents};

fn body() -> Value {
    json!({
        "container": {"name": "new", "host": "host0", "host_rescaler_ip": "host0", "host_rescaler_port": 8000, "guard": "true",
            "subtype": "container", "mine": "kept", "resources": {
                "cpu": {"max": "200", "min": 50, "current": "100", "guard": true, "weight": "2"},
                "mem": {"max": 4096, "min": 512, "current": 1024, "guard": "false"}}},
        "limits": {"resources": {"cpu": {"boundary": "25", "boundary_type": "percentage_of_max"}, "mem": {"boundary": 256}}},
    })
}

const PATH: &str = "/structure/container/new";

fn agent(server: &Server) -> Agent {
    let containers = [("new", Container::new(400.0, 12.5)), ("second", Container::new(400.0, 12.5))];
    Agent::start(server, "host0", (200.0, 8192.0), &containers)
}

#[test]
fn a_container_comes_with_its_limits_applied_at_once_and_goes() {
    let server = Server::start();
    let agent = agent(&server);
    assert_eq!(server.shows("/structure/new")["guard"], false, "discovered, and nobody's yet");
    server.put(PATH, &body()).is_done("the first PUT makes it ours");
    let at = |amount: f64| json!({ "at": amount });
    let applied = [("new".into(), "cpu".into(), at(100.0)), ("new".into(), "mem".into(), at(1024.0))];
    assert_eq!(agent.set(), applied);
    let now = server.shows("/structure/new");
    let told = |pointer: &str| now.pointer(pointer).cloned().unwrap_or_default();
    let expected = [
        ("/type", json!("structure")),
        ("/subtype", json!("container")),
        ("/host", json!("host0")),
        ("/guard", json!(true)),
        ("/mine", json!("kept")),
        ("/discovered", json!(null)),
        ("/resources/cpu/max", json!(200)),
        ("/resources/cpu/weight", json!(2)),
        ("/resources/mem/guard", json!(false)),
        // As the agent reports it.
        ("/resources/cpu/usage", json!(12.5)),
    ];
    for (pointer, value) in expected {
        assert_eq!(told(pointer), value, "{pointer} in {now}");
    }
    let limits = server.shows("/structure/new/limits");
    assert_eq!((&limits["cpu"]["boundary"], &limits["cpu"]["boundary_type"]), (&json!(25), &json!("percentage_of_max")));
    assert_eq!((&limits["mem"]["boundary"], &limits["mem"]["boundary_type"]), (&json!(256), &json!("absolute")));
    server.refuses(&[("PUT", PATH, body(), 400, "there is a structure \"new\" already")]);

    server.does("/structure/cont0/guard");
    server.put("/structure/container/new/app1", &json!({})).is_done("joined");
    server.delete("/structure/container/new/").is_done("DELETE");
    server.get("/structure/new").error(404);
    server.get("/structure/new/limits").error(404);
    assert_eq!(server.shows("/structure/app1/")["containers"], json!([]));
    server.put(PATH, &body()).is_done("again");
}

#[test]
fn where_the_agent_cannot_everything_is_as_before() {
    let server = Server::start();
    let agent = agent(&server);
    agent.fails("mem", "the kernel says no");
    server.refuses(&[("PUT", PATH, body(), 400, "the kernel says no")]);
    let cpu = |amount: f64| ("new".to_owned(), "cpu".to_owned(), json!({"at": amount}));
    assert_eq!(agent.set(), [cpu(100.0), cpu(400.0)], "set, and put back");
    // One that was removed before has no documents to be put back.
    server.delete(PATH).is_done("DELETE");
    server.refuses(&[("PUT", PATH, body(), 400, "the kernel says no")]);
    server.get("/structure/new").error(404);
}

#[test]
fn what_a_container_has_to_say() {
    let server = Server::start();
    let _agent = agent(&server);
    let missing = [
        "/container",
        "/limits",
        "/container/name",
        "/container/host",
        "/container/host_rescaler_ip",
        "/container/host_rescaler_port",
        "/container/guard",
        "/container/subtype",
        "/container/resources",
        "/container/resources/cpu",
        "/container/resources/mem",
        "/container/resources/cpu/max",
        "/container/resources/cpu/min",
        "/container/resources/cpu/current",
        "/container/resources/cpu/guard",
        "/container/resources/mem/max",
        "/limits/resources",
        "/limits/resources/cpu",
        "/limits/resources/mem",
        "/limits/resources/cpu/boundary",
    ];
    let mut table: Vec<(&str, &str, Value, u16, &str)> =
        missing.iter().map(|pointer| ("PUT", PATH, with(&body(), pointer, json!(null)), 400, "is missing")).collect();
    let wrong = [
        ("/container", json!([]), "container is []; expected an object"),
        ("/container/name", json!("old"), "container.name is \"old\", but the path says \"new\""),
        ("/container/subtype", json!("application"), "expected \"container\""),
        ("/container/guard", json!("perhaps"), "container.guard is \"perhaps\"; expected true or false"),
        ("/container/guard", json!(1), "expected true or false"),
        ("/container/host", json!("host7"), "there is no host \"host7\"; subscribe it first"),
        ("/container/host", json!("cont0"), "there is no host \"cont0\""),
        ("/container/host_rescaler_port", json!(-1), "expected a port"),
        ("/container/resources/cpu/max", json!(-1), "container.resources.cpu.max is -1"),
        ("/container/resources/cpu/min", json!(300), "container.resources.cpu.min is 300; expected at most max, 200"),
        ("/container/resources/cpu/current", json!(201), "container.resources.cpu.current is 201; expected at most max, 200"),
        ("/container/resources/cpu/current", json!("all"), "container.resources.cpu.current is \"all\""),
        ("/container/resources/cpu/weight", json!(-1), "container.resources.cpu.weight is -1"),
        ("/container/resources/mem", json!([]), "container.resources.mem is []"),
        ("/container/resources/disk", json!("sda"), "container.resources.disk is \"sda\""),
        (
            "/container/resources/net",
            json!({"max": 5, "min": 1, "current": 2, "guard": false}),
            "\"limits.resources.net\" is missing",
        ),
        ("/limits/resources/cpu/boundary", json!(101), "limits.resources.cpu.boundary: boundary 101 is no percentage"),
        ("/limits/resources/mem/boundary", json!(5000), "limits.resources.mem.boundary: boundary 5000 is outside 0..=4096"),
        ("/limits/resources/mem/boundary", json!("wide"), "limits.resources.mem.boundary is \"wide\""),
        ("/limits/resources/cpu/boundary_type", json!("wide"), "unknown boundary_type \"wide\""),
    ];
    for (pointer, value, words) in &wrong {
        table.push(("PUT", PATH, with(&body(), pointer, value.clone()), 400, *words));
    }
    server.refuses(&table);
}

#[test]
fn a_container_that_the_host_does_not_have_or_has_no_room_for() {
    let server = Server::start();
    let agent = agent(&server);
    let more = |pointer: &str, value: i64| with(&body(), pointer, json!(value));
    let big = with(&more("/container/resources/cpu/max", 400), "/container/resources/cpu/current", json!(201));
    let large = with(&more("/container/resources/mem/max", 16000), "/container/resources/mem/current", json!(8193));
    let disk = |name: &str, read: i64| {
        let amounts = |current: i64| json!({"max": 500, "min": 1, "current": current, "guard": false});
        let body = with(&body(), "/container/resources/disk", json!({"name": name, "path": "/"}));
        let body = with(&body, "/container/resources/disk_read", amounts(read));
        let body = with(&body, "/container/resources/disk_write", amounts(100));
        let body = with(&body, "/limits/resources/disk_read", json!({"boundary": 5}));
        with(&body, "/limits/resources/disk_write", json!({"boundary": 5}))
    };
    let other = with(&body(), "/container/name", json!("other"));
    server.refuses(&[
        ("PUT", PATH, big, 400, "host \"host0\" has 200 shares of cpu free; \"new\" wants 201"),
        ("PUT", PATH, large, 400, "host \"host0\" has 8192 MiB of mem free; \"new\" wants 8193"),
        ("PUT", PATH, disk("sdz", 100), 400, "the host has no disk \"sdz\""),
        ("PUT", PATH, disk("sda", 401), 400, "400 MiB/s of disk_read free; \"new\" wants 401"),
        ("PUT", "/structure/container/other", other, 400, "host \"host0\" does not report a container \"other\""),
        ("DELETE", "/structure/container/cont9", json!(null), 404, "there is no container \"cont9\""),
        ("DELETE", "/structure/container/app1", json!(null), 404, "there is no container \"app1\""),
        ("DELETE", "/structure/container/host0", json!(null), 404, "there is no container \"host0\""),
    ]);
    server.put(PATH, &disk("sda", 400)).is_done("as much as there is");
    assert_eq!(agent.set().len(), 4);
    // 500 at most, and 400 are given.
    let second = with(&disk("sda", 101), "/container/name", json!("second"));
    let words = "100 MiB/s of disk_read free; \"second\" wants 101";
    server.refuses(&[("PUT", "/structure/container/second", second, 400, words)]);
    let second = with(&disk("sda", 100), "/container/name", json!("second"));
    server.put("/structure/container/second", &second).is_done("what is left");
}

#[test]
fn a_host_whose_agent_does_not_report() {
    let server = Server::start();
    server.refuses(&[("PUT", PATH, body(), 400, "no agent has reported as host \"host0\" within 15s")]);
}

#[test]
fn limits_go_back_to_max() {
    let mut all = documents();
    all["structures"][3]["containers"] = json!(["cont0", "cont1"]);
    let server = Server::with(&all);
    let none = json!(null);
    server.refuses(&[
        ("PUT", "/structure/cont0/reset", none.clone(), 503, "no host reports container \"cont0\" now"),
        ("PUT", "/structure/cont9/reset", none.clone(), 404, "there is no structure \"cont9\""),
        ("PUT", "/structure/host0/reset", none, 400, "\"host0\" is a host"),
    ]);
    let containers = [("cont0", Container::new(75.0, 1.0)), ("cont1", Container::new(30.0, 1.0))];
    let agent = Agent::start(&server, "host0", (200.0, 8192.0), &containers);
    server.put("/structure/cont0/reset", &json!({})).is_done("reset");
    let cpu = |name: &str, max: f64| (name.to_owned(), "cpu".to_owned(), json!({"at": max}));
    assert_eq!(agent.set(), [cpu("cont0", 200.0)], "memory has no limit, and is not given one");
    server.put("/structure/app1/reset/", &json!({})).is_done("reset");
    assert_eq!(agent.set(), [cpu("cont0", 200.0), cpu("cont1", 100.0)]);
    agent.fails("cpu", "the kernel says no");
    assert_eq!(server.put("/structure/cont0/reset", &json!({})).error(400), "the kernel says no");
}
