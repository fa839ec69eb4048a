//! What a store has to do, and each store held to it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod couch;
mod feed;
mod killed;
#[path = "../couchdb/server.rs"]
mod server;
mod suite;

use std::sync::Arc;

use headroom_central::store::{Body, Change, Couch, Cursor, Database, Document, Rev, Sqlite, StateStore, Write, Written};
use serde_json::{Value, json};
use server::Databases;

/// Where a store is tested: empty at first.
trait Bed {
    /// The store as another start of the program would open it.
    async fn open(&self) -> Arc<dyn StateStore>;
}

struct Embedded(tempfile::TempDir);

impl Embedded {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Bed for Embedded {
    async fn open(&self) -> Arc<dyn StateStore> {
        Arc::new(Sqlite::open(&self.0.path().join("state.db")).unwrap())
    }
}

impl Bed for Databases<'_> {
    async fn open(&self) -> Arc<dyn StateStore> {
        Arc::new(Couch::open(&self.settings).await.unwrap())
    }
}

/// Holds every store to the whole suite.
macro_rules! conform {
    ($($part:ident: $($name:ident),+;)+) => {
        mod embedded {
            $($(
                #[tokio::test]
                async fn $name() {
                    crate::$part::$name(&crate::Embedded::new()).await;
                }
            )+)+
        }
        mod couchdb {
            $($(
                #[tokio::test]
                async fn $name() {
                    crate::$part::$name(&crate::Databases::new()).await;
                }
            )+)+
        }
    };
}

conform! {
    suite:
        what_is_made_can_be_read,
        there_is_nothing_before,
        a_new_document_must_not_be_there,
        an_update_needs_the_version_that_is_there,
        unknown_fields_survive_an_update,
        both_changes_survive_when_another_writer_was_first,
        a_deleted_document_is_gone_and_can_be_made_again,
        a_bulk_answers_each_write_by_itself,
        many_writers_at_once_lose_nothing,
        pages_go_past_a_thousand,
        names_of_any_kind_are_ids,
        many_are_read_at_once,
        databases_are_apart,
        everything_is_there_after_a_restart;
    feed:
        the_feed_tells_what_changed,
        each_document_comes_once_as_it_is_now,
        deletions_come_too,
        who_could_not_take_it_over_is_told_again,
        who_waits_is_woken,
        who_waits_in_vain_stays_where_it_was,
        a_long_feed_comes_in_parts,
        the_feed_goes_on_after_a_restart;
}

const DB: Database = Database::Structures;

fn body(value: Value) -> Body {
    match value {
        Value::Object(body) => body,
        other => panic!("{other} is no document"),
    }
}

fn write(id: &str, expected: Option<&Rev>, fields: Value) -> Write {
    Write { database: DB, id: id.into(), expected: expected.cloned(), body: Some(body(fields)) }
}

fn deletion(id: &str, expected: &Rev) -> Write {
    Write { database: DB, id: id.into(), expected: Some(expected.clone()), body: None }
}

/// Writes one document, which does not conflict.
async fn done(store: &dyn StateStore, write: Write) -> Rev {
    match store.write(vec![write]).await.unwrap().remove(0) {
        Written::Done(rev) => rev,
        other => panic!("{other:?}"),
    }
}

async fn read(store: &dyn StateStore, id: &str) -> Option<Document> {
    store.read(DB, id).await.unwrap()
}

fn number(document: &Document) -> u64 {
    document.body["n"].as_u64().unwrap()
}

fn numbered(n: usize) -> Value {
    json!({ "n": n })
}
