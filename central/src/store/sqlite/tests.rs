//! What only this store has: deletions that are forgotten. Everything else is in the suite that all stores are held to.

use serde_json::json;

use super::*;
use crate::store::{Body, Rev};

fn write(id: &str, expected: Option<Rev>, body: Option<Body>) -> Write {
    Write { database: Database::Events, id: id.into(), expected, body }
}

fn body(n: usize) -> Body {
    Body::from_iter([("n".to_owned(), json!(n))])
}

async fn done(store: &Sqlite, writes: Vec<Write>) -> Vec<Rev> {
    let rev = |written| match written {
        Written::Done(rev) => rev,
        other => panic!("{other:?}"),
    };
    store.write(writes).await.unwrap().into_iter().map(rev).collect()
}

#[tokio::test]
async fn deletions_are_forgotten_in_time_and_a_feed_that_lags_so_far_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&directory.path().join("state.db")).unwrap();
    let start = store.end().await.unwrap();
    let first = done(&store, vec![write("first", None, Some(body(0)))]).await.remove(0);
    done(&store, vec![write("first", Some(first), None)]).await;
    for bulk in 0..11 {
        done(&store, (0..10_000).map(|n| write(&format!("{bulk}-{n}"), None, Some(body(n)))).collect()).await;
    }
    let kept: i64 = store
        .ask(|connection| connection.query_row("SELECT COUNT(*) FROM documents WHERE id = 'first'", [], |row| row.get(0)))
        .await
        .unwrap();
    assert_eq!(kept, 0, "its row has gone");
    let late = store.changes(&start, Duration::ZERO).await.unwrap_err();
    assert_eq!(late, StoreError::Refused("the feed does not reach back to 0: read everything again".into()));
    assert!(store.changes(&store.end().await.unwrap(), Duration::ZERO).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn another_process_may_write_to_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let (ours, other) = (Sqlite::open(&path).unwrap(), Sqlite::open(&path).unwrap());
    let since = ours.end().await.unwrap();
    let wait = ours.changes(&since, Duration::from_secs(20));
    let writes = done(&other, vec![write("theirs", None, Some(body(1)))]);
    let (changes, revs) = tokio::join!(wait, writes);
    let (changes, _) = changes.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].document.as_ref().map(|d| &d.rev), Some(&revs[0]));
}

#[tokio::test]
async fn a_feed_begins_where_the_store_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&directory.path().join("state.db")).unwrap();
    for nonsense in ["", "x", "7"] {
        let answer = store.changes(&Cursor(nonsense.into()), Duration::ZERO).await;
        assert!(matches!(answer, Err(StoreError::Refused(_))), "{nonsense:?}: {answer:?}");
    }
}

#[test]
fn files_that_are_not_ours_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    drop(Sqlite::open(&path).unwrap());
    drop(Sqlite::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    let later = Sqlite::open(&path).unwrap_err().to_string();
    assert!(later.contains("state.db: it is of version 7, and this program knows version 1"), "{later}");
    let other = directory.path().join("other.db");
    std::fs::write(&other, "this is no database, whatever its name says".repeat(100)).unwrap();
    let other = Sqlite::open(&other).unwrap_err().to_string();
    assert!(other.contains("other.db: ") && other.contains("not a database"), "{other}");
    assert!(matches!(Sqlite::open(&directory.path().join("no/where.db")), Err(StoreError::Unreachable(_))));
}

#[test]
fn what_is_committed_is_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let connection = schema::open(&directory.path().join("state.db")).unwrap();
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    // 2 is FULL: the log is synced with each commit.
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), synchronous), ("wal", 2));
}
