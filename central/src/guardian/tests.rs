use std::sync::atomic::{AtomicU32, Ordering};

use headroom_model::limit::Limit;
use headroom_model::policy::request::Direction;
use headroom_model::profile::Profile;
use headroom_model::wire::{Asked, Report};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::agents::orders;
use crate::audit::Wanted;
use crate::config::Config;
use crate::seed;
use crate::store::Sqlite;

const CPU: Resource = Resource::Cpu;

/// A central with an application over two hosts, `a` and `b`, whose agents are played.
struct Bed {
    central: Central,
    tools: Tools,
    answers: mpsc::UnboundedReceiver<RequestDone>,
    group: Group,
    now: f64,
    _directory: TempDir,
}

impl Bed {
    /// The application's `max`.
    async fn new(max: u32) -> Self {
        let container = |name: &str, host: &str| {
            json!({"type": "structure", "subtype": "container", "name": name, "host": host, "guard": true,
                "resources": {"cpu": {"max": 300, "min": 20, "guard": true}}})
        };
        let file = json!({
            "structures": [container("a", "host0"), container("b", "host1"),
                {"type": "structure", "subtype": "application", "name": "app", "guard": true, "containers": ["a", "b"],
                 "resources": {"cpu": {"max": max, "min": 0, "guard": true}}}],
            "limits": [{"type": "limit", "name": "app", "resources": {"cpu": {"boundary": 20, "boundary_type": "absolute"}}}],
            "services": [{"type": "service", "name": "guardian", "config": {"STRUCTURE_GUARDED": "application"}}],
        });
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&directory.path().join("state.db")).unwrap();
        seed::load(&store, &file.to_string()).await.unwrap();
        drop(store);
        let quiet_after = Duration::from_millis(300);
        let config = Config { state_dir: directory.path().to_owned(), quiet_after, ..Config::default() };
        let central = Central::open(config).await.unwrap();
        let (told, answers) = mpsc::unbounded_channel();
        let guardian = Guardian::new(Arc::new(RuleSet::compile(&Profile::Classic.rules())), 100.0, false);
        let tools = Tools { guardian, judgement: Judgement::default(), guardable: vec![CPU], told };
        Self { central, tools, answers, group: Group::new(&"app".into()), now: 0.0, _directory: directory }
    }

    /// A host reports its container; and what became of requests.
    fn hear(&mut self, host: &str, (name, limit, usage): (&str, f64, f64), is_guarded: bool, done: &[RequestDone]) {
        static SEQUENCE: AtomicU32 = AtomicU32::new(0);
        self.now += 1.0;
        let limit = if limit > 0.0 { json!({"at": limit}) } else { json!("unlimited") };
        let areas = json!({"used": 0, "allocated": 0, "reserved": 0});
        let guard = if is_guarded { "on" } else { "off" };
        let report: Report = serde_json::from_value(json!({"host": host, "instance": host, "started_at": 1,
            "sequence": SEQUENCE.fetch_add(1, Ordering::Relaxed), "at": self.now, "version": "", "status": {},
            "containers": [{"name": name, "engine": "lxc", "incarnation": "1", "guard": guard, "resources": {
                "cpu": {"guard": is_guarded, "current": limit, "effective": limit, "usage": usage, "areas": areas}}}],
            "decisions": [], "requests": done}))
        .unwrap();
        self.central.fleet.receive(&report, self.now, self.now).unwrap();
    }

    /// Both report, and the windows end.
    fn window(&mut self, a: (f64, f64), b: (f64, f64)) {
        self.hear("host0", ("a", a.0, a.1), true, &[]);
        self.hear("host1", ("b", b.0, b.1), true, &[]);
        self.judge();
    }

    fn judge(&mut self) {
        self.now += 1.0;
        let members = self.central.groups.members("app");
        self.group.judge(&self.central, &mut self.tools, &Entering::default(), &members, self.now);
    }

    /// What a host is asked for: amounts, by id.
    fn asked(&self, host: &str) -> Vec<Asked> {
        let mut asked = self.central.fleet.requests(host);
        self.central.fleet.give_requests(&mut asked, self.now);
        asked
    }

    /// Takes what agents have said, and goes on.
    fn follow_up(&mut self) {
        while let Ok(done) = self.answers.try_recv() {
            assert!(self.group.answered(&self.central, &done));
        }
        let members = self.central.groups.members("app");
        self.group.follow_up(&self.central, &self.tools, &Entering::default(), &members);
    }

    async fn decisions(&self) -> Vec<Value> {
        self.central.audit.flush().await;
        let wanted = Wanted { structure: Some("app".into()), ..Wanted::default() };
        self.central.audit.find(wanted).await.unwrap().into_iter().map(|entry| entry.what).collect()
    }
}

fn done(asked: &Asked, from: f64) -> RequestDone {
    let limits = Some((Limit::At(from), Limit::At(from + asked.amount)));
    RequestDone { id: asked.id.clone(), limits, max: None, reason: None }
}

#[tokio::test]
async fn what_one_host_cannot_grant_goes_to_a_container_elsewhere() {
    let mut bed = Bed::new(400).await;
    bed.window((100.0, 98.0), (100.0, 90.0));
    assert!(bed.asked("host0").is_empty(), "one window of two");
    bed.window((100.0, 98.0), (100.0, 90.0));
    let ([of_a], [of_b]) =
        (<[Asked; 1]>::try_from(bed.asked("host0")).unwrap(), <[Asked; 1]>::try_from(bed.asked("host1")).unwrap());
    assert_eq!((of_a.amount, of_b.amount), (40.0, 35.0), "75 by need, in slices of 5");
    bed.hear("host0", ("a", 100.0, 98.0), true, &[RequestDone::refused(&of_a.id, "the host has nothing free")]);
    bed.hear("host1", ("b", 135.0, 90.0), true, &[done(&of_b, 100.0)]);
    bed.follow_up();
    assert!(bed.asked("host0").is_empty(), "it is not asked again");
    let [more] = <[Asked; 1]>::try_from(bed.asked("host1")).unwrap();
    assert_eq!((more.structure.as_str(), more.amount), ("b", 40.0));
    // A request is not judged again while it is on its way.
    bed.window((100.0, 100.0), (135.0, 135.0));
    assert_eq!(bed.asked("host1").len(), 1);
    bed.hear(
        "host1",
        ("b", 155.0, 135.0),
        true,
        &[RequestDone { limits: Some((Limit::At(135.0), Limit::At(155.0))), ..done(&more, 135.0) }],
    );
    bed.follow_up();
    let decisions = bed.decisions().await;
    let [decision] = decisions.as_slice() else { panic!("{decisions:?}") };
    assert_eq!((&decision["action"], &decision["outcome"]), (&json!("CpuRescaleUp"), &json!("partial")));
    assert_eq!((&decision["from"], &decision["to"]), (&json!({"at": 200.0}), &json!({"at": 255.0})));
    assert!(decision["detail"].as_str().unwrap().starts_with("75 shares wanted, 55 granted"));
}

#[tokio::test]
async fn what_a_host_may_hold_that_is_not_heard_of_counts_as_held() {
    let mut bed = Bed::new(260).await;
    for _ in 0..2 {
        bed.window((100.0, 98.0), (100.0, 98.0));
    }
    // 60 are left of its max. Both are given their parts; one is not heard of afterwards.
    let ([of_a], [of_b]) =
        (<[Asked; 1]>::try_from(bed.asked("host0")).unwrap(), <[Asked; 1]>::try_from(bed.asked("host1")).unwrap());
    assert_eq!((of_a.amount, of_b.amount), (30.0, 30.0));
    tokio::time::sleep(Duration::from_millis(350)).await;
    bed.hear("host0", ("a", 130.0, 98.0), true, &[done(&of_a, 100.0)]);
    bed.follow_up();
    // What the other did not answer may have been carried out: nothing more is given out.
    assert!(bed.asked("host0").is_empty());
    assert_eq!(bed.asked("host1").len(), 1, "it is to say what became of it");
    for _ in 0..5 {
        bed.hear("host0", ("a", 130.0, 130.0), true, &[]);
        bed.judge();
    }
    assert!(bed.asked("host0").is_empty(), "130 and 130 are its max");
    // The one that is there can give back.
    for _ in 0..7 {
        bed.hear("host0", ("a", 130.0, 5.0), true, &[]);
        bed.judge();
    }
    let [less] = <[Asked; 1]>::try_from(bed.asked("host0")).unwrap();
    assert_eq!(less.amount, -90.0, "to two boundaries");
    bed.hear("host0", ("a", 40.0, 5.0), true, &[done(&less, 130.0)]);
    bed.follow_up();
    // It comes back, and has not done it.
    bed.hear("host1", ("b", 100.0, 98.0), true, &[RequestDone::refused(&of_b.id, "too old")]);
    bed.follow_up();
    assert!(bed.asked("host1").is_empty());
    for _ in 0..2 {
        bed.window((40.0, 38.0), (100.0, 98.0));
    }
    let amounts: f64 = ["host0", "host1"].iter().flat_map(|host| bed.asked(host)).map(|asked| asked.amount).sum();
    assert_eq!(amounts, 75.0, "up to 215 of 260");
}

#[tokio::test]
async fn what_was_never_seen_may_have_its_max_but_lowers_nobody() {
    let mut bed = Bed::new(400).await;
    for _ in 0..3 {
        bed.hear("host0", ("a", 150.0, 149.0), true, &[]);
        bed.judge();
    }
    assert!(bed.asked("host0").is_empty(), "300 of 400 may be the other's");
    for _ in 0..2 {
        bed.window((150.0, 149.0), (50.0, 40.0));
    }
    assert!(!bed.asked("host0").is_empty());
}

#[tokio::test]
async fn a_group_that_holds_more_than_its_max_gives_back_at_once() {
    let mut bed = Bed::new(200).await;
    bed.window((150.0, 149.0), (100.0, 10.0));
    let [less] = <[Asked; 1]>::try_from(bed.asked("host1")).unwrap();
    assert_eq!((less.amount, bed.asked("host0").len()), (-50.0, 0), "who needs it least gives it");
    // A part that is refused comes from the other; what nobody can give is said once.
    bed.hear("host1", ("b", 100.0, 10.0), true, &[RequestDone::refused(&less.id, "memory limits are not lowered")]);
    bed.follow_up();
    let [other] = <[Asked; 1]>::try_from(bed.asked("host0")).unwrap();
    assert_eq!(other.amount, -50.0);
    bed.hear("host0", ("a", 100.0, 100.0), true, &[done(&other, 150.0)]);
    bed.follow_up();
    let decisions = bed.decisions().await;
    assert_eq!((&decisions[0]["outcome"], &decisions[0]["to"]), (&json!("applied"), &json!({"at": 200.0})));
    let direction =
        decisions[0]["action"].as_str().map(|name| name == headroom_model::policy::request::action(CPU, Direction::Down));
    assert_eq!(direction, Some(true));
}

#[tokio::test]
async fn who_joins_begins_within_what_the_group_has_left() {
    let mut bed = Bed::new(250).await;
    bed.hear("host0", ("a", 0.0, 5.0), false, &[]);
    bed.hear("host1", ("b", 0.0, 5.0), false, &[]);
    let max = |bed: &Bed, host| orders::build(&bed.central, host).structures[0].resources.known[CPU].as_ref().unwrap().max;
    assert_eq!(max(&bed, "host0"), Some(125.0), "two begin");
    assert_eq!(max(&bed, "host1"), Some(125.0));
    bed.hear("host0", ("a", 125.0, 5.0), true, &[]);
    bed.central.guardian.0.lock().entering.let_go(&bed.central);
    assert_eq!(max(&bed, "host0"), Some(300.0), "once it is guarded its own bounds count");
    assert_eq!(max(&bed, "host1"), Some(125.0));
    bed.hear("host1", ("b", 125.0, 5.0), true, &[]);
    // An agent that starts again has its container as it was.
    bed.hear("host0", ("a", 125.0, 5.0), false, &[]);
    bed.central.guardian.0.lock().entering.let_go(&bed.central);
    assert_eq!(max(&bed, "host0"), Some(125.0));
}
