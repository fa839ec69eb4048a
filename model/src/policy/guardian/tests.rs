use super::*;
use crate::documents::rule::Rule;
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
