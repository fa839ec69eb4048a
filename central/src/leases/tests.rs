use std::path::Path;

use proptest::prelude::*;

use super::table::{DEAD, DUTY, Duty, HELD, Moment, Table};
use super::*;
use crate::store::{Document, Sqlite, Write};

fn store(directory: &Path) -> Arc<dyn StateStore> {
    Arc::new(Sqlite::open(&directory.join("state.db")).unwrap())
}

fn central(store: &Arc<dyn StateStore>) -> Leases {
    let leases = Leases::shared(Arc::clone(store));
    leases.announce("http://x".into());
    leases
}

impl Leases {
    async fn step(&self) {
        self.beat().await.unwrap();
        self.watch().await.unwrap();
    }
}

/// It has held still for so long, as a process that is stopped.
fn held_up(leases: &Leases, time: Duration) {
    let mut table = leases.table.lock();
    let (id, since) = table.me.take().unwrap();
    table.me = Some((id, Moment(since.0.checked_sub(time).unwrap())));
}

/// What it saw of others was so long ago.
fn looked_before(leases: &Leases, time: Duration) {
    leases.table.lock().look_back(time);
}

#[tokio::test]
async fn one_holds_it_and_the_next_one_after_it_with_a_greater_fence() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let (a, b) = (central(&store), central(&store));
    assert_eq!((a.held("x"), b.held("x")), (None, None));
    for _ in 0..2 {
        a.step().await;
        b.step().await;
    }
    let first = a.held("x").unwrap();
    assert_eq!(b.held("x"), None);
    assert_eq!(b.others(), [(a.id().unwrap(), "http://x".to_owned())]);
    let mut places = [a.place().unwrap(), b.place().unwrap()];
    places.sort_unstable();
    assert_eq!(places, [(0, 2), (1, 2)]);
    a.leave().await;
    assert_eq!(a.place(), None);
    assert_eq!(a.held("x"), None);
    for _ in 0..2 {
        b.step().await;
    }
    assert!(b.held("x").unwrap() > first);
    assert_eq!(b.shown().unwrap().leases["x"].0, *b.id().unwrap());
}

#[tokio::test]
async fn one_that_was_held_up_loses_it_and_comes_back_as_another() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let (a, b) = (central(&store), central(&store));
    a.held("x");
    for _ in 0..2 {
        a.step().await;
        b.held("x");
        b.step().await;
    }
    let (before, fence) = (a.id().unwrap(), a.held("x").unwrap());
    looked_before(&b, DEAD);
    // It lives after all: the deletion is of a version that is not any more.
    a.step().await;
    b.step().await;
    b.step().await;
    assert_eq!((a.held("x"), b.held("x")), (Some(fence), None));

    held_up(&a, HELD);
    assert_eq!((a.held("x"), a.id()), (None, None), "by its own clock it is over before the others take it");
    looked_before(&b, DEAD);
    for _ in 0..3 {
        b.step().await;
    }
    assert!(b.held("x").unwrap() > fence);
    a.step().await;
    a.step().await;
    assert_eq!(a.held("x"), None);
    assert_ne!(a.id().unwrap(), before);
}

#[tokio::test]
async fn a_host_is_one_agents_wherever_it_reports_to() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let (a, b) = (central(&store), central(&store));
    assert!(matches!(a.claim("h", "one", false).await, Err(NotClaimed::Unknown(_))), "nobody knows it yet");
    a.step().await;
    b.step().await;
    a.claim("h", "one", false).await.unwrap();
    a.claim("h", "one", true).await.unwrap();
    assert_eq!(b.claim("h", "two", true).await, Err(NotClaimed::Anothers("one".into())));
    // It takes its claim along, there and back.
    b.claim("h", "one", false).await.unwrap();
    assert_eq!(a.let_go(|_| true).await, Ok(()), "it is the other's");
    assert_eq!(a.claim("h", "two", false).await, Err(NotClaimed::Anothers("one".into())));
    a.claim("h", "one", false).await.unwrap();
    a.let_go(|host| host == "h").await.unwrap();
    b.let_go(|_| true).await.unwrap();
    b.claim("h", "two", false).await.unwrap();
    b.leave().await;
    a.claim("h", "one", false).await.unwrap();
}

#[test]
fn a_late_write_of_a_former_holder_changes_nothing() {
    let mut body = Body::new();
    let set = |n: u64| move |body: &mut Body| drop(body.insert("n".into(), n.into()));
    fenced(&mut body, "x", Fence(7), set(1));
    fenced(&mut body, "x", Fence(6), set(2));
    fenced(&mut body, "y", Fence(6), set(3));
    assert_eq!(Value::Object(body.clone()), json!({"n": 3, "fences": {"x": 7, "y": 6}}));
    fenced(&mut body, "x", Fence(8), set(3));
    assert_eq!(body["fences"], json!({"x": 7, "y": 6}), "nothing was changed");
    fenced(&mut body, "x", Fence::ALONE, set(4));
    assert_eq!((&body["n"], &body["fences"]), (&json!(4), &json!({"x": 7, "y": 6})));
}

#[tokio::test]
async fn who_is_alone_holds_everything() {
    let alone = Leases::alone();
    assert_eq!((alone.held("x"), alone.is_in_touch()), (Some(Fence::ALONE), true));
    assert!(alone.claim("h", "one", false).await.is_ok() && alone.shown().is_none());
    assert_eq!(alone.place(), Some((0, 1)));
}

/// A store that is played: documents with versions that grow.
#[derive(Default)]
struct Played {
    documents: BTreeMap<String, (u64, Body)>,
    writes: u64,
}

impl Played {
    fn write(&mut self, write: &Write) -> bool {
        let now = self.documents.get(&write.id).map(|(rev, _)| Rev(rev.to_string()));
        if now != write.expected {
            return false;
        }
        self.writes += 1;
        match &write.body {
            Some(body) => drop(self.documents.insert(write.id.clone(), (self.writes, body.clone()))),
            None => drop(self.documents.remove(&write.id)),
        }
        true
    }

    fn look(&self) -> Look {
        let mut look = Look::default();
        for (id, (rev, body)) in &self.documents {
            look.take(&Document { id: id.clone(), rev: Rev(rev.to_string()), body: body.clone() });
        }
        look
    }
}

/// What a central does in a run: for so long (ms) nothing, then it renews, looks, or writes what it made of its look.
#[derive(Clone, Copy, Debug)]
struct Step {
    who: usize,
    after: u64,
    what: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3_usize, prop_oneof![0..300_u64, 0..9000_u64], 0..3_u8);
    proptest::collection::vec(step.prop_map(|(who, after, what)| Step { who, after, what }), 1..200)
}

proptest! {
    /// Whoever is held up between any two steps, for however long: never do two hold it, and fences only grow.
    #[test]
    fn never_do_two_hold_it(steps in steps()) {
        let (mut store, start, mut time) = (Played::default(), Moment::now(), 0);
        let mut tables: [Table; 3] = Default::default();
        let (mut plans, mut lives): ([Vec<Write>; 3], [u32; 3]) = Default::default();
        let (wanted, mut greatest) = (BTreeSet::from(["x".to_owned()]), Fence::default());
        for Step { who, after, what } in steps {
            time += after;
            let now = Moment(start.0 + Duration::from_millis(time));
            let table = &mut tables[who];
            match what {
                0 => {
                    let id: Arc<str> = format!("{who}-{}", lives[who]).into();
                    let document = format!("{CENTRAL}{id}");
                    let rev = store.documents.get(&document).map(|(rev, _)| Rev(rev.to_string()));
                    if table.me.is_some() && rev.is_none() {
                        table.me = None;
                        lives[who] += 1;
                    } else {
                        store.write(&write(document, rev.as_ref(), Some(Body::new())));
                        table.me = Some((id, now));
                    }
                }
                1 => plans[who] = table.next(store.look(), &wanted, now, 0.0),
                _ => plans[who].drain(..).for_each(|write| { store.write(&write); }),
            }
            let holding: Vec<Fence> = tables.iter().filter_map(|table| table.held("x", now)).collect();
            prop_assert!(holding.len() <= 1, "{holding:?}");
            let duty = store.documents.get(&format!("{DUTY}x")).map(|(_, body)| body.clone());
            if let Some(Duty { fence, .. }) = duty.map(|body| serde_json::from_value(Value::Object(body)).unwrap()) {
                prop_assert!(fence >= greatest);
                greatest = fence;
            }
        }
    }
}
