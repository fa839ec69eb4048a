use serde_json::{Value, json};

use crate::support::{Server, documents};

#[test]
fn all_and_one_and_what_is_in_it() {
    let server = Server::start();
    let all = server.shows("/structure/");
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|structure| structure["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["app1", "app2", "cont0", "cont1", "host0"]);
    let cont0 = &documents()["structures"][1];
    assert_eq!((&all[2], &server.shows("/structure/cont0")), (cont0, cont0));
    assert_eq!(server.shows("/structure/cont0/resources"), cont0["resources"]);
    assert_eq!(server.shows("/structure/cont0/resources/cpu"), cont0["resources"]["cpu"]);
    assert_eq!(server.shows("/structure/cont0/resources/cpu/max"), 200);
    assert_eq!(server.shows("/structure/cont0/resources/cpu/guard"), true);
    assert_eq!(server.shows("/structure/cont0/resources/disk/name"), "sda");
    assert_eq!(server.shows("/structure/host0/resources/disks/sda")["max_read"], 500);
    let none = json!(null);
    server.refuses(&[
        ("GET", "/structure/cont9", none.clone(), 404, "there is no structure \"cont9\""),
        ("GET", "/structure/cont9/resources", none.clone(), 404, "there is no structure \"cont9\""),
        ("GET", "/structure/cont9/resources/cpu", none.clone(), 404, "there is no structure \"cont9\""),
        ("GET", "/structure/cont9/resources/cpu/max", none.clone(), 404, "there is no structure \"cont9\""),
        ("GET", "/structure/cont0/resources/gpu", none.clone(), 404, "\"cont0\" has no resource \"gpu\""),
        ("GET", "/structure/cont0/resources/net/max", none.clone(), 404, "\"cont0\" has no resource \"net\""),
        ("GET", "/structure/cont0/resources/cpu/colour", none.clone(), 404, "cpu of \"cont0\" has no \"colour\""),
        ("GET", "/structure/cont0/resources/guard", none.clone(), 404, "\"cont0\" has no resource \"guard\""),
        ("GET", "/structure/cont0/resources/cpu/unguard", none, 404, "cpu of \"cont0\" has no \"unguard\""),
    ]);
}

#[test]
fn bounds_and_weights() {
    let server = Server::start();
    let table = [
        ("cont0", "cpu/max", json!(300), json!(300)),
        ("cont0", "cpu/max", json!("250"), json!(250)),
        ("cont0", "cpu/min", json!(75.0), json!(75)),
        ("cont0", "cpu/min", json!(0), json!(0)),
        // One after the other: for a while min is above max.
        ("cont0", "cpu/min", json!(9999), json!(9999)),
        ("cont0", "cpu/weight", json!("2.5"), json!(2.5)),
        ("cont0", "cpu/weight", json!(3), json!(3)),
        ("cont1", "mem/weight", json!(0), json!(0)),
        ("app1", "mem/max", json!("4096"), json!(4096)),
        ("host0", "cpu/max", json!(800), json!(800)),
    ];
    for (name, parameter, given, stored) in table {
        let path = format!("/structure/{name}/resources/{parameter}");
        server.changes(&path, &json!({"value": given}));
        assert_eq!(server.shows(&path), stored, "{name} {parameter} {given}");
    }
    assert_eq!(server.shows("/structure/cont0")["theirs"], json!({"kept": [1]}));
    let value = |value: Value| json!({ "value": value });
    server.refuses(&[
        ("PUT", "/structure/cont0/resources/cpu/max", value(json!(-1)), 400, "cpu.max is -1; expected a whole number, 0 or more"),
        ("PUT", "/structure/cont0/resources/cpu/max", value(json!("-5")), 400, "expected a whole number"),
        ("PUT", "/structure/cont0/resources/cpu/max", value(json!(1.5)), 400, "expected a whole number"),
        ("PUT", "/structure/cont0/resources/cpu/max", value(json!("lots")), 400, "cpu.max is \"lots\""),
        ("PUT", "/structure/cont0/resources/cpu/max", value(json!(1e300)), 400, "expected a whole number"),
        ("PUT", "/structure/cont0/resources/cpu/max", value(json!([1])), 400, "expected a whole number"),
        ("PUT", "/structure/cont0/resources/cpu/max", value(json!(true)), 400, "expected a whole number"),
        ("PUT", "/structure/cont0/resources/cpu/max", value(json!("")), 400, "expected a whole number"),
        ("PUT", "/structure/cont0/resources/cpu/max", json!({}), 400, "\"value\" is missing"),
        ("PUT", "/structure/cont0/resources/cpu/weight", value(json!(-0.5)), 400, "cpu.weight is -0.5; expected a number"),
        (
            "PUT",
            "/structure/cont0/resources/cpu/current",
            value(json!(5)),
            400,
            "\"current\" cannot be set; expected max, min or weight",
        ),
        ("PUT", "/structure/cont0/resources/cpu/usage", value(json!(5)), 400, "cannot be set"),
        ("PUT", "/structure/host0/resources/cpu/min", value(json!(5)), 400, "\"host0\" is a host, which has no min"),
        ("PUT", "/structure/host0/resources/disks/max", value(json!(5)), 404, "no resource \"disks\""),
        ("PUT", "/structure/cont0/resources/disk/max", value(json!(5)), 404, "no resource \"disk\""),
        ("PUT", "/structure/cont0/resources/net/max", value(json!(5)), 404, "\"cont0\" has no resource \"net\""),
        ("PUT", "/structure/cont0/resources/gpu/max", value(json!(5)), 404, "\"cont0\" has no resource \"gpu\""),
        ("PUT", "/structure/cont9/resources/cpu/max", value(json!(5)), 404, "there is no structure \"cont9\""),
    ]);
}

#[test]
fn guarding_structures_and_resources() {
    let server = Server::start();
    for (path, guarded) in [("guard", true), ("unguard", false)] {
        for name in ["cont0", "app1"] {
            server.does(&format!("/structure/{name}/{path}"));
            assert_eq!(server.shows(&format!("/structure/{name}"))["guard"], guarded);
        }
        server.does(&format!("/structure/cont0/resources/mem/{path}"));
        assert_eq!(server.shows("/structure/cont0/resources/mem/guard"), guarded);
        for resources in [json!(["cpu", "mem"]), json!("mem"), json!(["cpu"])] {
            server.changes(&format!("/structure/cont0/resources/{path}"), &json!({"resources": resources}));
        }
        for resource in ["cpu", "mem"] {
            assert_eq!(server.shows(&format!("/structure/cont0/resources/{resource}/guard")), guarded);
        }
    }
    let none = json!(null);
    let resources = |resources: Value| json!({ "resources": resources });
    server.refuses(&[
        ("PUT", "/structure/cont9/guard", none.clone(), 404, "there is no structure \"cont9\""),
        ("PUT", "/structure/cont9/unguard", none.clone(), 404, "there is no structure \"cont9\""),
        ("PUT", "/structure/host0/guard", none.clone(), 400, "\"host0\" is a host; containers and applications are guarded"),
        ("PUT", "/structure/cont0/resources/net/guard", none.clone(), 404, "\"cont0\" has no resource \"net\""),
        ("PUT", "/structure/cont0/resources/disk/guard", none.clone(), 404, "\"cont0\" has no resource \"disk\""),
        ("PUT", "/structure/cont0/resources/gpu/unguard", none.clone(), 404, "\"cont0\" has no resource \"gpu\""),
        ("PUT", "/structure/cont9/resources/cpu/guard", none, 404, "there is no structure \"cont9\""),
        ("PUT", "/structure/cont0/resources/guard", resources(json!(["cpu", "net"])), 404, "no resource \"net\""),
        ("PUT", "/structure/cont0/resources/guard", resources(json!(["cpu", "gpu"])), 400, "expected cpu, mem, disk_read"),
        ("PUT", "/structure/cont0/resources/guard", resources(json!([])), 400, "expected cpu, mem"),
        ("PUT", "/structure/cont0/resources/guard", resources(json!(5)), 400, "resources is 5; expected cpu, mem"),
        ("PUT", "/structure/cont0/resources/guard", resources(json!([5])), 400, "resources is [5]"),
        ("PUT", "/structure/cont0/resources/unguard", json!({"value": ["cpu"]}), 400, "\"resources\" is missing"),
        ("PUT", "/structure/cont9/resources/unguard", resources(json!("cpu")), 404, "there is no structure \"cont9\""),
    ]);
}

#[test]
fn states_in_any_case_of_letters() {
    let server = Server::start();
    for state in ["running", "STOPPED", "Hdfs_Downloading", "hdfs_uploading"] {
        server.does(&format!("/structure/app1/state/{state}"));
        assert_eq!(server.shows("/structure/app1")["state"], state.to_lowercase());
    }
    server.refuses(&[
        ("PUT", "/structure/app1/state/sleeping", json!(null), 400, "\"sleeping\" is no state; expected running, stopped"),
        ("PUT", "/structure/app9/state/running", json!(null), 404, "there is no structure \"app9\""),
    ]);
}
