use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::accounting::codec::{decode, encode};

const START: f64 = 1_700_000_000.0;

/// Accounts as a file gives them out.
#[derive(Default)]
struct Accounts(RefCell<Vec<Holder>>);

impl Accounts {
    fn number(&self, holder: &Holder) -> u32 {
        let mut all = self.0.borrow_mut();
        let at = all.iter().position(|known| known == holder).unwrap_or_else(|| {
            all.push(holder.clone());
            all.len() - 1
        });
        u32::try_from(at).unwrap()
    }

    fn holder(&self, number: u32) -> Option<Holder> {
        self.0.borrow().get(number as usize).cloned()
    }
}

/// A host, what it filed, and for whom.
#[derive(Default)]
struct Books {
    host: Host,
    accounts: Accounts,
    filed: Vec<Filed>,
}

impl Books {
    /// Whether it counted for anything.
    fn take(&mut self, counts: Counts) -> bool {
        // As after a restart each time.
        let bytes = encode(&self.host);
        self.host = decode(&bytes, |number| self.accounts.holder(number)).unwrap();
        let filed = self.host.count(counts, |holder| Ok::<_, Infallible>(self.accounts.number(holder))).unwrap();
        let counted = filed.is_some();
        self.filed.extend(filed.unwrap_or_default());
        counted
    }

    /// What a holder used, in all.
    fn used(&self, is: impl Fn(&Holder) -> bool) -> f64 {
        let is = |account: u32| is(&self.accounts.holder(account).unwrap());
        let filed: f64 = self.filed.iter().filter(|f| is(f.account)).map(|f| f.part.areas.used).sum();
        filed + self.host.open.iter().filter(|((account, _), _)| is(*account)).map(|(_, areas)| areas.used).sum::<f64>()
    }
}

fn counts(started_at: f64, sequence: u64, at: f64, containers: &[(&str, u64, f64)]) -> Counts {
    let count = |(name, incarnation, used): &(&str, u64, f64)| Count {
        holder: Holder { structure: (*name).into(), owners: Owners::default() },
        incarnation: *incarnation,
        total: None,
        areas: [(Resource::Cpu, Areas { used: *used, allocated: 2.0 * used, reserved: 4.0 * used })].into(),
    };
    let (host, ran) = ("host0".to_owned(), at - started_at);
    Counts { host, instance: 1, started_at, sequence, at, ran, containers: containers.iter().map(count).collect() }
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= b.abs() * 1e-9 + 1e-9, "{a}, expected {b}");
}

#[test]
fn a_lost_report_is_in_the_next_and_a_repeated_one_counts_once() {
    let mut books = Books::default();
    assert!(books.take(counts(START, 0, START + 5.0, &[("a", 1, 10.0)])));
    assert!(!books.take(counts(START, 0, START + 5.0, &[("a", 1, 10.0)])));
    assert!(books.take(counts(START, 7, START + 40.0, &[("a", 1, 80.0)])));
    assert!(!books.take(counts(START, 3, START + 20.0, &[("a", 1, 40.0)])), "it came late");
    near(books.used(|_| true), 80.0);
}

#[test]
fn counters_begin_anew_with_a_process_and_with_an_incarnation() {
    let mut books = Books::default();
    books.take(counts(START, 1, START + 60.0, &[("a", 1, 100.0), ("b", 1, 7.0)]));
    books.take(counts(START + 100.0, 1, START + 105.0, &[("a", 1, 3.0), ("b", 2, 9.0)]));
    near(books.used(|h| &*h.structure == "a"), 103.0);
    books.take(counts(START + 100.0, 2, START + 110.0, &[("a", 2, 2.0), ("b", 2, 10.0)]));
    near(books.used(|h| &*h.structure == "a"), 105.0);
    near(books.used(|h| &*h.structure == "b"), 17.0);
    // What of the process before was still under way.
    assert!(books.take(counts(START, 2, START + 65.0, &[("a", 1, 104.0)])));
    near(books.used(|h| &*h.structure == "a"), 109.0);
    // A process that was never heard of, older than one that was: what it counted cannot be told from what was counted already.
    assert!(!books.take(counts(START - 500.0, 9, START - 1.0, &[("a", 1, 50.0)])));
}

#[test]
fn an_agent_that_loses_sight_of_a_container_begins_anew() {
    let mut books = Books::default();
    books.take(counts(START, 1, START + 5.0, &[("a", 1, 50.0)]));
    books.take(counts(START, 2, START + 10.0, &[]));
    books.take(counts(START, 3, START + 15.0, &[("a", 1, 2.0)]));
    near(books.used(|_| true), 52.0);
    // It kept its counters.
    books.take(counts(START, 4, START + 20.0, &[]));
    books.take(counts(START, 5, START + 25.0, &[("a", 1, 6.0)]));
    near(books.used(|_| true), 56.0);
}

#[test]
fn the_kernels_count_goes_on_while_no_agent_runs() {
    let mut books = Books::default();
    let with_total = |mut counts: Counts, total: f64| {
        counts.containers[0].total = Some(total);
        counts
    };
    // It used 1000 before anybody looked.
    books.take(with_total(counts(START, 0, START + 5.0, &[("a", 1, 10.0)]), 1010.0));
    books.take(with_total(counts(START, 1, START + 10.0, &[("a", 1, 20.0)]), 1020.0));
    near(books.used(|_| true), 20.0);
    // The agent is away for a minute, in which it used 100.
    books.take(with_total(counts(START + 70.0, 0, START + 75.0, &[("a", 1, 5.0)]), 1125.0));
    near(books.used(|_| true), 125.0);
    // Late, from the process before.
    books.take(with_total(counts(START, 2, START + 12.0, &[("a", 1, 25.0)]), 1025.0));
    books.take(with_total(counts(START + 70.0, 1, START + 80.0, &[("a", 1, 6.0)]), 1126.0));
    near(books.used(|_| true), 126.0);
    // Made anew: its count too.
    books.take(with_total(counts(START + 70.0, 2, START + 85.0, &[("a", 2, 3.0)]), 4.0));
    near(books.used(|_| true), 129.0);
    books.take(with_total(counts(START + 70.0, 3, START + 90.0, &[("a", 2, 8.0)]), 9.0));
    near(books.used(|_| true), 134.0);
    // What limits allowed is the agents' to count.
    let allocated: f64 = books.host.open.iter().map(|(_, a)| a.allocated).sum::<f64>()
        + books.filed.iter().map(|f| f.part.areas.allocated).sum::<f64>();
    near(allocated, 2.0 * (25.0 + 6.0 + 8.0));
}

#[test]
fn amounts_are_theirs_who_had_the_container_at_the_time() {
    let mut books = Books::default();
    let app = |counts: Counts, app: &str| {
        let mut counts = counts;
        for count in &mut counts.containers {
            count.holder.owners.application = Some(app.into());
        }
        counts
    };
    books.take(app(counts(START, 1, START + 5.0, &[("a", 1, 10.0)]), "one"));
    books.take(app(counts(START, 2, START + 10.0, &[("a", 1, 25.0)]), "two"));
    books.take(app(counts(START, 3, START + 15.0, &[("a", 1, 27.0)]), "one"));
    near(books.used(|h| h.owners.application.as_deref() == Some("one")), 12.0);
    near(books.used(|h| h.owners.application.as_deref() == Some("two")), 15.0);
}

#[test]
fn amounts_are_filed_under_when_they_were() {
    let mut books = Books::default();
    let start = (START / 300.0).floor() * 300.0;
    // The agent ran for ten minutes before it was heard.
    books.take(counts(start, 1, start + 600.0, &[("a", 1, 600.0)]));
    let parts: Vec<(f64, f64)> = books.filed.iter().map(|f| (f.part.start as f64 - start, f.part.areas.used)).collect();
    assert_eq!(parts, [(0.0, 300.0), (300.0, 300.0)]);
    // A report that is late by the time that is open.
    books.take(counts(start, 2, start + 610.0, &[("a", 1, 620.0)]));
    books.take(counts(start + 605.0, 1, start + 620.0, &[("a", 1, 5.0)]));
    assert_eq!(books.host.open.len(), 1);
    near(books.host.open[0].1.used, 25.0);
    books.take(counts(start + 605.0, 2, start + 900.0, &[("a", 1, 6.0)]));
    assert_eq!(books.filed.last().unwrap().part.start as f64, start + 600.0);
    near(books.used(|_| true), 626.0);
}

#[test]
fn a_process_that_is_over_is_forgotten_and_not_counted_again() {
    let mut books = Books::default();
    books.take(counts(START, 1, START + 5.0, &[("a", 1, 10.0)]));
    for report in 1..200 {
        books.take(counts(START + 6.0, report, START + 6.0 + report as f64 * 5.0, &[("a", 1, report as f64)]));
    }
    assert_eq!(books.host.processes.len(), 1);
    assert!(!books.take(counts(START, 2, START + 6.0, &[("a", 1, 12.0)])));
    near(books.used(|_| true), 209.0);
}

#[test]
fn who_is_gone_for_long_is_forgotten() {
    let mut books = Books::default();
    books.take(counts(START, 1, START + 5.0, &[("a", 1, 10.0), ("b", 1, 10.0)]));
    for report in 2..900 {
        books.take(counts(START, report, START + report as f64 * 5.0, &[("b", 1, 10.0 + report as f64)]));
    }
    assert_eq!(books.host.processes[0].containers.len(), 1);
}

/// What happens to an agent's next report.
#[derive(Clone, Copy, Debug)]
enum Way {
    Arrives,
    IsLost,
    ComesTwice,
    ComesLate,
}

/// Five seconds of an agent.
#[derive(Clone, Debug)]
struct Step {
    way: Way,
    grows: [u16; 3],
    restarts: bool,
    remade: Option<usize>,
}

fn step() -> impl Strategy<Value = Step> {
    let way = prop_oneof![6 => Just(Way::Arrives), 2 => Just(Way::IsLost), 1 => Just(Way::ComesTwice), 1 => Just(Way::ComesLate)];
    (way, any::<[u16; 3]>(), proptest::bool::weighted(0.1), proptest::option::weighted(0.1, 0_usize..3))
        .prop_map(|(way, grows, restarts, remade)| Step { way, grows, restarts, remade })
}

proptest! {
    #[test]
    fn what_arrived_is_counted_once(steps in proptest::collection::vec(step(), 1..80)) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut books = Books::default();
        let (mut started_at, mut sequence) = (START, 0);
        let (mut counters, mut incarnations) = ([0.0; 3], [0_u64; 3]);
        // The most that arrived of each process's, container's and incarnation's counters: that is what has to be there in the end.
        let mut arrived: HashMap<(u64, usize, u64), f64> = HashMap::new();
        let mut late: Vec<Counts> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let now = START + (number + 1) as f64 * 5.0;
            if step.restarts {
                (started_at, sequence, counters) = (now - 1.0, 0, [0.0; 3]);
            }
            if let Some(which) = step.remade {
                (counters[which], incarnations[which]) = (0.0, number as u64 + 1);
            }
            for (counter, grows) in counters.iter_mut().zip(step.grows) {
                *counter += f64::from(grows);
            }
            let containers: Vec<_> = (0..3).map(|n| (NAMES[n], incarnations[n], counters[n])).collect();
            let report = counts(started_at, sequence, now, &containers);
            sequence += 1;
            let arrives = match step.way {
                Way::IsLost => 0,
                Way::ComesLate => {
                    late.push(report.clone());
                    0
                }
                Way::Arrives => 1,
                Way::ComesTwice => 2,
            };
            for _ in 0..arrives {
                books.take(report.clone());
            }
            if arrives > 0 {
                for n in 0..3 {
                    arrived.insert((started_at.to_bits(), n, incarnations[n]), counters[n]);
                }
                // Those that were overtaken by one of their process count for nothing; they come twice all the same.
                for overtaken in late.iter().filter(|l| l.started_at == started_at) {
                    prop_assert!(!books.take(overtaken.clone()));
                }
                late.retain(|l| l.started_at != started_at);
            }
        }
        let expected: f64 = arrived.values().sum();
        let used = books.used(|_| true);
        prop_assert!((used - expected).abs() <= expected * 1e-9 + 1e-6, "{} and {}", used, expected);
        for (n, name) in NAMES.into_iter().enumerate() {
            let expected: f64 = arrived.iter().filter(|((_, of, _), _)| *of == n).map(|(_, used)| used).sum();
            let used = books.used(|holder| &*holder.structure == name);
            prop_assert!((used - expected).abs() <= expected * 1e-9 + 1e-6, "{}: {} and {}", name, used, expected);
        }
    }
}
