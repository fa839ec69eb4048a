//! A container in a container: one limit holds for both where the outer one is guarded.

use nix::sys::signal::Signal;

use crate::bed::{Bed, Config};
use crate::files::{set_shares, shares};

/// Idle they have min + 2 * boundary: 70 and 30.
const OUTER: [u32; 3] = [20, 190, 25];
const INNER: [u32; 3] = [10, 60, 10];

#[test]
fn one_in_a_guarded_one_is_left_alone() {
    let bed = Bed::new("nested");
    let outer = bed.container("outer");
    let inner = outer.child("inner");
    set_shares(&inner, 40);
    let with = |guarded: &[(&str, &str, [u32; 3])]| {
        let mut config = finds_both(&bed);
        for (name, guard, bounds) in guarded {
            config.guard(name, guard, *bounds);
        }
        config
    };
    let agent = bed.run(&with(&[("outer", "true", OUTER), ("inner", "true", INNER)]));
    let becomes = |config: Config| {
        config.write();
        agent.signal(Signal::SIGHUP);
    };
    let is_left_alone = || {
        agent.until("it is left alone", |agent| agent.notes("inner").contains("it lies in outer"));
        assert_eq!(agent.container("inner")["guard"], "off");
        assert_eq!((shares(&inner), bed.records().contains_key("outer")), (Some(40.0), true));
    };
    agent.until("the outer one is at rest", |_| shares(&outer) == Some(70.0));
    is_left_alone();
    assert_eq!((agent.decisions("inner"), bed.records().len()), (Vec::new(), 1));
    let host = &agent.status()["host"];
    let reserved = host["max"]["cpu"].as_f64().unwrap() - host["free"]["cpu"].as_f64().unwrap();
    assert!((reserved - 70.0).abs() < 0.001, "the inner one is counted with the outer one: {host}");

    // In one that nobody guards it is one as any other, and so it is in one that is only advised.
    for others in [&[][..], &[("outer", "'advise'", OUTER)]] {
        becomes(with(&[others, &[("inner", "true", INNER)]].concat()));
        agent.until_guarded("inner");
        agent.until("the inner one is at rest", |_| shares(&inner) == Some(30.0));
        assert_eq!((agent.notes("inner"), shares(&outer)), ("[]".to_owned(), Some(70.0)));
    }
    // Advice for both would be advice of two that cannot be followed together.
    becomes(with(&[("outer", "'advise'", OUTER), ("inner", "'advise'", INNER)]));
    agent.until("there is advice for the outer one", |agent| agent.container("outer")["guard"] == "advise");
    agent.until("and none for the inner one", |agent| agent.notes("inner").contains("it lies in outer"));
    assert_eq!(agent.container("inner")["guard"], "off");

    // What was found before the first touch is what it gets back.
    becomes(with(&[("outer", "true", OUTER), ("inner", "true", INNER)]));
    agent.until_guarded("outer");
    is_left_alone();
}

fn finds_both(bed: &Bed) -> Config {
    let mut config = bed.config();
    let place = format!("^headroom-test-{}-nested", std::process::id());
    let patterns = ["-(?<name>outer)$", "-outer/(?<name>inner)$"].map(|rest| format!("{{ path = '{place}{rest}' }}"));
    config.set("host", "reserve_unguarded", "true").set("discovery", "pattern", &format!("[{}]", patterns.join(", ")));
    config
}
