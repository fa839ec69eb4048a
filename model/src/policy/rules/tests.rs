use serde_json::{Value, json};

use super::*;
use crate::profile::Profile;

fn compile(rules: Value) -> RuleSet {
    RuleSet::compile(&serde_json::from_value::<Vec<Document>>(rules).unwrap())
}

#[expect(clippy::needless_pass_by_value, reason = "callers write the fields in place")]
fn request(name: &str, more: Value) -> Value {
    let mut rule = json!({ "name": name, "resource": "cpu", "generates": "requests", "active": true, "events_to_remove": 1,
        "rule": { ">=": [{ "var": "events.scale.up" }, 1] } });
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rule
}

#[test]
fn malformed_rules_are_named_and_the_others_work() {
    let set = compile(json!([
        request("good", json!({ "rescale_policy": "amount", "amount": "75" })),
        request("old", json!({ "rescale_by": "amount", "amount": 75 })),
        request("r1", json!({ "resource": "gpu", "amount": 1 })),
        request("r2", json!({ "rule": "yes", "amount": 1 })),
        request("r3", json!({ "rule": { "nonsense": [1] }, "amount": 1 })),
        request("r4", json!({ "rescale_policy": "double", "amount": 1 })),
        request("r5", json!({ "rescale_policy": "amount" })),
        request("r6Up", json!({ "rescale_policy": "multiplicative", "factor": 0.5 })),
        request("r7", json!({ "rescale_type": "down", "rescale_policy": "multiplicative", "factor": 1.5 })),
        request("r8", json!({ "amount": 1, "events_to_remove": -1 })),
        request("r9", json!({ "amount": 1, "events_to_remove": "" })),
        request("r10", json!({ "amount": 1, "rescale_type": "sideways" })),
        request("r11", json!({ "generates": "trouble" })),
        request("e1", json!({ "generates": "events", "action": { "events": { "scale": { "left": 1 } } } })),
        request("e2", json!({ "generates": "events", "action": { "events": { "scale": { "up": 1, "down": 1 } } } })),
        request("asleep", json!({ "generates": "trouble", "active": false })),
        { "name": "balancer", "resource": "cpu", "generates": "", "active": true },
    ]));
    let names: Vec<&str> = set.problems().iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["r1", "r2", "r3", "r4", "r5", "r6Up", "r7", "r8", "r9", "r10", "r11", "e1", "e2"]);
    assert_eq!(set.requests[Resource::Cpu].len(), 2);
    let why = set.problems().iter().find(|p| p.name == "r4").unwrap().to_string();
    assert_eq!(why, "rule r4: rescale_policy is \"double\", expected amount, fit_to_usage, proportional or multiplicative");
}

#[test]
fn user_and_kernel_are_noticed() {
    let reads = |condition: Value| {
        let rule = json!({ "generates": "events", "rule": condition, "action": { "events": { "scale": { "up": 1 } } } });
        let set = compile(json!([request("e", rule)]));
        assert_eq!(set.problems(), []);
        set.reads_cpu_split()
    };
    assert!(reads(json!({ ">": [{ "var": "cpu.structure.cpu.user" }, 5] })));
    assert!(reads(json!({ ">": [{ "var": ["cpu.structure.cpu.kernel", 0] }, 5] })));
    assert!(reads(json!({ ">": [{ "val": ["cpu", "structure", "cpu", "user"] }, 5] })));
    assert!(reads(json!({ "!": [{ "var": "cpu.structure" }] })));
    assert!(reads(json!({ ">": [{ "var": { "cat": ["cpu", ".x"] } }, 5] })));
    assert!(!reads(json!({ ">": [{ "var": "cpu.structure.cpu.usage" }, 5] })));
    assert!(!reads(json!({ ">": [{ "var": "cpu.structure.cpu.user_time" }, 5] })));
}

#[test]
fn rules_that_can_hardly_fire_are_noticed() {
    let set = RuleSet::compile(&Profile::Classic.rules());
    let windows: Vec<_> = set.needs().iter().map(|n| (&*n.rule, n.windows)).take(4).collect();
    let expected = [("CpuRescaleUp", 2), ("CpuRescaleDown", 6), ("MemRescaleUp", 2), ("MemRescaleDown", 8)];
    assert_eq!(windows, expected.map(|(name, n)| (name, Some(n))));
    let slow = |window: f64, timeout| {
        set.unreachable(&PerResource::from_fn(|_| window), timeout).map(|n| n.rule.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(slow(10.0, 100.0), [""; 0]);
    assert_eq!(slow(10.0, 80.0), ["MemRescaleDown"]);
    assert_eq!(slow(10.0, 25.0).len(), 4);
    let alone = compile(json!([request("r", json!({ "amount": 1 }))]));
    assert_eq!(alone.needs()[0].windows, None, "nothing makes up events");
}
