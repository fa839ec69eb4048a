//! The first touch: what a container gets that had no limit, or too little, and what is kept of it.

use headroom_agent::cgroup::{Controller, Version};
use serde_json::json;

use crate::bed::Bed;
use crate::files::{limits, read, set_burst, set_shares, shares, version};

const MIB: u64 = 1024 * 1024;

#[test]
fn what_is_there_is_shown_once_the_agent_is_up() {
    let bed = Bed::new("shown");
    let names = ["a", "b", "c", "d", "e"];
    let _containers = names.map(|name| bed.container(name));
    let agent = bed.run(&bed.config());
    let status = agent.status();
    let shown: Vec<_> =
        status["containers"].as_array().unwrap().iter().map(|c| c["container"]["name"].as_str().unwrap()).collect();
    assert_eq!(shown, names);
}

#[test]
fn first_limits_and_what_is_kept() {
    let bed = Bed::new("first");
    let [none, under, over, within] = ["none", "under", "over", "within"].map(|name| bed.container(name));
    set_shares(&under, 10);
    set_shares(&over, 150);
    set_shares(&within, 60);
    let mut config = bed.config();
    config.set("host.max", "cpu", "1000");
    for (name, max) in [("none", 90), ("under", 100), ("over", 120), ("within", 130)] {
        config.guard(name, "true", [40, max, 10]);
    }
    // Nothing moves after the first limit: these are looked at, not judged.
    config.set("guardian", "active", "false");
    let agent = bed.run(&config);
    for name in ["none", "under", "over", "within"] {
        agent.until_guarded(name);
    }
    agent.until("first limits", |_| shares(&none).is_some() && shares(&under) == Some(40.0) && shares(&over) == Some(120.0));
    assert_eq!(shares(&none), Some(90.0));
    assert_eq!(shares(&within), Some(60.0));
    assert_eq!(agent.decisions("within"), []);
    for (name, from, to) in [("none", None, 90.0), ("under", Some(10.0), 40.0), ("over", Some(150.0), 120.0)] {
        agent.until("it is told", |agent| !agent.decisions(name).is_empty());
        let [decided] = &agent.decisions(name)[..] else { panic!("{name}: {:?}", agent.decisions(name)) };
        assert_eq!((decided.action.as_str(), decided.outcome.as_str()), ("FirstLimit", "applied"), "{decided:?}");
        assert_eq!((decided.from, decided.to), (from, Some(to)));
    }
    let kept = |name: &str| bed.records()[name]["resources"]["cpu"].clone();
    assert_eq!(kept("none")["limit"], json!("unlimited"));
    assert_eq!(kept("under")["limit"], json!({"at": 10.0}));
    assert_eq!(kept("none")["period_us"], json!(100_000));
    assert_eq!(kept("none")["max"], json!(90.0));
    assert_eq!(bed.records()["none"]["cgroup_id"], json!(none.id()));
}

#[test]
fn a_limit_that_is_kept_gets_the_burst_that_goes_with_it() {
    let bed = Bed::new("burst");
    let within = bed.container("within");
    set_shares(&within, 60);
    let burst = set_burst(&within, 5_000);
    let mut config = bed.config();
    config.set("host.max", "cpu", "1000").set("guardian", "active", "false").set("scaler", "burst", "1.0");
    config.guard("within", "true", [40, 130, 10]);
    let agent = bed.run(&config);
    agent.until("its burst is its quota", |_| limits(&within)[burst] == "60000");
    assert_eq!(shares(&within), Some(60.0));
    assert_eq!(agent.decisions("within"), []);
}

/// It is tried each second; and who is made anew under a name has had none of what was decided under it.
#[test]
fn one_that_waits_for_room_is_told_of_once() {
    let bed = Bed::new("room");
    let mut first = bed.container("first");
    let mut config = bed.config();
    config.set("host.max", "cpu", "100").set("guardian", "active", "false").guard("*", "true", [20, 100, 5]);
    let agent = bed.run(&config);
    agent.until("it has all", |_| shares(&first) == Some(100.0));
    let second = bed.container("second");
    let waits = |agent: &crate::agent::Agent, name: &str| agent.notes(name).contains("shares that are free now");
    agent.until("there is no room", |agent| waits(agent, "second"));
    std::thread::sleep(std::time::Duration::from_millis(3500));
    assert_eq!((agent.log().matches("shares that are free now").count(), shares(&second)), (1, None), "{}", agent.log());
    let last = |agent: &crate::agent::Agent| {
        let decisions = agent.status()["last_decisions"].as_array().unwrap().clone();
        decisions.iter().map(|decision| decision["structure"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(last(&agent), ["first"]);

    first.remove();
    agent.until("there is room", |_| shares(&second) == Some(100.0));
    first.recreate();
    agent.until("the new one has none", |agent| waits(agent, "first"));
    assert_eq!((last(&agent), shares(&first)), (vec!["second".to_owned()], None));
}

#[test]
fn the_sum_of_all_min_may_not_exceed_the_host() {
    let bed = Bed::new("minsum");
    let [first, second, third] = ["first", "second", "third"].map(|name| bed.container(name));
    let mut config = bed.config();
    config.set("host.max", "cpu", "100").set("guardian", "active", "false");
    config.guard("first", "true", [60, 70, 5]).guard("second", "true", [50, 100, 5]).guard("third", "true", [20, 100, 5]);
    let agent = bed.run(&config);
    let guarded = |agent: &crate::agent::Agent| {
        ["first", "second", "third"].map(|name| agent.container(name)["resources"]["cpu"]["guard"] == true)
    };
    // Which come first is the machine's business: no three have room, and no two of the first ones.
    agent.until("all were looked at", |agent| {
        guarded(agent).iter().filter(|guarded| **guarded).count()
            + [0, 1, 2]
                .map(|i| ["first", "second", "third"][i])
                .into_iter()
                .filter(|name| agent.notes(name).contains("exceed the host") || agent.notes(name).contains("are free now"))
                .count()
            >= 3
    });
    assert!(guarded(&agent).contains(&true));
    let mut sum = 0.0;
    for (is_guarded, container) in guarded(&agent).into_iter().zip([&first, &second, &third]) {
        assert_eq!(shares(container).is_some(), is_guarded);
        sum += shares(container).unwrap_or(0.0);
    }
    assert!(sum <= 100.0, "{sum}");
    assert!(!guarded(&agent)[..2].iter().all(|g| *g), "60 and 50 do not fit");
    let refused = ["first", "second"].into_iter().find(|name| agent.notes(name).contains("not guarded")).unwrap();
    assert!(agent.notes(refused).contains("cpu: not guarded: "), "{}", agent.notes(refused));
}

#[test]
fn memory_moves_as_its_kernel_allows() {
    let bed = Bed::new("memory");
    let cont0 = bed.container("cont0");
    let mut load = cont0.burn(1, 0.0);
    let mut config = bed.config();
    config.set("guardian", "guardable", "['mem']");
    config.container("name = 'cont0'\nguard = true").resource("[container.mem]\nmin = 32\nmax = 320\nboundary = 24");
    let mut agent = bed.run(&config);
    let file = match version(&cont0, Controller::Memory) {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.high",
    };
    let limit = || read(&cont0, Controller::Memory, file).parse::<u64>().map_or(u64::MAX, |bytes| bytes / MIB);
    agent.until("the first limit", |_| limit() <= 320);
    let kept = bed.records()["cont0"]["resources"]["mem"]["limit"].clone();
    assert_eq!(kept, json!("unlimited"));
    if version(&cont0, Controller::Memory) == Version::V1 {
        // Idle for eight windows and more: lowering is asked for, and refused.
        agent.until("lowering is refused", |agent| agent.decisions("cont0").iter().any(|d| d.outcome == "refused"));
        let decided = agent.decisions("cont0");
        let refused = decided.iter().find(|d| d.outcome == "refused").unwrap();
        assert_eq!((refused.action.as_str(), refused.resource.as_str()), ("MemRescaleDown", "mem"));
        assert!(refused.detail.contains("lower_memory_v1"), "{refused:?}");
        assert!(limit() == 320);
    } else {
        agent.until("memory.high comes down", |_| limit() < 320);
        let low = limit();
        load.hold(usize::try_from(low).unwrap());
        agent.until("it goes up again", |_| limit() > low);
        assert_eq!(read(&cont0, Controller::Memory, "memory.max"), "max");
        assert!(read(&cont0, Controller::Memory, "memory.events").contains("oom_kill 0"));
    }
    assert!(agent.container("cont0")["resources"]["mem"]["usage"].as_f64().unwrap() < 320.0);
    let writes = limits(&cont0);
    agent.end();
    assert_eq!(limits(&cont0), writes, "an end without restore_on_exit leaves limits");
}
