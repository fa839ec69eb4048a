use headroom_model::accounting::Areas;
use headroom_model::documents::by_resource::ByResource;
use headroom_model::wire::ContainerReport;

use super::*;

fn container(name: &str, usage: f64) -> ContainerReport {
    let mut resources = ByResource::default();
    resources.known[Resource::Cpu] = Some(ResourceReport {
        guard: false,
        current: Limit::At(200.0),
        effective: Limit::At(200.0),
        usage: Some(usage),
        upper: None,
        lower: None,
        areas: Areas::default(),
    });
    ContainerReport {
        name: name.into(),
        engine: "lxc".into(),
        incarnation: "1".into(),
        application: None,
        guard: GuardState::Off,
        notes: Vec::new(),
        seed: None,
        cpu_total: None,
        counted: None,
        throttled: None,
        resources,
    }
}

fn report(host: &str, instance: &str, sequence: u64, at: f64, names: &[&str]) -> Report {
    Report {
        host: host.into(),
        instance: instance.into(),
        started_at: 1.0,
        sequence,
        at,
        version: "0.1.0".into(),
        status: HostReport::default(),
        containers: names.iter().map(|name| container(name, at)).collect(),
        decisions: Vec::new(),
        sets: Vec::new(),
        requests: Vec::new(),
    }
}

fn appeared(heard: Result<Heard, Answer>) -> Vec<String> {
    match heard.unwrap() {
        Heard::News { appeared, .. } => appeared.iter().map(ToString::to_string).collect(),
        Heard::Again => panic!("heard before"),
    }
}

#[test]
fn a_report_counts_once() {
    let fleet = Fleet::new(Duration::from_secs(15));
    assert_eq!(appeared(fleet.receive(&report("h", "a", 1, 10.0, &["c"]), 10.0, 10.0)), ["c"]);
    assert_eq!(fleet.receive(&report("h", "a", 1, 10.0, &["c"]), 11.0, 11.0), Ok(Heard::Again));
    let mut restarted = report("h", "a", 1, 12.0, &["c"]);
    restarted.started_at = 12.0;
    assert_eq!(appeared(fleet.receive(&restarted, 12.0, 12.0)), [""; 0]);
}

#[test]
fn what_waited_changes_no_present_state() {
    let fleet = Fleet::new(Duration::from_secs(15));
    fleet.receive(&report("h", "a", 2, 20.0, &["c"]), 20.0, 20.0).unwrap();
    let late = report("h", "a", 3, 10.0, &["c", "old"]);
    assert_eq!(fleet.receive(&late, 21.0, 21.0), Ok(Heard::News { is_first: false, appeared: Vec::new() }));
    let usage = fleet.live("c").unwrap().resources[Resource::Cpu].as_ref().unwrap().usage;
    assert_eq!((usage, fleet.live("old")), (Some(20.0), None));
}

#[test]
fn clocks_may_differ() {
    let fleet = Fleet::new(Duration::from_secs(15));
    let heard = fleet.receive(&report("h", "a", 1, 5000.0, &[]), 5000.0, 100.0).unwrap();
    assert_eq!(heard, Heard::News { is_first: true, appeared: Vec::new() });
    let host = fleet.host("h").unwrap();
    assert_eq!((host.skew, host.last_report, host.quiet_since), (4900.0, 100.0, None));
}

#[test]
fn a_second_agent_of_one_name_is_refused_until_the_first_is_quiet() {
    let fleet = Fleet::new(Duration::from_millis(50));
    fleet.receive(&report("h", "a", 1, 10.0, &[]), 10.0, 10.0).unwrap();
    let refused = fleet.receive(&report("h", "b", 1, 10.0, &[]), 10.0, 10.0).unwrap_err();
    assert!(refused.message.contains("another agent (instance a) reports as host \"h\""), "{}", refused.message);
    std::thread::sleep(Duration::from_millis(60));
    assert!(fleet.host("h").unwrap().quiet_since.is_some());
    assert_eq!(appeared(fleet.receive(&report("h", "b", 1, 10.0, &["c"]), 11.0, 11.0)), ["c"]);
}

#[test]
fn a_name_belongs_to_the_first_host_that_has_it_until_it_goes() {
    let fleet = Fleet::new(Duration::from_secs(15));
    fleet.receive(&report("h0", "a", 1, 10.0, &["c"]), 10.0, 10.0).unwrap();
    assert_eq!(appeared(fleet.receive(&report("h1", "b", 1, 11.0, &["c", "d"]), 11.0, 11.0)), ["d"]);
    assert_eq!(&*fleet.live("c").unwrap().host, "h0");
    let conflict = Conflict { container: "c".into(), host: "h0".into(), others: vec!["h1".into()] };
    assert_eq!(fleet.conflicts(), [conflict]);
    fleet.receive(&report("h0", "a", 2, 12.0, &[]), 12.0, 12.0).unwrap();
    assert_eq!(appeared(fleet.receive(&report("h1", "b", 2, 13.0, &["c", "d"]), 13.0, 13.0)), ["c"]);
    assert_eq!((&*fleet.live("c").unwrap().host, fleet.conflicts().len()), ("h1", 0));
    fleet.disown(&["c".into()]);
    assert_eq!(appeared(fleet.receive(&report("h1", "b", 3, 14.0, &["c", "d"]), 14.0, 14.0)), ["c"]);
}

#[tokio::test]
async fn a_limit_is_set_when_the_agent_says_so() {
    let fleet = Fleet::new(Duration::from_secs(15));
    let mut touched = fleet.touched("h");
    let ask =
        fleet.set_limits("h", vec![("c".into(), Resource::Cpu, Limit::At(50.0)), ("c".into(), Resource::Mem, Limit::At(64.0))]);
    let agent = async {
        touched.changed().await.unwrap();
        let sets = fleet.sets("h");
        assert_eq!((sets.len(), fleet.sets("other").len()), (2, 0));
        let mut done = report("h", "a", 1, 10.0, &["c"]);
        done.sets =
            sets.iter().map(|set| SetDone { id: set.id, error: (set.resource == Resource::Mem).then(|| "no".into()) }).collect();
        fleet.receive(&done, 10.0, 10.0).unwrap();
    };
    let (answer, ()) = tokio::join!(ask, agent);
    assert_eq!(answer.unwrap_err().message, "no");
    assert!(fleet.sets("h").is_empty());
}

#[test]
fn centrals_tell_each_other_of_the_hosts_that_report_to_them() {
    let [here, there] = [Fleet::new(Duration::from_secs(15)), Fleet::new(Duration::from_secs(15))];
    let by: Arc<str> = "there".into();
    // Clocks of the agent, and of both centrals, are all different.
    there.receive(&report("h", "a", 1, 10.0, &["c"]), 12.0, 1000.0).unwrap();
    let (through, told) = there.relays(0, 1001.0);
    assert_eq!((told.len(), told[0].skew, told[0].so_ago), (1, -988.0, 3.0));
    assert!(here.relay(&by, &told[0], 5000.0) && !here.relay(&by, &told[0], 5000.0));
    assert_eq!(there.relays(through, 1001.0), (through, Vec::new()));
    let live = here.live("c").unwrap();
    assert_eq!(live, there.live("c").unwrap());
    assert_eq!((here.via("h"), here.is_here("h"), here.host("h").unwrap().quiet_since), (Some(by.clone()), false, None));
    assert_eq!(here.relays(0, 5000.0), (0, Vec::new()), "each tells of its own");

    // Another agent of that name is refused here, too; the agent itself is not, and is this one's then.
    assert!(here.may_speak_for("h", "b").is_err());
    let moved = report("h", "a", 2, 20.0, &["c"]);
    assert!(!here.has_stayed(&moved));
    assert_eq!(appeared(here.receive(&moved, 20.0, 5010.0)), [""; 0]);
    assert!(here.is_here("h") && here.has_stayed(&report("h", "a", 3, 30.0, &["c"])));
    let (_, told) = here.relays(0, 5010.0);
    assert!(there.relay(&"here".into(), &told[0], 1010.0) && !there.is_here("h"));
    // What was told late is older than what is known.
    there.receive(&report("h", "a", 3, 30.0, &[]), 30.0, 1020.0).unwrap();
    assert!(!there.relay(&"here".into(), &told[0], 1020.0) && there.is_here("h"));
    assert_eq!(there.live("c"), None);
}

#[test]
fn a_name_that_a_host_elsewhere_has_is_not_given_twice() {
    let [here, there] = [Fleet::new(Duration::from_secs(15)), Fleet::new(Duration::from_secs(15))];
    there.receive(&report("h0", "a", 1, 10.0, &["c"]), 10.0, 10.0).unwrap();
    let (through, told) = there.relays(0, 10.0);
    here.relay(&"there".into(), &told[0], 10.0);
    assert_eq!(appeared(here.receive(&report("h1", "b", 1, 11.0, &["c"]), 11.0, 11.0)), [""; 0]);
    assert_eq!(here.conflicts().len(), 1);
    there.receive(&report("h0", "a", 2, 12.0, &[]), 12.0, 12.0).unwrap();
    let (_, told) = there.relays(through, 12.0);
    here.relay(&"there".into(), &told[0], 12.0);
    assert_eq!(appeared(here.receive(&report("h1", "b", 2, 13.0, &["c"]), 13.0, 13.0)), ["c"]);
}

#[test]
fn what_is_asked_of_a_host_elsewhere_goes_there_and_its_answer_comes_back() {
    let [here, there] = [Fleet::new(Duration::from_secs(15)), Fleet::new(Duration::from_secs(15))];
    let (me, other): (Arc<str>, Arc<str>) = ("here".into(), "there".into());
    there.receive(&report("h", "a", 1, 10.0, &["c"]), 10.0, 10.0).unwrap();
    let (through, told) = there.relays(0, 10.0);
    here.relay(&other, &told[0], 5000.0);

    let (answers, mut answered) = tokio::sync::mpsc::unbounded_channel();
    let asked = Asked {
        id: "r@1".into(),
        structure: "c".into(),
        resource: Resource::Cpu,
        field: headroom_model::policy::request::Field::Current,
        amount: 25.0,
        priority: 0.0,
        pair: None,
        age: 0.0,
    };
    here.request(&"h".into(), vec![(asked.clone(), 5000.0)], &answers);
    assert_eq!(here.requests_for("another", 5001.0), []);
    let for_there = here.requests_for("there", 5002.0);
    assert_eq!(for_there, [("h".into(), Asked { age: 2.0, ..asked.clone() })]);
    assert!(!here.take_request_back("r@1"), "its agent may have it by now");

    // The clocks differ; how old it is does not. Told again, it is the same one.
    there.requests_of(&me, &for_there, 20.0);
    there.requests_of(&me, &for_there, 21.0);
    let mut given = there.requests("h");
    there.give_requests(&mut given, 25.0);
    assert_eq!(given, [Asked { age: 7.0, ..asked }]);

    let done = RequestDone::refused("r@1", "no room");
    there.receive(&Report { requests: vec![done.clone()], ..report("h", "a", 2, 12.0, &["c"]) }, 12.0, 12.0).unwrap();
    let (_, told) = there.relays(through, 12.0);
    here.relay(&other, &told[0], 5003.0);
    assert_eq!(answered.try_recv().unwrap(), done);
    here.forget_request("r@1");
    there.requests_of(&me, &here.requests_for("there", 5004.0), 26.0);
    assert_eq!(there.requests("h"), []);
}
