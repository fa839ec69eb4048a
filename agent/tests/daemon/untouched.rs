//! Who is not asked for is not touched: not one write to one file of it.

use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::agent::limit;
use crate::bed::Bed;
use crate::files::{self, prefer, set_quota, shares};
use crate::support::TestCgroup;

/// Notices every write to any file of a container, whether or not it changes anything.
struct Writes(Inotify);

impl Writes {
    fn to(cgroup: &TestCgroup) -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
        for dir in files::directories(cgroup) {
            inotify.add_watch(&dir, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE).unwrap();
        }
        Self(inotify)
    }

    /// The files written since the last call.
    fn seen(&self) -> Vec<String> {
        let events = self.0.read_events().unwrap_or_default();
        events.into_iter().filter_map(|event| Some(event.name?.into_string().unwrap())).collect()
    }
}

#[test]
fn who_is_not_guarded_is_never_written_to() {
    let bed = Bed::new("untouched");
    let [guarded, left, vetoed, advised] = ["guarded", "left", "vetoed", "advised"].map(|name| bed.container(name));
    // A period and a quota that nobody would choose by chance.
    for container in [&left, &vetoed, &advised] {
        set_quota(container, Some(123_000), 90_000);
    }
    let untouched = [&left, &vetoed, &advised];
    let before = untouched.map(files::limits);
    let writes = untouched.map(Writes::to);
    prefer(&advised);
    assert!(!writes[2].seen().is_empty(), "a write is noticed");
    let mut loads = [guarded.burn(1, 1.0), left.burn(1, 0.2), vetoed.burn(1, 0.2), advised.burn(1, 0.0)];
    let _started = writes.each_ref().map(Writes::seen);

    let mut config = bed.config();
    config.set("host", "never_guard", "['veto*']");
    config.guard("guarded", "true", [20, 150, 10]).guard("vetoed", "true", [20, 150, 10]);
    config.guard("advised", "'advise'", [20, 190, 30]).guard("left", "false", [20, 150, 10]);
    let mut agent = bed.run(&config);

    agent.until_guarded("guarded");
    agent.until("it is advised", |agent| agent.container("advised")["guard"] == "advise");
    for name in ["left", "vetoed"] {
        assert_eq!(agent.container(name)["guard"], "off", "{name}");
        assert_eq!(agent.container(name)["resources"]["cpu"]["guard"], false, "{name}");
    }
    assert!(agent.notes("vetoed").contains("never_guard"), "{}", agent.notes("vetoed"));

    // Advice moves a limit on paper, from what was found: 123 of 90 ms.
    let paper = |shares: f64| {
        agent.until("advice", |agent| limit(&agent.container("advised")["resources"]["cpu"]["limit"]) == Some(shares));
    };
    paper(80.0);
    loads[3].set_duty(1.0);
    paper(155.0);
    let cpu = agent.container("advised")["resources"]["cpu"].take();
    let applied = limit(&cpu["applied"]).unwrap();
    assert!((applied - 123.0 / 0.9).abs() < 0.01, "{cpu}");
    let decided = agent.decisions("advised");
    assert!(decided.len() >= 2 && decided.iter().all(|d| d.outcome == "advised"), "{decided:?}");
    assert_eq!(decided.iter().map(|d| d.action.as_str()).take(2).collect::<Vec<_>>(), ["CpuRescaleDown", "CpuRescaleUp"]);
    assert!((decided[0].from.unwrap() - 123.0 / 0.9).abs() < 0.01, "{decided:?}");
    // What is advised is not given out.
    let free = agent.status()["host"]["free"]["cpu"].as_f64().unwrap();
    let guarded_now = shares(&guarded).unwrap();
    assert!(free >= 200.0 - 150.0 && guarded_now <= 150.0, "free {free}, guarded {guarded_now}");

    std::thread::sleep(Duration::from_millis(600));
    agent.end();
    assert_eq!(untouched.map(files::limits), before);
    assert_eq!(writes.map(|w| w.seen()), [const { Vec::<String>::new() }; 3]);
    assert_eq!(bed.records().keys().collect::<Vec<_>>(), ["guarded"]);
    for name in ["left", "vetoed"] {
        assert!(!agent.log().contains(&format!("container=\"{name}\"")), "{}", agent.log());
    }
}

#[test]
fn advice_outlives_a_reload() {
    let bed = Bed::new("advice");
    let cont0 = bed.container("cont0");
    files::set_shares(&cont0, 100);
    let mut config = bed.config();
    config.guard("cont0", "'advise'", [20, 100, 10]);
    let agent = bed.run(&config);
    let paper = |agent: &crate::agent::Agent| limit(&agent.container("cont0")["resources"]["cpu"]["limit"]);
    agent.until("advice", |agent| paper(agent) == Some(40.0));
    // Nobody judges any more: a limit on paper that began anew would stay at what really stands.
    config.set("guardian", "active", "false").write();
    agent.signal(nix::sys::signal::Signal::SIGHUP);
    agent.until("it is read again", |agent| agent.status()["host"]["guardian_active"] == false);
    assert_eq!((paper(&agent), shares(&cont0)), (Some(40.0), Some(100.0)));
    assert_eq!(agent.container("cont0")["guard"], "advise");
    // Other bounds are another matter.
    config.guard_nothing().guard("cont0", "'advise'", [60, 100, 10]).write();
    agent.signal(nix::sys::signal::Signal::SIGHUP);
    agent.until("it is within its bounds", |agent| paper(agent) == Some(60.0));
    assert_eq!(shares(&cont0), Some(100.0));
    // Guarding begins at what really stands, not at what was on paper.
    config.guard_nothing().guard("cont0", "true", [60, 100, 10]).write();
    agent.signal(nix::sys::signal::Signal::SIGHUP);
    agent.until_guarded("cont0");
    assert_eq!((paper(&agent), shares(&cont0)), (Some(100.0), Some(100.0)));
}
