//! Reading and writing.

use std::collections::BTreeSet;

use super::*;

pub(crate) async fn what_is_made_can_be_read(bed: &impl Bed) {
    let store = bed.open().await;
    let fields = json!({"name": "cont0", "n": 1.5, "deep": {"list": [1, null, "ü", true]}, "empty": {}});
    let rev = done(&*store, write("cont0", None, fields.clone())).await;
    let expected = Document { id: "cont0".into(), rev, body: body(fields) };
    assert_eq!(read(&*store, "cont0").await, Some(expected.clone()));
    assert_eq!(store.page(DB, None, 10).await, Ok(vec![expected]));
}

pub(crate) async fn there_is_nothing_before(bed: &impl Bed) {
    let store = bed.open().await;
    for database in Database::ALL {
        assert_eq!(store.read(database, "x").await, Ok(None));
        assert_eq!(store.page(database, None, 10).await, Ok(Vec::new()));
    }
    assert_eq!(store.write(Vec::new()).await, Ok(Vec::new()));
}

pub(crate) async fn a_new_document_must_not_be_there(bed: &impl Bed) {
    let store = bed.open().await;
    done(&*store, write("x", None, numbered(1))).await;
    assert_eq!(store.write(vec![write("x", None, numbered(2))]).await, Ok(vec![Written::Conflict]));
    assert_eq!(number(&read(&*store, "x").await.unwrap()), 1);
}

pub(crate) async fn an_update_needs_the_version_that_is_there(bed: &impl Bed) {
    let store = bed.open().await;
    let first = done(&*store, write("x", None, numbered(1))).await;
    let second = done(&*store, write("x", Some(&first), numbered(2))).await;
    assert_ne!(first, second);
    for stale in [write("x", Some(&first), numbered(3)), deletion("x", &first), write("y", Some(&first), numbered(3))] {
        assert_eq!(store.write(vec![stale]).await, Ok(vec![Written::Conflict]));
    }
    let now = read(&*store, "x").await.unwrap();
    assert_eq!((number(&now), now.rev, read(&*store, "y").await), (2, second, None));
}

pub(crate) async fn unknown_fields_survive_an_update(bed: &impl Bed) {
    let store = bed.open().await;
    done(&*store, write("x", None, json!({"guard": false, "theirs": {"deep": ["kept", 1]}, "null": null}))).await;
    let mut found = read(&*store, "x").await.unwrap();
    found.body.insert("guard".into(), json!(true));
    let update = Write { database: DB, id: found.id, expected: Some(found.rev), body: Some(found.body) };
    done(&*store, update).await;
    let now = Value::Object(read(&*store, "x").await.unwrap().body);
    assert_eq!(now, json!({"guard": true, "theirs": {"deep": ["kept", 1]}, "null": null}));
}

pub(crate) async fn both_changes_survive_when_another_writer_was_first(bed: &impl Bed) {
    let (ours, theirs) = (bed.open().await, bed.open().await);
    done(&*ours, write("x", None, json!({}))).await;
    let set = async |store: &dyn StateStore, mut found: Document, key: &str| {
        found.body.insert(key.into(), json!(1));
        let update = Write { database: DB, id: found.id, expected: Some(found.rev), body: Some(found.body) };
        store.write(vec![update]).await.unwrap().remove(0)
    };
    let we_read = read(&*ours, "x").await.unwrap();
    let they_read = read(&*theirs, "x").await.unwrap();
    assert!(matches!(set(&*theirs, they_read, "theirs").await, Written::Done(_)));
    assert_eq!(set(&*ours, we_read, "ours").await, Written::Conflict);
    let again = read(&*ours, "x").await.unwrap();
    assert!(matches!(set(&*ours, again, "ours").await, Written::Done(_)));
    assert_eq!(Value::Object(read(&*theirs, "x").await.unwrap().body), json!({"theirs": 1, "ours": 1}));
}

pub(crate) async fn a_deleted_document_is_gone_and_can_be_made_again(bed: &impl Bed) {
    let store = bed.open().await;
    let rev = done(&*store, write("x", None, numbered(1))).await;
    let gone = done(&*store, deletion("x", &rev)).await;
    assert_eq!((read(&*store, "x").await, store.page(DB, None, 10).await), (None, Ok(Vec::new())));
    assert_eq!(store.write(vec![write("x", Some(&rev), numbered(2))]).await, Ok(vec![Written::Conflict]));
    let anew = done(&*store, write("x", None, numbered(3))).await;
    assert!(anew != rev && anew != gone, "an old version does not come back: {rev:?} {gone:?} {anew:?}");
    assert_eq!(number(&read(&*store, "x").await.unwrap()), 3);
}

pub(crate) async fn a_bulk_answers_each_write_by_itself(bed: &impl Bed) {
    let store = bed.open().await;
    let rev = done(&*store, write("b", None, numbered(1))).await;
    let bulk = vec![
        write("a", None, numbered(2)),
        write("b", None, numbered(2)),
        write("c", Some(&rev), numbered(2)),
        write("b", Some(&rev), numbered(3)),
        write("d", None, numbered(2)),
    ];
    let written = store.write(bulk).await.unwrap();
    let is_done: Vec<bool> = written.iter().map(|written| matches!(written, Written::Done(_))).collect();
    assert_eq!(is_done, [true, false, false, true, true]);
    let all: Vec<(String, u64)> = store.page(DB, None, 10).await.unwrap().iter().map(|d| (d.id.clone(), number(d))).collect();
    assert_eq!(all, [("a".into(), 2), ("b".into(), 3), ("d".into(), 2)]);
    for (document, written) in store.page(DB, None, 10).await.unwrap().iter().zip([&written[0], &written[3], &written[4]]) {
        assert_eq!(*written, Written::Done(document.rev.clone()));
    }
}

pub(crate) async fn many_writers_at_once_lose_nothing(bed: &impl Bed) {
    let store = bed.open().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..20 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for n in 0..20 {
                done(&*store, write(&format!("{writer}-{n}"), None, numbered(n))).await;
            }
        });
    }
    writers.join_all().await;
    assert_eq!(store.page(DB, None, 1000).await.unwrap().len(), 400);
}

pub(crate) async fn pages_go_past_a_thousand(bed: &impl Bed) {
    let store = bed.open().await;
    let id = |n: usize| format!("c{n:05}");
    let written = store.write((0..2500).map(|n| write(&id(n), None, numbered(n))).collect()).await.unwrap();
    assert_eq!(written.len(), 2500);
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.page(DB, after.as_deref(), 1000).await.unwrap();
        assert!(page.len() <= 1000);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        seen.extend(page.into_iter().map(|document| document.id));
    }
    assert_eq!(seen, (0..2500).map(id).collect::<Vec<_>>(), "each once, in order");
    let between = store.page(DB, Some("c00010x"), 1).await.unwrap();
    assert_eq!(between[0].id, "c00011", "after an id that is not there");
}

pub(crate) async fn names_of_any_kind_are_ids(bed: &impl Bed) {
    let store = bed.open().await;
    let ids =
        ["a b", "a/b", "a%2Fb", "ünï-コンテナ", "quote\"'`", "semi;colon--", "?q=1&x#y", ":_design/x", "..", "a\\b", "A", "a"];
    for (n, id) in ids.iter().enumerate() {
        done(&*store, write(id, None, numbered(n))).await;
    }
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(number(&read(&*store, id).await.unwrap()), n as u64, "{id}");
    }
    let listed: BTreeSet<String> = store.page(DB, None, 100).await.unwrap().into_iter().map(|document| document.id).collect();
    assert_eq!(listed, ids.into_iter().map(str::to_owned).collect());
    let rev = read(&*store, "a/b").await.unwrap().rev;
    done(&*store, deletion("a/b", &rev)).await;
    assert_eq!((read(&*store, "a/b").await, read(&*store, "a%2Fb").await.is_some()), (None, true));
}

pub(crate) async fn many_are_read_at_once(bed: &impl Bed) {
    let store = bed.open().await;
    let ids = ["a b", "a/b", "ünï-コンテナ", "quote\"'", "..", "A", "a", "gone"];
    for (n, id) in ids.iter().enumerate() {
        done(&*store, write(id, None, numbered(n))).await;
    }
    let rev = read(&*store, "gone").await.unwrap().rev;
    done(&*store, deletion("gone", &rev)).await;
    let asked = ["..", "gone", "A", "never there", "a", "A", "ünï-コンテナ", "a/b", "quote\"'", "a b"].map(str::to_owned);
    let found = store.read_many(DB, &asked).await.unwrap();
    let mut one_by_one = Vec::new();
    for id in &asked {
        one_by_one.push(read(&*store, id).await);
    }
    assert_eq!(found, one_by_one);
    let numbers: Vec<Option<u64>> = found.iter().map(|found| found.as_ref().map(number)).collect();
    assert_eq!(numbers, [Some(4), None, Some(5), None, Some(6), Some(5), Some(2), Some(1), Some(3), Some(0)]);
}

pub(crate) async fn databases_are_apart(bed: &impl Bed) {
    let store = bed.open().await;
    for (n, database) in Database::ALL.into_iter().enumerate() {
        done(&*store, Write { database, ..write("same", None, numbered(n)) }).await;
    }
    for (n, database) in Database::ALL.into_iter().enumerate() {
        assert_eq!(number(&store.read(database, "same").await.unwrap().unwrap()), n as u64);
        assert_eq!(store.page(database, None, 10).await.unwrap().len(), 1);
    }
}

pub(crate) async fn everything_is_there_after_a_restart(bed: &impl Bed) {
    let store = bed.open().await;
    let rev = done(&*store, write("kept", None, numbered(1))).await;
    let gone = done(&*store, write("gone", None, numbered(2))).await;
    done(&*store, deletion("gone", &gone)).await;
    drop(store);
    let store = bed.open().await;
    assert_eq!(read(&*store, "kept").await.map(|document| document.rev), Some(rev.clone()));
    assert_eq!(read(&*store, "gone").await, None);
    let next = done(&*store, write("kept", Some(&rev), numbered(3))).await;
    assert!(![&rev, &gone].contains(&&next), "versions go on");
}
