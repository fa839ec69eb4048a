//! A group of containers over two hosts, judged as one.

use serde_json::json;

use crate::bed::{Agent, Bed, Central, Http, shares};
use crate::centrals::on_couchdb;
use crate::process::until;
use crate::requests::{carried_out, cpu};
use crate::server::{Databases, Server};
use crate::support::{Burner, TestCgroup};

const MAX: f64 = 300.0;

fn sum(containers: &[TestCgroup; 2]) -> f64 {
    containers.iter().map(|container| shares(container).unwrap_or(0.0)).sum()
}

/// Waits, and holds all the while that the group has no more than its max.
fn until_within(what: &str, containers: &[TestCgroup; 2], mut done: impl FnMut() -> bool) {
    until(what, || {
        let sum = sum(containers);
        assert!(sum <= MAX, "{what}: {sum} of {MAX} shares");
        done()
    });
}

fn group(http: &Http, agents: &[Agent; 2]) {
    http.put("/service/guardian", json!({"WINDOW_TIMELAPSE": 0.2, "EVENT_TIMEOUT": 10, "STRUCTURE_GUARDED": "application"}));
    for agent in agents {
        until("it is said who judges", || agent.get("/status")["host"]["judged_at_central"] == json!(true));
    }
    let (cpu, mem) = (json!({"max": MAX, "min": 0, "guard": true}), json!({"max": 4096, "min": 0, "guard": false}));
    let bounds = json!({"boundary": 20, "boundary_type": "absolute"});
    let app = json!({"app": {"name": "app1", "guard": true, "subtype": "application", "resources": {"cpu": cpu, "mem": mem}},
        "limits": {"resources": {"cpu": bounds, "mem": bounds}}});
    http.put("/structure/apps/app1", app);
    for ((name, max), agent) in [("a", 60), ("b", 200)].iter().zip(agents) {
        http.put(&format!("/structure/{name}/resources/cpu/max"), json!({"value": max}));
        http.put(&format!("/structure/{name}/resources/cpu/min"), json!({"value": 20}));
        http.put(&format!("/structure/container/{name}/app1"), json!({}));
        http.put(&format!("/structure/{name}/guard"), json!({}));
        agent.until_guarded(name, "on");
    }
}

/// Both are busy, and the group is raised; then one of them alone, and what the other does not need is taken from it. (By the totals alone one of
/// two that are low would not be seen.)
fn one_stays_busy(containers: &[TestCgroup; 2], loads: &mut [Burner; 2]) {
    let [a, b] = containers;
    for load in &mut *loads {
        load.set_duty(1.0);
    }
    until_within("the group is raised", containers, || sum(containers) >= 120.0);
    loads[1].set_duty(0.02);
    until_within("the busy one has its max, and the other little", containers, || {
        shares(a) >= Some(55.0) && shares(b) < Some(45.0)
    });
}

#[test]
fn a_group_over_two_hosts_never_holds_more_than_its_max() {
    let bed = Bed::with_hosts("group", &["host0", "host1"]);
    let net = bed.net.as_ref().unwrap();
    let containers = [bed.container("host0", "a"), bed.container("host1", "b")];
    let [a, b] = &containers;
    let central = bed.central("insecure = true\nquiet_after = '2s'");
    let agents = [bed.agent("host0", &central, ""), bed.agent("host1", &central, "")];
    let mut loads = [a.burn(1, 0.02), b.burn(1, 0.02)];
    net.enter("central");
    let http = &central.http;
    http.until_known("a");
    http.until_known("b");
    group(http, &agents);
    until_within("both have their first limits", &containers, || shares(a).is_some() && shares(b).is_some());

    // Neither needs what it has: the group is lowered as one, and neither below its own min.
    until_within("it is lowered", &containers, || sum(&containers) <= 60.0);
    assert!(shares(a) >= Some(20.0) && shares(b) >= Some(20.0));
    let by = |decision: &serde_json::Value| (decision["who"] == "guardian").then(|| decision["what"]["action"].clone());
    until("it is told, as a decision about the group", || {
        let decisions = http.get("/decisions?structure=app1");
        decisions.as_array().unwrap().iter().filter_map(by).any(|action| action == "CpuRescaleDown")
    });

    one_stays_busy(&containers, &mut loads);

    // The other's host is cut off: what it has counts as held, and stays as it is.
    net.cut("host1");
    until_within("it is quiet", &containers, || http.host("host1")["quiet_since"].is_f64());
    let held = shares(b).unwrap();
    loads[1].set_duty(1.0);
    loads[0].set_duty(0.02);
    until_within("the one that can be seen is lowered", &containers, || shares(a) < Some(45.0));
    loads[0].set_duty(1.0);
    until_within("and raised", &containers, || shares(a) >= Some(55.0));
    assert_eq!(shares(b), Some(held), "nobody judges it meanwhile");

    net.mend("host1");
    until_within("it is back, and gets what it needs", &containers, || shares(b) > Some(held));

    // Without central limits stay as they are, and that is said.
    let place = central.kill9();
    let before = (shares(a), shares(b));
    loads[1].set_duty(0.02);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!((shares(a), shares(b)), before);
    assert_eq!(agents[0].get("/status")["host"]["guardian_active"], json!(false));
    let central = Central::again(&bed, &place);
    until_within("it is judged again", &containers, || shares(b) < before.1);
    drop(central);
}

/// The central that judges groups, by its place in the list.
fn judge(centrals: &[Central]) -> Option<usize> {
    let fleet = centrals[0].http.get("/fleet");
    let holder = &fleet["leases"]["guardian"]["central"];
    let central = fleet["centrals"].as_array().unwrap().iter().find(|of| of["id"] == *holder)?;
    centrals.iter().position(|of| central["url"] == of.url.as_str())
}

#[test]
fn a_group_whose_hosts_report_to_two_centrals_is_judged_by_one_and_by_the_other_when_that_ends() {
    let bed = Bed::with_hosts("judges", &["host0", "host1"]);
    bed.net.as_ref().unwrap().enter("central");
    let server = Server::start(&[]);
    let databases = Databases::on(&server);
    let settings = format!("insecure = true\n{}", on_couchdb(&databases, &server.url));
    let mut centrals = ["central0", "central1"].map(|state| bed.central_of(state, &settings)).into_iter().collect::<Vec<_>>();
    let containers = [bed.container("host0", "a"), bed.container("host1", "b")];
    let [a, b] = &containers;
    let [first, second] = [&centrals[0], &centrals[1]];
    let agents = [bed.agent_with("host0", "host0", &[first, second], ""), bed.agent_with("host1", "host1", &[second, first], "")];
    let mut loads = [a.burn(1, 0.02), b.burn(1, 0.02)];
    for central in &centrals {
        central.http.until_known("a");
        central.http.until_known("b");
    }
    group(&centrals[0].http, &agents);
    until_within("both have their first limits", &containers, || shares(a).is_some() && shares(b).is_some());
    until_within("it is lowered on both hosts", &containers, || sum(&containers) <= 60.0);
    one_stays_busy(&containers, &mut loads);
    // Each central has only one of the agents: what is left at the other is carried out, too.
    carried_out(&centrals[1].http, "from1", &cpu("a", -5));
    carried_out(&centrals[0].http, "from0", &cpu("b", 5));

    let killed = judge(&centrals).unwrap();
    drop(centrals.remove(killed).kill9());
    loads[1].set_duty(1.0);
    until_within("the other one judges it", &containers, || judge(&centrals).is_some() && shares(b) >= Some(80.0));
    loads[0].set_duty(0.02);
    until_within("on all hosts", &containers, || shares(a) < Some(45.0));
}
