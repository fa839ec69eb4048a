//! Pairs of requests: what one gives the other gets, or neither, whatever the kernel refuses.

use headroom_agent::cgroup::{Change, Controller, Version};
use headroom_model::limit::Limit;
use serde_json::{Value, json};

use crate::bed::{Bed, Http, shares};
use crate::process::until;
use crate::requests::{carried_out, cpu, guard, half, is_gone, refused};
use crate::support::TestCgroup;

/// Whether a decision about a structure says this, with this outcome.
fn is_told(http: &Http, structure: &str, words: &str, outcome: &str) -> bool {
    let decisions = http.get(&format!("/decisions?structure={structure}"));
    let is = |decision: &Value| {
        let what = &decision["what"];
        what["outcome"] == outcome && what["why"].as_str().is_some_and(|why| why.contains(words))
    };
    decisions.as_array().unwrap().iter().any(is)
}

#[test]
fn what_one_of_a_pair_gave_is_put_back_where_the_other_cannot_be_given_it() {
    let bed = Bed::new("half");
    let [a, b] = ["a", "b"].map(|name| bed.container("host0", name));
    // All that its only CPU has, its limit gives it: that it cannot have more shows when its half is to be written.
    b.apply(&[Change::Cpuset("0".parse().unwrap())]).unwrap();
    let central = bed.central("");
    let http = &central.http;
    http.put("/service/guardian/ACTIVE", json!({"value": false}));
    let agent = bed.agent("host0", &central, "");
    guard(http, &agent, "a");
    guard(http, &agent, "b");
    until("both have their first limits", || (shares(&a), shares(&b)) == (Some(200.0), Some(200.0)));

    http.put("/request/gives", half("a", -20, "b"));
    http.put("/request/takes", half("b", 20, "a"));
    refused(http, "takes", "its cpuset has room for 100 shares");
    refused(http, "gives", "the other half of its pair was not carried out: its cpuset has room for 100 shares");
    assert_eq!((shares(&a), shares(&b)), (Some(200.0), Some(200.0)));
    until("both ways of the limit are told", || {
        ["request gives@", "the other half of its pair"].into_iter().all(|words| is_told(http, "a", words, "applied"))
    });
    carried_out(http, "alone", &cpu("a", -20));
    assert_eq!(shares(&a), Some(180.0));
}

fn mem(structure: &str, amount: i32) -> Value {
    json!({"structure": structure, "resource": "mem", "amount": amount})
}

fn half_of_mem(structure: &str, amount: i32, with: &str) -> Value {
    json!({"structure": structure, "resource": "mem", "amount": amount, "pair_structure": with})
}

/// In MiB, where there is a limit.
fn memory(container: &TestCgroup) -> Option<f64> {
    let memory = container.memory().unwrap();
    memory.high.min(memory.max).amount()
}

#[test]
fn of_memory_what_cannot_be_given_is_not_taken_and_what_cannot_be_taken_is_put_back() {
    let bed = Bed::new("mempair");
    let [a, b] = ["a", "b"].map(|name| bed.container("host0", name));
    let place = a.hierarchies().controllers().into_iter().find(|place| place.controller == Controller::Memory);
    let version = place.unwrap().version;
    let central = bed.central("");
    let http = &central.http;
    http.put("/service/guardian/ACTIVE", json!({"value": false}));
    http.put("/service/guardian/GUARDABLE_RESOURCES", json!({"value": ["cpu", "mem"]}));
    let agent = bed.agent("host0", &central, "[scaler]\nlower_memory_v1 = true");
    for (name, max) in [("a", 200), ("b", 400)] {
        http.until_known(name);
        http.put(&format!("/structure/{name}/resources/mem/max"), json!({"value": max}));
        http.put(&format!("/structure/{name}/resources/mem/min"), json!({"value": 20}));
        http.put(&format!("/structure/{name}/resources/mem/guard"), json!({}));
        http.put(&format!("/structure/{name}/guard"), json!({}));
        agent.until_guarded(name, "on");
    }
    until("both have their first limits", || (memory(&a), memory(&b)) == (Some(200.0), Some(400.0)));
    // What this test sets by hand is to be found by nobody before it is written over.
    http.put("/service/guardian/WINDOW_TIMELAPSE", json!({"value": 3600}));
    carried_out(http, "less", &mem("b", -300));
    assert_eq!(memory(&b), Some(100.0));

    // v1 does not take a limit below what is in use and cannot be swapped; v2's memory.high takes any.
    let mut in_a = a.burn(0, 0.0);
    in_a.hold(150);
    until("it is in use", || a.memory().unwrap().usage_mib > 145.0);
    http.put("/request/gives", half_of_mem("a", -100, "b"));
    http.put("/request/takes", half_of_mem("b", 100, "a"));
    if version == Version::V2 {
        until("both halves are carried out", || is_gone(http, "gives") && is_gone(http, "takes"));
        assert_eq!((memory(&a), memory(&b)), (Some(100.0), Some(200.0)));
        return;
    }
    refused(http, "gives", "MiB in use");
    refused(http, "takes", "the other half of its pair was not carried out");
    assert_eq!((memory(&a), memory(&b)), (Some(200.0), Some(100.0)));
    until("the half that was refused is told", || is_told(http, "a", "request gives@", "failed"));
    assert!(!is_told(http, "b", "request takes@", "applied"), "{}", http.get("/decisions?structure=b"));

    // Somebody has given b more, which it uses: what it is to have now is too little.
    b.apply(&[Change::MemoryMax(Limit::At(300.0))]).unwrap();
    let mut in_b = b.burn(0, 0.0);
    in_b.hold(250);
    until("it is in use", || b.memory().unwrap().usage_mib > 245.0);
    http.put("/request/gives-again", half_of_mem("a", -20, "b"));
    http.put("/request/takes-again", half_of_mem("b", 20, "a"));
    refused(http, "takes-again", "MiB in use");
    refused(http, "gives-again", "the other half of its pair was not carried out");
    until("what was given is put back", || memory(&a) == Some(200.0));
    until("both ways of the limit are told", || {
        is_told(http, "a", "request gives-again@", "applied") && is_told(http, "a", "the other half of its pair", "applied")
    });
    assert_eq!(memory(&b), Some(300.0), "as it was set by hand");
    carried_out(http, "alone", &mem("a", -20));
    assert_eq!(memory(&a), Some(180.0));
}
