//! Documents over the embedded store, with another writer beside us.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::answer::Answer;
use crate::store::{Sqlite, Write, Written};

const DB: Database = Database::Structures;

struct Bed {
    documents: Arc<Documents>,
    /// What another writer has.
    store: Arc<dyn StateStore>,
    _directory: tempfile::TempDir,
}

impl Bed {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn StateStore> = Arc::new(Sqlite::open(&directory.path().join("state.db")).unwrap());
        let documents = Documents::open(Arc::clone(&store)).await.unwrap();
        Self { documents, store, _directory: directory }
    }

    /// Another writer sets a field.
    async fn others_set(&self, id: &str, key: &str, value: Value) {
        let found = self.store.read(DB, id).await.unwrap();
        let (expected, mut body) = found.map_or((None, application(id)), |d| (Some(d.rev), d.body));
        body.insert(key.into(), value);
        let write = Write { database: DB, id: id.into(), expected, body: Some(body) };
        assert!(matches!(self.store.write(vec![write]).await.unwrap()[..], [Written::Done(_)]));
    }

    async fn catch_up(&self) {
        // A store tells of so many at once.
        loop {
            self.documents.advance(Duration::ZERO).await.unwrap();
            let told = self.documents.cursor.lock().clone();
            if told == self.store.end().await.unwrap() {
                break;
            }
        }
    }
}

fn application(name: &str) -> Body {
    json!({"subtype": "application", "name": name, "kept": {"deep": [1]}}).as_object().unwrap().clone()
}

fn set(key: &'static str, value: Value) -> impl Fn(&mut Body) -> Result<(), Answer> + Send + Sync {
    move |body| {
        body.insert(key.into(), value.clone());
        Ok(())
    }
}

#[tokio::test]
async fn what_is_made_is_there_and_outlives_us() {
    let bed = Bed::new().await;
    for name in ["cont0", "_design/x", "a b/ü", ":"] {
        bed.documents.create(DB, name, application(name)).await.unwrap();
        let again = bed.documents.create(DB, name, application(name)).await.unwrap_err();
        assert!(again.is_there_already(), "{again}");
    }
    let anew = Documents::open(Arc::clone(&bed.store)).await.unwrap();
    assert_eq!(anew.names(DB), [":", "_design/x", "a b/ü", "cont0"]);
    assert_eq!(anew.body(DB, "_design/x"), Some(application("_design/x")));
    bed.documents.remove(DB, "_design/x").await.unwrap();
    assert!(!bed.documents.has(DB, "_design/x"));
    assert_eq!(bed.documents.remove(DB, "_design/x").await.unwrap_err().status, 404);
    bed.documents.create(DB, "_design/x", application("_design/x")).await.unwrap();
}

#[tokio::test]
async fn both_changes_survive() {
    let bed = Bed::new().await;
    bed.documents.create(DB, "app", application("app")).await.unwrap();
    // We do not know of this one yet.
    bed.others_set("app", "other", json!(1)).await;
    bed.documents.edit(DB, "app", set("ours", json!(2))).await.unwrap();
    let body = bed.documents.body(DB, "app").unwrap();
    assert_eq!((&body["other"], &body["ours"], &body["kept"]), (&json!(1), &json!(2), &json!({"deep": [1]})));
    assert_eq!(bed.store.read(DB, "app").await.unwrap().unwrap().body, body);
}

#[tokio::test]
async fn what_others_deleted_is_not_edited_and_can_be_made_again() {
    let bed = Bed::new().await;
    bed.documents.create(DB, "app", application("app")).await.unwrap();
    let rev = bed.store.read(DB, "app").await.unwrap().unwrap().rev;
    let write = Write { database: DB, id: "app".into(), expected: Some(rev), body: None };
    bed.store.write(vec![write]).await.unwrap();
    assert_eq!(bed.documents.edit(DB, "app", set("x", json!(1))).await.unwrap_err().status, 404);
    bed.documents.create(DB, "app", application("app")).await.unwrap();
    bed.catch_up().await;
    assert!(bed.documents.has(DB, "app"));
}

#[tokio::test]
async fn what_others_made_is_there_already() {
    let bed = Bed::new().await;
    bed.others_set("app", "other", json!(1)).await;
    assert!(bed.documents.create(DB, "app", application("app")).await.unwrap_err().is_there_already());
    assert_eq!(bed.documents.body(DB, "app").unwrap()["other"], 1);
}

#[tokio::test]
async fn a_hundred_writers_of_one_document_lose_nothing() {
    let bed = Bed::new().await;
    bed.documents.create(DB, "app", application("app")).await.unwrap();
    let follower = tokio::spawn(Arc::clone(&bed.documents).follow());
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..100_u32 {
        let documents = Arc::clone(&bed.documents);
        writers.spawn(async move {
            let add = |body: &mut Body| {
                body.insert(format!("n{n}"), n.into());
                Ok(())
            };
            documents.edit(DB, "app", add).await
        });
    }
    for outcome in writers.join_all().await {
        outcome.unwrap();
    }
    let body = bed.documents.body(DB, "app").unwrap();
    assert_eq!((0..100).filter(|n| body.contains_key(&format!("n{n}"))).count(), 100);
    follower.abort();
}

/// Adds one to a number in a document.
fn count(key: &'static str) -> impl Fn(&mut Body) -> Result<(), Answer> + Send + Sync {
    move |body| {
        let before = body.get(key).and_then(Value::as_u64).unwrap_or(0);
        body.insert(key.into(), json!(before + 1));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_is_made_once_whoever_else_writes() {
    let bed = Bed::new().await;
    bed.documents.create(DB, "app", application("app")).await.unwrap();
    let follower = tokio::spawn(Arc::clone(&bed.documents).follow());
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let documents = Arc::clone(&bed.documents);
        writers.spawn(async move {
            for _ in 0..20 {
                documents.edit(DB, "app", count("ours")).await.unwrap();
            }
        });
    }
    let store = Arc::clone(&bed.store);
    writers.spawn(async move {
        let mut done = 0;
        while done < 50 {
            let Document { id, rev, mut body } = store.read(DB, "app").await.unwrap().unwrap();
            count("theirs")(&mut body).unwrap();
            let write = Write { database: DB, id, expected: Some(rev), body: Some(body) };
            done += usize::from(store.write(vec![write]).await.unwrap() != [Written::Conflict]);
        }
    });
    while let Some(outcome) = writers.join_next().await {
        outcome.unwrap();
    }
    let stored = bed.store.read(DB, "app").await.unwrap().unwrap().body;
    assert_eq!((&stored["ours"], &stored["theirs"]), (&json!(200), &json!(50)));
    bed.catch_up().await;
    assert_eq!(bed.documents.body(DB, "app"), Some(stored));
    follower.abort();
}

#[tokio::test]
async fn who_goes_away_halfway_hinders_nobody() {
    let bed = Bed::new().await;
    bed.documents.create(DB, "app", application("app")).await.unwrap();
    for n in 0..50_u64 {
        let leaving = bed.documents.edit(DB, "app", count("left"));
        let staying = bed.documents.edit(DB, "app", set("n", json!(n)));
        // It is polled once, and dropped wherever it is by then.
        let leaving = tokio::time::timeout(Duration::from_micros(n * 40), leaving);
        let (_, stayed) = tokio::join!(leaving, staying);
        stayed.unwrap();
        assert_eq!(bed.documents.body(DB, "app").unwrap()["n"], n);
    }
}

#[tokio::test]
async fn nothing_changed_is_nothing_written() {
    let bed = Bed::new().await;
    bed.documents.create(DB, "app", application("app")).await.unwrap();
    let before = bed.store.end().await.unwrap();
    bed.documents.edit(DB, "app", set("kept", json!({"deep": [1]}))).await.unwrap();
    let nothing: Edit = (DB, "app".into(), Box::new(|_| {}));
    assert_eq!(bed.documents.edit_many(vec![nothing]).await, Ok(0));
    assert_eq!(bed.store.end().await.unwrap(), before);
}

#[tokio::test]
async fn subscribers_hear_of_ours_and_of_others() {
    let bed = Bed::new().await;
    let mut changes = bed.documents.subscribe();
    bed.documents.create(DB, "ours", application("ours")).await.unwrap();
    bed.others_set("other", "x", json!(1)).await;
    bed.catch_up().await;
    let mut heard = Vec::new();
    while let Ok(changed) = changes.try_recv() {
        heard.push(changed.name.to_string());
    }
    assert_eq!(heard, ["ours", "other"], "each once, though the feed tells of ours too");
}

#[tokio::test]
async fn a_bulk_takes_what_others_changed_into_account() {
    let bed = Bed::new().await;
    for name in ["a", "b", "c"] {
        bed.documents.create(DB, name, application(name)).await.unwrap();
    }
    bed.others_set("b", "other", json!(1)).await;
    let edit = |name: &str| -> Edit {
        let usage = |body: &mut Body| {
            body.insert("usage".into(), 7.into());
        };
        (DB, name.into(), Box::new(usage))
    };
    assert_eq!(bed.documents.edit_many(["a", "b", "gone", "c"].map(edit).into()).await, Ok(3));
    let b = bed.documents.body(DB, "b").unwrap();
    assert_eq!((&b["usage"], &b["other"]), (&json!(7), &json!(1)));
}

#[tokio::test]
async fn everything_is_read_again_when_the_feed_is_lost() {
    let bed = Bed::new().await;
    for name in ["kept", "gone"] {
        bed.documents.create(DB, name, application(name)).await.unwrap();
    }
    bed.catch_up().await;
    bed.others_set("new", "x", json!(1)).await;
    let rev = bed.store.read(DB, "gone").await.unwrap().unwrap().rev;
    bed.store.write(vec![Write { database: DB, id: "gone".into(), expected: Some(rev), body: None }]).await.unwrap();
    *bed.documents.cursor.lock() = Cursor("lost".into());
    bed.catch_up().await;
    assert_eq!(bed.documents.names(DB), ["kept", "new"]);
}

#[tokio::test]
async fn documents_are_found_by_a_name_that_stands_in_them() {
    let bed = Bed::new().await;
    for (name, member) in [("a", "x\"ü"), ("b", "x"), ("c", "xx"), ("d", "x")] {
        let body = json!({"subtype": "application", "name": name, "containers": [member]});
        bed.documents.create(DB, name, body.as_object().unwrap().clone()).await.unwrap();
    }
    let found = |name| bed.documents.naming(DB, name).iter().map(|body| body["name"].clone()).collect::<Value>();
    assert_eq!((found("x"), found("x\"ü"), found("y")), (json!(["b", "d"]), json!(["a"]), json!([])));
}

/// A store that counts what is asked of it.
#[derive(Debug)]
struct Counted {
    store: Arc<dyn StateStore>,
    read: AtomicUsize,
    read_many: AtomicUsize,
}

#[async_trait]
impl StateStore for Counted {
    async fn read(&self, database: Database, id: &str) -> Result<Option<Document>, StoreError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.store.read(database, id).await
    }

    async fn read_many(&self, database: Database, ids: &[String]) -> Result<Vec<Option<Document>>, StoreError> {
        self.read_many.fetch_add(1, Ordering::Relaxed);
        self.store.read_many(database, ids).await
    }

    async fn page(&self, database: Database, after: Option<&str>, limit: usize) -> Result<Vec<Document>, StoreError> {
        self.store.page(database, after, limit).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<Vec<Written>, StoreError> {
        self.store.write(writes).await
    }

    async fn end(&self) -> Result<Cursor, StoreError> {
        self.store.end().await
    }

    async fn changes(&self, since: &Cursor, wait: Duration) -> Result<(Vec<Change>, Cursor), StoreError> {
        self.store.changes(since, wait).await
    }
}

#[tokio::test]
async fn what_may_be_older_is_read_together_and_once() {
    const MANY: usize = PAGE + 50;
    let directory = tempfile::tempdir().unwrap();
    let sqlite: Arc<dyn StateStore> = Arc::new(Sqlite::open(&directory.path().join("state.db")).unwrap());
    let store = Arc::new(Counted { store: Arc::clone(&sqlite), read: AtomicUsize::new(0), read_many: AtomicUsize::new(0) });
    let documents = Documents::open(Arc::clone(&store) as Arc<dyn StateStore>).await.unwrap();
    let bed = Bed { documents, store: sqlite, _directory: directory };
    let asked = || (store.read.load(Ordering::Relaxed), store.read_many.load(Ordering::Relaxed));
    let names: Vec<String> = (0..MANY).map(|n| format!("app{n}")).collect();
    for name in &names {
        bed.documents.create(DB, name, application(name)).await.unwrap();
    }
    for round in 1..=3 {
        for name in &names {
            bed.others_set(name, "round", json!(round)).await;
        }
        bed.catch_up().await;
        let is_known = |name: &String| bed.documents.body(DB, name).unwrap()["round"] == json!(round);
        assert!(names.iter().all(is_known), "{round}");
        // From then on the feed is believed.
        assert_eq!(asked(), (0, 2), "{round}");
    }

    // We write what others have changed: it conflicts, and is read together.
    for name in &names {
        bed.others_set(name, "other", json!(1)).await;
    }
    let ours = |name: &String| -> Edit {
        let set = |body: &mut Body| {
            body.insert("ours".into(), json!(2));
        };
        (DB, name.clone(), Box::new(set))
    };
    assert_eq!(bed.documents.edit_many(names.iter().map(ours).collect()).await, Ok(MANY));
    assert_eq!(asked(), (0, 4));
    let both = |name: &String| {
        let body = bed.documents.body(DB, name).unwrap();
        body["other"] == json!(1) && body["ours"] == json!(2)
    };
    assert!(names.iter().all(both));
}
