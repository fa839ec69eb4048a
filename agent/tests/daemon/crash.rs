//! Deaths: kill -9 at any moment, and what `release` makes of it.

use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::bed::Bed;
use crate::files::{Watch, limits, set_quota, set_shares, shares};

const MIN: f64 = 20.0;
const MAX: f64 = 120.0;
const KILLS: u32 = 50;

/// Numbers that are different every time; the seed is printed, so that a run can be repeated.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = || u64::from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos());
        let seed = option_env!("HEADROOM_TEST_SEED").map_or_else(now, |seed| seed.parse().unwrap());
        eprintln!("HEADROOM_TEST_SEED={seed} repeats this when the test is built");
        Self(seed | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn killed_at_any_moment_it_takes_up_where_it_was() {
    let bed = Bed::new("kill");
    let [none, set] = ["none", "set"].map(|name| bed.container(name));
    set_quota(&set, Some(33_000), 50_000);
    let originals = [&none, &set].map(limits);
    let start_loads = || [none.burn(2, 0.0), set.burn(1, 0.0)];
    let mut loads = start_loads();
    let mut config = bed.config();
    config.set("guardian.window", "cpu", "'20ms'").set("agent", "restore_on_exit", "true");
    config.guard("none", "true", [20, 120, 5]).guard("set", "true", [20, 120, 5]);

    let mut random = Random::new();
    let mut watch = None;
    let mut died_without_a_record = 0;
    for round in 0..KILLS {
        // No load lives for long; and each source has its way of starting.
        if round % 10 == 9 {
            loads = start_loads();
        }
        config.set("sampler", "source", ["'auto'", "'cgroupfs'"][usize::from(round % 2 == 1)]);
        let before = [&none, &set].map(shares);
        let mut agent = bed.run(&config);
        for load in &mut loads {
            load.set_duty([0.0, 0.3, 1.0][usize::try_from(random.below(3)).unwrap()]);
        }
        thread::sleep(Duration::from_micros(random.below(300_000)));
        agent.kill9();
        let records = bed.records();
        for (container, (name, before)) in [&none, &set].into_iter().zip(["none", "set"].into_iter().zip(before)) {
            // What was found goes on disk before the first touch, and is never replaced by a limit of our own.
            let original = if name == "none" { json!("unlimited") } else { json!({ "at": 66.0 }) };
            if let Some(record) = records.get(name) {
                assert_eq!(record["resources"]["cpu"]["limit"], original, "round {round}");
            } else {
                died_without_a_record += 1;
                assert_eq!(shares(container), before, "round {round}: {name} was touched before its record was kept");
            }
            if let Some(shares) = shares(container) {
                assert!((MIN..=MAX).contains(&shares), "round {round}: {name} at {shares}");
            }
        }
        if watch.is_none() && shares(&none).is_some() {
            watch = Some(Watch::of(&[&none, &set]));
        }
    }
    eprintln!("{died_without_a_record} times it died before it had touched a container");

    // The limits that stand are taken up, not set anew.
    let stood = [&none, &set].map(shares);
    for load in &mut loads {
        load.set_duty(0.0);
    }
    config.set("guardian", "active", "false");
    let mut agent = bed.run(&config);
    agent.until("all is looked at", |agent| {
        ["none", "set"].iter().all(|n| agent.container(n)["resources"]["cpu"]["guard"] == true)
    });
    assert_eq!([&none, &set].map(shares), stood);
    assert!(["none", "set"].iter().all(|name| agent.decisions(name).is_empty()));
    let seen = watch.expect("50 deaths, and never a limit was set").end();
    let within = |shares: &Option<f64>| shares.is_some_and(|shares| (MIN..=MAX).contains(&shares));
    assert!(seen.len() > 1000);
    assert!(seen.iter().all(|seen| seen.shares.iter().all(within)));
    agent.end();
    assert_eq!([&none, &set].map(limits), originals);
    assert!(bed.records().is_empty());
}

#[test]
fn release_lifts_what_a_death_left_behind() {
    let bed = Bed::new("release");
    let [lifted, made_anew] = ["lifted", "anew"].map(|name| bed.container(name));
    let mut made_anew = made_anew;
    let mut config = bed.config();
    config.guard("lifted", "true", [20, 120, 5]).guard("anew", "true", [20, 120, 5]);
    let mut agent = bed.run(&config);
    agent.until("both idle", |_| [&lifted, &made_anew].map(shares) == [Some(30.0); 2]);
    agent.kill9();
    made_anew.recreate();
    set_shares(&made_anew, 44);
    let before = limits(&made_anew);

    // The service manager's call, where limits are to be held.
    config.set("agent", "on_death", "'hold'").write();
    let held = bed.release(&["--on-death"]);
    assert!(held.status.success(), "{held:?}");
    assert!(String::from_utf8_lossy(&held.stdout).contains("hold"), "{held:?}");
    assert_eq!(shares(&lifted), Some(30.0));

    config.set("agent", "on_death", "'release'").write();
    let released = bed.release(&["--on-death"]);
    let told = String::from_utf8_lossy(&released.stdout).into_owned();
    assert!(released.status.success(), "{released:?}");
    assert!(told.contains("lifted: cpu lifted to 120") && told.contains("anew: made anew since"), "{told}");
    assert_eq!(shares(&lifted), Some(120.0));
    assert_eq!(limits(&made_anew), before);

    // By hand, whatever on_death says; and a second time there is nothing to do.
    set_shares(&lifted, 30);
    config.set("agent", "on_death", "'hold'").write();
    assert!(bed.release(&[]).status.success());
    assert_eq!(shares(&lifted), Some(120.0));
    let again = bed.release(&[]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("lifted: cpu is at its max or above already"), "{again:?}");

    // The next start still knows that there was no limit once.
    config.set("agent", "restore_on_exit", "true").set("guardian", "active", "false");
    let mut agent = bed.run(&config);
    agent.until_guarded("lifted");
    agent.end();
    assert_eq!(shares(&lifted), None, "{:?}", limits(&lifted));
}
