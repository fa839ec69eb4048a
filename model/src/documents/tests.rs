use serde_json::{Value, json};

use super::limits::Limits;
use super::rule::{Numeric, Rule};
use super::service::Service;
use super::structure::Structure;
use crate::policy::thresholds::{Boundary, BoundaryType};
use crate::resource::Resource;

fn there_and_back<T: serde::de::DeserializeOwned + serde::Serialize>(document: Value) -> (T, Value) {
    let read: T = serde_json::from_value(document).unwrap();
    let written = serde_json::to_value(&read).unwrap();
    (read, written)
}

#[test]
fn a_container_keeps_what_we_do_not_know() {
    let document = json!({ "type": "structure", "subtype": "container", "name": "cont0", "host": "host0", "guard": true, "_id": "x",
        "_rev": "3-a", "host_rescaler_port": 8000, "resources": {
            "cpu": { "max": 200, "min": 50, "current": 175, "usage": 12.5, "guard": true, "weight": 2, "note": [1] },
            "disk": { "name": "sda", "path": "/" } } });
    let (read, written) = there_and_back::<Structure>(document.clone());
    assert_eq!(written, document);
    let (guard, resources) = read.scalable().unwrap();
    assert!(guard);
    assert_eq!(resources.known[Resource::Cpu].as_ref().unwrap().usage, Some(12.5));
    assert_eq!(resources.known[Resource::Mem], None);
}

#[test]
fn hosts_and_applications_too() {
    let host = json!({ "type": "structure", "subtype": "host", "name": "h", "host": "h", "resources": {
        "cpu": { "max": 400, "free": 0, "core_usage_mapping": { "0": { "cont0": 100, "free": 0 } } }, "disks": { "sda": { "load": 1 } } } });
    assert_eq!(there_and_back::<Structure>(host.clone()).1, host);
    let application = json!({ "type": "structure", "subtype": "application", "name": "app1", "guard": false, "state": "stopped",
        "containers": ["cont0"], "start_script": "s.sh", "resources": { "cpu": { "max": 400, "min": 100, "guard": true } } });
    assert_eq!(there_and_back::<Structure>(application.clone()).1, application);
}

#[test]
fn numbers_may_be_texts_and_come_back_plain() {
    let document = json!({ "subtype": "container", "name": "c", "resources": {
        "cpu": { "max": "200", "min": "50.5", "current": "", "guard": "True" } } });
    let (_, written) = there_and_back::<Structure>(document);
    assert_eq!(written["resources"]["cpu"], json!({ "max": 200, "min": 50.5, "guard": true }));
    let wrong = json!({ "subtype": "container", "name": "c", "resources": { "cpu": { "max": "lots" } } });
    let error = serde_json::from_value::<Structure>(wrong).unwrap_err().to_string();
    assert_eq!(error, "resources.cpu: \"lots\" is not a number");
}

#[test]
fn limits_default_to_absolute() {
    let document = json!({ "type": "limit", "name": "c", "resources": {
        "cpu": { "boundary": 25, "upper": 175, "lower": 150 }, "mem": { "boundary": 7, "boundary_type": "percentage_of_max", "x": null } } });
    let (read, written) = there_and_back::<Limits>(document.clone());
    assert_eq!(written, document);
    assert_eq!(read.resources.known[Resource::Cpu].as_ref().unwrap().boundary(), Some(Boundary::absolute(25.0)));
    let mem = read.resources.known[Resource::Mem].as_ref().unwrap();
    assert_eq!(mem.boundary().unwrap().kind, BoundaryType::PercentageOfMax);
    assert_eq!(mem.thresholds(), None);
}

#[test]
fn both_spellings_of_rules_survive() {
    let old = json!({ "type": "rule", "name": "CpuRescaleDown", "resource": "cpu", "generates": "requests", "active": true,
        "rule": { ">=": [{ "var": "events.scale.down" }, 6] }, "action": { "requests": ["CpuRescaleDown"] },
        "rescale_by": "fit_to_usage", "amount": -20, "events_to_remove": 6, "mine": "kept" });
    let (read, written) = there_and_back::<Rule>(old.clone());
    assert_eq!(written, old);
    assert_eq!((read.policy(), &read.amount), (Some("fit_to_usage"), &Numeric::Is(-20.0)));
    let (bad, written) = there_and_back::<Rule>(json!({ "name": "r", "amount": "much", "factor": "1.5" }));
    assert_eq!((&written["amount"], &written["factor"]), (&json!("much"), &json!(1.5)));
    assert!(bad.amount.get("amount").is_err());
}

#[test]
fn heartbeats_may_be_empty() {
    for none in [json!(""), json!(null)] {
        let (read, _) =
            there_and_back::<Service>(json!({ "name": "guardian", "heartbeat": none, "config": { "ACTIVE": "true" } }));
        assert_eq!(read.heartbeat, None);
    }
    let (read, _) = there_and_back::<Service>(json!({ "name": "guardian", "heartbeat": 1_760_000_000.1 }));
    assert_eq!(read.heartbeat, Some(1_760_000_000.1));
}
