//! The feed of changes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;

const AT_ONCE: Duration = Duration::ZERO;

/// Far longer than any change takes to be told: what waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything after a place in the feed.
async fn rest(store: &dyn StateStore, since: &Cursor) -> (Vec<Change>, Cursor) {
    let (mut all, mut cursor) = (Vec::new(), since.clone());
    loop {
        let (changes, next) = store.changes(&cursor, AT_ONCE).await.unwrap();
        if changes.is_empty() {
            return (all, cursor);
        }
        all.extend(changes);
        cursor = next;
    }
}

fn ids(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| change.id.as_str()).collect()
}

pub(crate) async fn the_feed_tells_what_changed(bed: &impl Bed) {
    let store = bed.open().await;
    done(&*store, write("before", None, numbered(0))).await;
    let start = store.end().await.unwrap();
    assert!(rest(&*store, &start).await.0.is_empty());
    let rev = done(&*store, write("x", None, numbered(1))).await;
    done(&*store, Write { database: Database::Rules, ..write("rule", None, numbered(2)) }).await;
    let (mut changes, _) = rest(&*store, &start).await;
    changes.sort_by_key(|change| change.database);
    assert_eq!((ids(&changes), changes[1].database), (vec!["x", "rule"], Database::Rules), "in whatever order");
    let expected = Document { id: "x".into(), rev, body: body(numbered(1)) };
    assert_eq!(changes[0], Change { database: DB, id: "x".into(), document: Some(expected) });
}

pub(crate) async fn each_document_comes_once_as_it_is_now(bed: &impl Bed) {
    let store = bed.open().await;
    let start = store.end().await.unwrap();
    let mut rev = done(&*store, write("x", None, numbered(0))).await;
    done(&*store, write("y", None, numbered(7))).await;
    for n in 1..5 {
        rev = done(&*store, write("x", Some(&rev), numbered(n))).await;
    }
    let (changes, _) = rest(&*store, &start).await;
    let told: BTreeMap<&str, u64> = changes.iter().map(|c| (c.id.as_str(), number(c.document.as_ref().unwrap()))).collect();
    assert_eq!((changes.len(), told), (2, BTreeMap::from([("x", 4), ("y", 7)])));
}

pub(crate) async fn deletions_come_too(bed: &impl Bed) {
    let store = bed.open().await;
    let rev = done(&*store, write("x", None, numbered(0))).await;
    let start = store.end().await.unwrap();
    done(&*store, deletion("x", &rev)).await;
    let (changes, after) = rest(&*store, &start).await;
    assert_eq!(changes, [Change { database: DB, id: "x".into(), document: None }]);
    done(&*store, write("x", None, numbered(1))).await;
    let (changes, _) = rest(&*store, &after).await;
    assert_eq!(changes.iter().filter_map(|c| c.document.as_ref()).map(number).collect::<Vec<_>>(), [1]);
}

pub(crate) async fn who_waits_is_woken(bed: &impl Bed) {
    let store = bed.open().await;
    let start = store.end().await.unwrap();
    let asked = Instant::now();
    let (told, ()) = tokio::join!(store.changes(&start, PATIENCE), async {
        done(&*store, write("x", None, numbered(1))).await;
    });
    assert_eq!(ids(&told.unwrap().0), ["x"]);
    assert!(asked.elapsed() < PATIENCE, "not because its time was up");
}

pub(crate) async fn who_could_not_take_it_over_is_told_again(bed: &impl Bed) {
    let store = bed.open().await;
    let start = store.end().await.unwrap();
    done(&*store, write("x", None, numbered(1))).await;
    for _ in 0..3 {
        let asked = Instant::now();
        assert_eq!(ids(&store.changes(&start, PATIENCE).await.unwrap().0), ["x"]);
        assert!(asked.elapsed() < PATIENCE, "not because its time was up");
    }
}

pub(crate) async fn who_waits_in_vain_stays_where_it_was(bed: &impl Bed) {
    let store = bed.open().await;
    let start = store.end().await.unwrap();
    let (none, cursor) = store.changes(&start, Duration::from_millis(50)).await.unwrap();
    assert!(none.is_empty());
    done(&*store, write("x", None, numbered(1))).await;
    assert_eq!(ids(&rest(&*store, &cursor).await.0), ["x"]);
}

pub(crate) async fn a_long_feed_comes_in_parts(bed: &impl Bed) {
    let store = bed.open().await;
    let start = store.end().await.unwrap();
    store.write((0..2500).map(|n| write(&format!("c{n}"), None, numbered(n))).collect()).await.unwrap();
    let (changes, end) = rest(&*store, &start).await;
    let mut told: Vec<u64> = changes.iter().filter_map(|c| c.document.as_ref()).map(number).collect();
    told.sort_unstable();
    assert_eq!(told, (0..2500).collect::<Vec<_>>());
    assert!(rest(&*store, &end).await.0.is_empty());
}

pub(crate) async fn the_feed_goes_on_after_a_restart(bed: &impl Bed) {
    let store = bed.open().await;
    done(&*store, write("x", None, numbered(0))).await;
    let place = store.end().await.unwrap();
    done(&*store, write("y", None, numbered(1))).await;
    drop(store);
    let store = bed.open().await;
    done(&*store, write("z", None, numbered(2))).await;
    let (mut changes, _) = rest(&*store, &place).await;
    changes.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(ids(&changes), ["y", "z"]);
}
