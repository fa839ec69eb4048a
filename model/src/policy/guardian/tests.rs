use super::*;
use crate::documents::rule::Rule;
use crate::policy::thresholds::{Boundary, Thresholds};
use crate::profile::Profile;
use serde_json::json;

const CPU: ResourceSet = ResourceSet::only(Resource::Cpu);
const BOUNDS: Bounds = Bounds { min: 50.0, max: 400.0, boundary: Boundary::absolute(25.0), weight: 1.0 };

fn subject(current: f64) -> Subject {
    let mut subject = Subject::new("cont0");
    subject.resources[Resource::Cpu] = Some(Guarded::new(BOUNDS, Some(current), None));
    subject
}

fn classic() -> Guardian {
    Guardian::new(Arc::new(RuleSet::compile(&Profile::Classic.rules())), 100.0, false)
}

fn responsive() -> Guardian {
    Guardian::new(Arc::new(RuleSet::compile(&Profile::Responsive.rules())), 5.0, true)
}

fn rules(of: serde_json::Value) -> Arc<RuleSet> {
    let documents: Vec<Rule> = serde_json::from_value(of).unwrap();
    let set = RuleSet::compile(&documents);
    assert_eq!(set.problems(), []);
    Arc::new(set)
}

fn cpu(subject: &Subject) -> &Guarded {
    subject.resources[Resource::Cpu].as_ref().unwrap()
}

fn cpu_mut(subject: &mut Subject) -> &mut Guarded {
    subject.resources[Resource::Cpu].as_mut().unwrap()
}

/// Judges one window and carries out what it asks for. Returns the events' names and the requests' amounts.
fn window(guardian: &mut Guardian, subject: &mut Subject, now: f64, usage: f64) -> (Vec<&'static str>, Vec<f64>) {
    let mut out = Judgement::default();
    let (mut events, mut amounts) = (Vec::new(), Vec::new());
    cpu_mut(subject).usage = Some(usage);
    loop {
        guardian.judge(subject, CPU, now, &mut out);
        assert_eq!(out.problems, []);
        events.extend(out.events.iter().map(Raised::name));
        let mut raised = false;
        for request in &out.requests {
            amounts.push(request.amount);
            let limit = (cpu(subject).counted().unwrap() + request.amount).clamp(BOUNDS.min, BOUNDS.max);
            raised |= subject.set_limit(Resource::Cpu, limit, guardian.rejudge);
        }
        if !raised {
            break;
        }
    }
    subject.next_window(CPU);
    (events, amounts)
}

#[test]
fn worked_table() {
    let mut guardian = classic();
    let cases: [(f64, f64, &[&str]); 5] = [
        (200.0, 176.0, &["CpuBottleneck"]),
        (200.0, 160.0, &[]),
        (200.0, 175.0, &[]),
        (200.0, 150.0, &[]),
        (200.0, 20.0, &["CpuUnderuse"]),
    ];
    for (current, usage, events) in cases {
        let (names, amounts) = window(&mut guardian, &mut subject(current), 0.0, usage);
        assert_eq!((names.as_slice(), amounts.len()), (events, 0), "usage {usage}");
    }
    let mut up = subject(200.0);
    assert_eq!(window(&mut guardian, &mut up, 0.0, 176.0).1, [0.0; 0]);
    assert_eq!(window(&mut guardian, &mut up, 10.0, 176.0), (vec!["CpuBottleneck"], vec![75.0]));
    assert_eq!(cpu(&up).current, Some(275.0));
    assert_eq!(cpu(&up).thresholds(), Some(Thresholds { upper: 250.0, lower: 225.0 }));
    let mut near = subject(380.0);
    window(&mut guardian, &mut near, 0.0, 390.0);
    assert_eq!(window(&mut guardian, &mut near, 10.0, 390.0).1, [20.0]);
    let mut idle = subject(200.0);
    for n in 0..5 {
        assert_eq!(window(&mut guardian, &mut idle, f64::from(n) * 10.0, 20.0).1, [0.0; 0]);
    }
    assert_eq!(window(&mut guardian, &mut idle, 50.0, 20.0).1, [-100.0]);
    assert_eq!(cpu(&idle).current, Some(100.0), "min + 2 m");
    assert_eq!(window(&mut guardian, &mut idle, 60.0, 0.0), (vec![], vec![]), "lower is at min: no further down");
}

#[test]
fn a_gap_is_not_a_zero() {
    let mut guardian = classic();
    let mut s = subject(200.0);
    window(&mut guardian, &mut s, 0.0, 190.0);
    cpu_mut(&mut s).usage = None;
    let mut out = Judgement::default();
    guardian.judge(&mut s, CPU, 10.0, &mut out);
    assert_eq!((out.gaps, out.events.len(), out.requests.len()), (CPU, 0, 0));
    s.next_window(CPU);
    assert_eq!(cpu(&s).counts(), (1.0, 0.0), "older events stay");
    assert_eq!(window(&mut guardian, &mut s, 20.0, 190.0).1, [75.0]);
}

#[test]
fn contradictory_bounds_and_a_missing_current_decide_nothing() {
    let mut guardian = classic();
    let mut s = subject(200.0);
    cpu_mut(&mut s).bounds.min = 500.0;
    for n in 0..9 {
        assert_eq!(window(&mut guardian, &mut s, f64::from(n), 20.0).1, [0.0; 0]);
    }
    let mut s = subject(200.0);
    cpu_mut(&mut s).current = None;
    assert_eq!(window(&mut guardian, &mut s, 0.0, 399.0), (vec![], vec![]));
}

#[test]
fn all_rules_see_the_same_counts_and_consume_in_sum() {
    let event = json!({ "name": "up", "resource": "cpu", "generates": "events", "active": true, "rule": { ">": [{ "var": "cpu.structure.cpu.usage" }, 0] },
        "action": { "events": { "scale": { "up": 1 } } } });
    let request = |name: &str, remove: u32, amount: f64| {
        json!({ "name": name, "resource": "cpu", "generates": "requests", "active": true,
        "rule": { ">=": [{ "var": "events.scale.up" }, 3] }, "rescale_policy": "amount", "amount": amount, "events_to_remove": remove })
    };
    let mut guardian = Guardian::new(rules(json!([event, request("a", 2, 10.0), request("b", 1, 0.0)])), 100.0, false);
    let mut s = subject(200.0);
    assert_eq!(window(&mut guardian, &mut s, 0.0, 100.0).1.len() + window(&mut guardian, &mut s, 1.0, 100.0).1.len(), 0);
    // The third event lets both fire; the amount 0 makes no request but consumes too.
    assert_eq!(window(&mut guardian, &mut s, 2.0, 100.0).1, [10.0]);
    assert_eq!(cpu(&s).counts(), (0.0, 0.0));
}

#[test]
fn a_rule_may_read_another_resource_but_not_its_gap() {
    let event = json!({ "name": "up", "resource": "cpu", "generates": "events", "active": true,
        "rule": { "<": [{ "var": "mem.structure.mem.usage" }, 100] }, "action": { "events": { "scale": { "up": 1 } } } });
    let mut guardian = Guardian::new(rules(json!([event])), 100.0, false);
    let mut s = subject(200.0);
    s.resources[Resource::Mem] = Some(Guarded::new(BOUNDS, Some(200.0), None));
    assert_eq!(window(&mut guardian, &mut s, 0.0, 10.0).0, [""; 0], "memory has no usage: null is not under 100");
    s.resources[Resource::Mem].as_mut().unwrap().usage = Some(99.0);
    assert_eq!(window(&mut guardian, &mut s, 1.0, 10.0).0, ["CpuBottleneck"]);
}

#[test]
fn early_is_refused_where_the_end_could_still_decide_otherwise() {
    let mut out = Judgement::default();
    let mut s = subject(200.0);
    let mut guardian = classic();
    assert!(!guardian.judge_early(&mut s, Resource::Cpu, 175.0, 10.0, &mut out), "not above upper yet");
    assert!(guardian.judge_early(&mut s, Resource::Cpu, 175.1, 10.0, &mut out));
    assert_eq!(out.events[0].name(), "CpuBottleneck");
    assert!(!guardian.judge_early(&mut s, Resource::Cpu, 199.0, 10.0, &mut out), "each window is judged once");
    assert_eq!(cpu(&s).usage, None);
    // An amount that depends on the mean is not known before the end.
    let mut documents = Profile::Responsive.rules();
    for rule in documents.iter_mut().filter(|r| r.name == "CpuRescaleUp") {
        rule.rescale_policy = Some("fit_to_usage".into());
    }
    let mut guardian = Guardian::new(Arc::new(RuleSet::compile(&documents)), 5.0, true);
    let mut s = subject(200.0);
    assert!(!guardian.judge_early(&mut s, Resource::Cpu, 180.0, 10.0, &mut out));
    assert_eq!((out.events.len(), cpu(&s).counts()), (0, (0.0, 0.0)));
}

#[test]
fn a_limit_is_not_lowered_within_the_cooldown_after_a_change() {
    let mut guardian = responsive().with_cooldown(4.0);
    let mut s = subject(200.0);
    assert_eq!(window(&mut guardian, &mut s, 0.0, 190.0).1, [50.0]);
    let mut lowered = |ends: std::ops::Range<u32>, usage: f64| -> Vec<bool> {
        ends.map(|end| !window(&mut guardian, &mut s, f64::from(end), usage).1.is_empty()).collect()
    };
    assert_eq!(lowered(1..5, 150.0), [false, false, false, true], "two windows would do, but the raise is too near");
    assert_eq!(lowered(5..9, 60.0), [false, false, false, true], "and again after the lowering");
    assert_eq!(window(&mut guardian, &mut s, 8.5, 400.0).1.first().map(|up| *up > 0.0), Some(true), "a raise never waits");
}

#[test]
fn a_usage_that_the_limit_capped_is_no_low_demand() {
    let mut guardian = responsive();
    let mut s = subject(200.0);
    cpu_mut(&mut s).throttled = Some(0.0);
    assert_eq!(window(&mut guardian, &mut s, 0.0, 10.0).0, ["CpuUnderuse"]);
    cpu_mut(&mut s).throttled = Some(1.0);
    assert_eq!(window(&mut guardian, &mut s, 1.0, 10.0), (vec!["CpuBottleneck"], vec![50.0]), "and raised once, not for ever");
    cpu_mut(&mut s).throttled = Some(0.0);
    assert_eq!(window(&mut guardian, &mut s, 2.0, 210.0).0, [""; 0], "in the band of the new limit");
}

#[test]
fn early_as_at_the_end_a_rule_waits_for_what_it_reads() {
    let mut documents = Profile::Responsive.rules();
    for rule in documents.iter_mut().filter(|rule| rule.name == "cpu_exceeded_upper") {
        let memory = json!({ ">": [{ "var": "mem.structure.mem.usage" }, { "var": "mem.limits.mem.upper" }] });
        rule.rule = json!({ "or": [rule.rule.take(), memory] });
    }
    let mut guardian = Guardian::new(Arc::new(RuleSet::compile(&documents)), 8.0, true);
    let (mut s, mut out) = (subject(100.0), Judgement::default());
    assert!(!guardian.judge_early(&mut s, Resource::Cpu, 150.0, 1.0, &mut out));
    assert_eq!(window(&mut guardian, &mut s, 1.0, 150.0), (vec![], vec![]));
}

#[test]
fn judging_and_planning_allocate_nothing() {
    use crate::policy::scaler::ledger::{Entry, Ledger, Share};
    use crate::policy::scaler::plan::{Plan, grant};

    let mut guardian = responsive();
    let (mut s, mut out, mut plan) = (subject(100.0), Judgement::default(), Plan::default());
    let mut ledger = Ledger::default();
    let share = Share { min: BOUNDS.min, max: BOUNDS.max, weight: 1.0 };
    ledger.set(&s.name, Resource::Cpu, Entry::guarded(100.0, share));
    let mut burst = |end: f64| {
        let early = guardian.judge_early(&mut s, Resource::Cpu, 99.0, end, &mut out);
        plan.refill(out.requests.drain(..), end, 60.0);
        let to = grant(&plan.groups[0], &ledger)[0].writes();
        s.next_window(CPU);
        (early, to)
    };
    // The first ones make room for the events and the requests.
    for end in 0..20 {
        assert_eq!(burst(f64::from(end)), (true, Some(125.0)));
    }
    let allocated = allocation_counter::measure(|| assert_eq!(burst(20.0), (true, Some(125.0))));
    assert_eq!(allocated.count_total, 0);
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// Judges a window at moments within it and at its end. `certain`: what is certain at each moment, rising to the mean.
    fn early_window(
        guardian: &mut Guardian,
        s: &mut Subject,
        end: f64,
        certain: &[f64],
        mean: f64,
    ) -> (Vec<&'static str>, Vec<f64>) {
        let (mut events, mut amounts) = (Vec::new(), Vec::new());
        let mut out = Judgement::default();
        for &least in certain {
            while guardian.judge_early(s, Resource::Cpu, least, end, &mut out) {
                events.extend(out.events.iter().map(Raised::name));
                let mut raised = false;
                for request in &out.requests {
                    amounts.push(request.amount);
                    let bounds = cpu(s).bounds;
                    let limit = (cpu(s).counted().unwrap() + request.amount).clamp(bounds.min, bounds.max);
                    raised |= s.set_limit(Resource::Cpu, limit, guardian.rejudge);
                }
                if !raised {
                    break;
                }
            }
        }
        let (late_events, late_amounts) = window(guardian, s, end, mean);
        events.extend(late_events);
        amounts.extend(late_amounts);
        (events, amounts)
    }

    /// Profile, rejudge, up events needed, cooldown in windows.
    type Which = (Profile, bool, u32, u32);

    fn any_guardian() -> impl Strategy<Value = Which> {
        (prop_oneof![Just(Profile::Classic), Just(Profile::Responsive)], any::<bool>(), 1..4_u32, 0..6_u32)
    }

    fn build((profile, rejudge, needed, cooldown): Which) -> Guardian {
        let mut documents = profile.rules();
        for rule in documents.iter_mut().filter(|r| r.name == "CpuRescaleUp") {
            rule.rule = json!({ ">=": [{ "var": "events.scale.up" }, needed] });
        }
        Guardian::new(Arc::new(RuleSet::compile(&documents)), 8.0, rejudge).with_cooldown(f64::from(cooldown))
    }

    proptest! {
        #[test]
        fn early_and_at_the_end_have_the_same_outcome(
            which in any_guardian(),
            windows in prop::collection::vec((0.0..450.0_f64, prop::collection::vec(0.0..1.0_f64, 0..5)), 1..40),
        ) {
            let (mut early, mut late) = (build(which), build(which));
            let (mut a, mut b) = (subject(100.0), subject(100.0));
            for (n, (mean, moments)) in windows.into_iter().enumerate() {
                let end = n as f64;
                let mut certain: Vec<f64> = moments.iter().map(|m| m * mean).collect();
                certain.sort_by(f64::total_cmp);
                let found = early_window(&mut early, &mut a, end, &certain, mean);
                let expected = window(&mut late, &mut b, end, mean);
                prop_assert_eq!(found, expected);
                prop_assert_eq!(cpu(&a).current, cpu(&b).current);
                prop_assert_eq!(cpu(&a).counts(), cpu(&b).counts());
            }
        }

        #[test]
        fn limits_stay_within_bounds_and_down_never_takes_lower_under_min(
            which in any_guardian(),
            min in 0..100_u32, width in 0..400_u32, boundary in 0..60_u32,
            usages in prop::collection::vec(0.0..500.0_f64, 1..60),
        ) {
            let (min, max) = (f64::from(min), f64::from(min + width));
            let mut guardian = build(which);
            let mut s = Subject::new("c");
            let bounds = Bounds { min, max, boundary: Boundary::absolute(f64::from(boundary)), weight: 1.0 };
            s.resources[Resource::Cpu] = Some(Guarded::new(bounds, Some(max), None));
            let mut out = Judgement::default();
            for (n, usage) in usages.into_iter().enumerate() {
                cpu_mut(&mut s).usage = Some(usage);
                guardian.judge(&mut s, CPU, n as f64, &mut out);
                for request in out.requests.clone() {
                    let lower = cpu(&s).thresholds().unwrap().lower;
                    let current = cpu(&s).counted().unwrap();
                    prop_assert!(request.amount > 0.0 || lower + request.amount >= min);
                    prop_assert!(request.amount < 0.0 || lower + request.amount <= min || current + request.amount <= max);
                    s.set_limit(Resource::Cpu, (current + request.amount).clamp(min, max), false);
                }
                s.next_window(CPU);
                let t = cpu(&s).thresholds().unwrap();
                prop_assert!(t.lower < t.upper && t.upper < cpu(&s).current.unwrap());
            }
        }
    }
}

/// What a window brings is the same whether the subject has been quiet for long or is judged for the first time.
#[test]
fn what_was_quiet_is_judged_again_when_anything_changes() {
    let mut guardian = classic();
    let mut quiet = subject(200.0);
    for now in 0..20 {
        let brought = window(&mut guardian, &mut quiet, f64::from(now), 160.0);
        assert_eq!(brought, (vec![], vec![]));
        assert!(cpu(&quiet).quiet, "window {now}");
    }
    assert_eq!(window(&mut guardian, &mut quiet, 20.0, 176.0).0, ["CpuBottleneck"]);
    assert_eq!(window(&mut guardian, &mut quiet, 21.0, 160.0), (vec![], vec![]));
    assert_eq!(window(&mut guardian, &mut quiet, 22.0, 176.0), (vec!["CpuBottleneck"], vec![75.0]), "the event of before counts");

    let mut quiet = subject(200.0);
    window(&mut guardian, &mut quiet, 0.0, 160.0);
    cpu_mut(&mut quiet).current = Some(180.0);
    assert_eq!(window(&mut guardian, &mut quiet, 1.0, 160.0).0, ["CpuBottleneck"], "another limit");

    let mut quiet = subject(200.0);
    window(&mut guardian, &mut quiet, 0.0, 160.0);
    guardian.set_rules(rules(json!([{
        "type": "rule", "name": "always", "resource": "cpu", "generates": "events", "active": true,
        "rule": {">": [{"var": "cpu.structure.cpu.usage"}, 0]}, "action": {"events": {"scale": {"up": 1}}}
    }])));
    assert_eq!(window(&mut guardian, &mut quiet, 1.0, 160.0).0, ["CpuBottleneck"], "other rules");
}
