//! What GET answers.

use serde_json::json;

use crate::support::{Server, decision};

const CONT0: &str = concat!(
    r#"{"cpu":{"cpu_num":"0-1","effective_num_cpus":2,"effective_cpu_limit":200,"cpu_allowance_limit":200},"#,
    r#""mem":{"unit":"M","mem_limit":4096},"#,
    r#""disk_read":{"unit":"Mbit","disk_read_limit":100,"device_path":"/dev/sdb","major":"8","minor":"16"},"#,
    r#""disk_write":{"unit":"Mbit","disk_write_limit":-1,"device_path":"/dev/sdb","major":"8","minor":"16"},"#,
    r#""net":{"unit":"Mbit","net_limit":50,"device_name_in_container":"eth0","device_name_in_host":"veth0a1"}}"#,
);

/// What could not be read has no limit; the cpuset is the effective one, and bounds what can be had.
const BARE: &str = concat!(
    r#"{"cpu":{"cpu_num":"0-4","effective_num_cpus":5,"effective_cpu_limit":33.333,"cpu_allowance_limit":33.333},"#,
    r#""mem":{"unit":"unlimited","mem_limit":-1},"#,
    r#""disk_read":{"unit":"Mbit","disk_read_limit":-1,"device_path":"","major":"","minor":""},"#,
    r#""disk_write":{"unit":"Mbit","disk_write_limit":-1,"device_path":"","major":"","minor":""},"#,
    r#""net":{"unit":"unlimited","net_limit":-1,"device_name_in_container":"","device_name_in_host":""}}"#,
);

/// Both spellings of a path answer the same.
fn both(server: &Server, path: &str, query: &str) -> String {
    let without = server.get(&format!("{path}{query}"));
    let with = server.get(&format!("{path}/{query}"));
    assert_eq!((without.status, with.status), (200, 200), "{without:?} {with:?}");
    assert_eq!(without.body, with.body);
    assert!(with.head.to_lowercase().contains("content-type: application/json"), "{with:?}");
    with.body
}

#[test]
fn heartbeat() {
    assert_eq!(both(&Server::open(), "/heartbeat", ""), r#"{"status":"alive"}"#);
}

#[test]
fn containers_in_the_contracts_order_and_formats() {
    let server = Server::open();
    assert_eq!(both(&server, "/container", ""), format!(r#"{{"b a/re":{BARE},"cont0":{CONT0}}}"#));
    assert_eq!(both(&server, "/container/cont0", ""), CONT0);
    assert_eq!(both(&server, "/container", "?name=cont0"), CONT0);
    assert_eq!(both(&server, "/container/b%20a%2Fre", ""), BARE);
}

#[test]
fn only_the_resources_that_are_named() {
    let server = Server::open();
    let list =
        |query: &str| -> serde_json::Value { serde_json::from_str(&both(&server, "/container/resources", query)).unwrap() };
    assert_eq!(list(""), json!({"cont0": {}, "b a/re": {}}));
    assert_eq!(
        list("?mem"),
        json!({"cont0": {"mem": {"unit": "M", "mem_limit": 4096}}, "b a/re": {"mem": {"unit": "unlimited", "mem_limit": -1}}})
    );
    assert_eq!(list("?gpu=1"), list(""));

    let one = |query: &str| both(&server, "/container/resources/cont0", query);
    let keys = |query: &str| -> Vec<String> {
        let document: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&one(query)).unwrap();
        document.keys().cloned().collect()
    };
    assert_eq!(one(""), "{}");
    assert_eq!(one("?cpu=1&mem=1&disk=1&net=1"), CONT0);
    assert_eq!(keys("?cpu=0&mem="), ["cpu", "mem"]);
    for disk in ["disk", "disk_read", "disk_write"] {
        assert_eq!(keys(&format!("?{disk}=false")), ["disk_read", "disk_write"]);
    }
    assert_eq!(keys("?net=1"), ["net"]);
}

#[test]
fn the_topology_in_numeric_order() {
    assert_eq!(both(&Server::open(), "/host/cpu_topology", ""), r#"{"0":{"0":[0,2],"2":[4],"10":[1,3]}}"#);
}

#[test]
fn decisions_newest_first() {
    let server = Server::open();
    assert_eq!(both(&server, "/decisions", ""), "[]");
    server.decisions.record(decision("cont0", 1.0));
    server.decisions.record(decision("cont1", 2.0));
    let all = server.get("/decisions").json();
    assert_eq!((&all[0]["structure"], &all[1]["structure"]), (&json!("cont1"), &json!("cont0")));
    assert_eq!(all[0]["resource"], json!("cpu"));
    assert_eq!(server.get("/decisions?limit=1").json().as_array().map(Vec::len), Some(1));
    assert!(server.get("/decisions?limit=few").error(400).contains("limit"));
}

#[test]
fn status_is_the_whole_snapshot_and_the_last_decisions_of_the_living() {
    let server = Server::open();
    server.decisions.record(decision("cont0", 1.0));
    server.decisions.record(decision("gone", 2.0));
    let status: serde_json::Value = serde_json::from_str(&both(&server, "/status", "")).unwrap();
    assert_eq!(status["host"]["name"], json!("host0"));
    assert_eq!(status["containers"][1]["container"]["path"], json!("lxc.payload.cont0"));
    assert_eq!(status["containers"][1]["resources"]["cpu"]["limit"], json!({"at": 200.0}));
    assert_eq!(status["counters"]["decisions"][1], json!({"action": "CpuRescaleUp", "outcome": "starved", "count": 2}));
    assert_eq!(status["latencies"]["reaction"]["p99_us"], json!(400));
    assert_eq!(status["last_decisions"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_is_not_there_is_a_404_and_what_is_not_for_it_a_405() {
    let server = Server::open();
    for path in ["/container/nobody", "/container/nobody/", "/container/resources/nobody?cpu=1", "/container/?name=nobody"] {
        assert!(server.get(path).error(404).contains("\"nobody\""), "{path}");
    }
    for path in ["/", "/containers", "/host", "/container/cont0/cpu", "//heartbeat", "/container/resources/cont0/cpu"] {
        assert!(server.get(path).error(404).contains("there is no path"), "{path}");
    }
    for (method, path) in
        [("PUT", "/heartbeat"), ("DELETE", "/container/cont0"), ("POST", "/container/"), ("PUT", "/container/resources")]
    {
        let message = server.send(method, path, &[], "{}").error(405);
        assert!(message.contains(method) && message.contains(path), "{message}");
    }
    assert!(server.get("/container/%ff").error(400).contains("UTF-8"));
}
