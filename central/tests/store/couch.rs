//! What is CouchDB's alone.

use std::time::{Duration, Instant};

use headroom_central::store::{CouchSettings, StoreError};

use super::*;
use crate::server::{Server, curl};

const PATIENCE: Duration = Duration::from_secs(20);

async fn open(settings: &CouchSettings) -> Couch {
    Couch::open(settings).await.unwrap()
}

#[tokio::test]
async fn only_databases_that_are_missing_are_made() {
    let databases = Databases::new();
    assert_eq!(databases.curl("PUT", "rules", None).0, 201);
    assert_eq!(databases.curl("PUT", "rules/theirs", Some(&json!({"name": "theirs"}))).0, 201);
    assert_eq!(Couch::is_there(&databases.settings).await, Ok(false));
    let store = open(&databases.settings).await;
    assert_eq!(Couch::is_there(&databases.settings).await, Ok(true));
    assert!(store.read(Database::Rules, "theirs").await.unwrap().is_some());
    for database in Database::ALL {
        let (status, all) = databases.curl("GET", &format!("{database}/_all_docs"), None);
        let expected = usize::from(database == Database::Rules);
        assert_eq!((status, all["rows"].as_array().unwrap().len()), (200, expected), "{database}");
    }
}

#[tokio::test]
async fn design_documents_are_not_ours() {
    let databases = Databases::new();
    let store = open(&databases.settings).await;
    let start = store.end().await.unwrap();
    let views = json!({"views": {"all": {"map": "function(doc) { emit(doc._id); }"}}});
    for name in ["a", "b", "c"] {
        assert_eq!(databases.curl("PUT", &format!("structures/_design/{name}"), Some(&views)).0, 201);
    }
    for id in ["A", "z"] {
        done(&store, write(id, None, numbered(1))).await;
    }
    for limit in 1..4 {
        let page = store.page(DB, None, limit).await.unwrap();
        assert_eq!(page.iter().map(|d| d.id.as_str()).collect::<Vec<_>>(), ["A", "z"][..limit.min(2)], "of {limit}");
    }
    assert_eq!(store.read(DB, "_design/a").await, Ok(None));
    let (changes, _) = store.changes(&start, Duration::ZERO).await.unwrap();
    assert_eq!(changes.len(), 2, "{changes:?}");
}

#[tokio::test]
async fn what_others_write_is_told_at_once() {
    let databases = Databases::new();
    let store = open(&databases.settings).await;
    let start = store.end().await.unwrap();
    let asked = Instant::now();
    let (told, _) = tokio::join!(store.changes(&start, PATIENCE), async {
        tokio::task::yield_now().await;
        databases.curl("PUT", "users/ann", Some(&json!({"name": "ann", "of": "theirs"})))
    });
    let (changes, cursor) = told.unwrap();
    assert!(asked.elapsed() < PATIENCE);
    assert_eq!(
        (changes[0].database, changes[0].document.as_ref().unwrap().body["of"].clone()),
        (Database::Users, json!("theirs"))
    );
    // The other six are still being asked.
    done(&store, write("x", None, numbered(1))).await;
    let (changes, _) = store.changes(&cursor, PATIENCE).await.unwrap();
    assert_eq!((changes.len(), changes[0].database), (1, DB));
}

#[tokio::test]
async fn a_database_that_is_made_anew_is_told_of() {
    let databases = Databases::new();
    let store = open(&databases.settings).await;
    done(&store, write("before", None, numbered(1))).await;
    let start = store.end().await.unwrap();
    let (told, ()) = tokio::join!(store.changes(&start, PATIENCE), async {
        // CouchDB tells the second in which a database was made.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(databases.curl("DELETE", "structures", None).0, 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(databases.curl("PUT", "structures", None).0, 201);
        assert_eq!(databases.curl("PUT", "structures/after", Some(&json!({"n": 2}))).0, 201);
    });
    assert!(matches!(&told, Err(StoreError::Refused(why)) if why.contains("made again")), "{told:?}");
    let end = store.end().await.unwrap();
    let page = store.page(DB, None, 10).await.unwrap();
    assert_eq!(page.iter().map(|document| document.id.as_str()).collect::<Vec<_>>(), ["after"]);
    done(&store, write("later", None, numbered(3))).await;
    assert_eq!(store.changes(&end, PATIENCE).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_shown_once() {
    let server = Server::start(&[]);
    let databases = Databases::on(&server);
    let file = databases.settings.credentials_file.clone().unwrap();
    std::fs::write(&file, "admin:wrong").unwrap();
    for _ in 0..10 {
        let refused = Couch::open(&databases.settings).await.unwrap_err().to_string();
        assert!(refused.contains("name and password") && !refused.contains("wrong"), "{refused}");
        // The same program keeps to it; another start of it has one try.
        if server.curl("GET", "_test/wrong", None).1 == json!(2) {
            break;
        }
    }
    assert_eq!(server.curl("GET", "_test/wrong", None).1, json!(2));
    std::fs::write(&file, "admin:right").unwrap();
    let store = open(&databases.settings).await;
    done(&store, write("x", None, numbered(1))).await;

    // It is changed under the running service: a session has to be made anew, and is tried once, however many ask.
    server.curl("PUT", "_test/password", Some(&json!({"password": "new"})));
    for n in 0..20 {
        let refused = store.write(vec![write(&format!("y{n}"), None, numbered(1))]).await.unwrap_err();
        assert!(refused.to_string().contains("not tried again for"), "{refused}");
    }
    assert!(store.troubles().iter().any(|trouble| trouble.what == "writing" && trouble.why.contains("password")));
    let wrong = || curl(&server.url, Some(("admin", "new")), "GET", "_test/wrong", None).1;
    assert_eq!(wrong(), json!(3));
    std::fs::write(&file, "admin:new").unwrap();
    done(&store, write("y", None, numbered(1))).await;
    assert_eq!((wrong(), store.troubles()), (json!(3), Vec::new()));
}

#[tokio::test]
async fn sessions_that_run_out_are_made_anew() {
    let server = Server::start(&[("SESSION_MS", "2000")]);
    let databases = Databases::on(&server);
    let store = open(&databases.settings).await;
    for n in 0..3 {
        tokio::time::sleep(Duration::from_millis(2100)).await;
        done(&store, write(&format!("x{n}"), None, numbered(n))).await;
    }
    assert_eq!(server.curl("GET", "_test/wrong", None).1, json!(0));
}

#[tokio::test]
async fn attachments_survive_an_update() {
    let databases = Databases::new();
    let store = open(&databases.settings).await;
    let with = json!({"n": 1, "_attachments": {"a.txt": {"content_type": "text/plain", "data": "aGVhZHJvb20="}}});
    assert_eq!(databases.curl("PUT", "structures/x", Some(&with)).0, 201);
    let mut found = read(&store, "x").await.unwrap();
    found.body.insert("n".into(), json!(2));
    done(&store, Write { database: DB, id: found.id, expected: Some(found.rev), body: Some(found.body) }).await;
    let (_, now) = databases.curl("GET", "structures/x?attachments=true", None);
    assert_eq!((&now["n"], &now["_attachments"]["a.txt"]["data"]), (&json!(2), &json!("aGVhZHJvb20=")));
}
