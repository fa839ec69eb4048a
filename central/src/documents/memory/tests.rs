use serde_json::{Value, json};

use super::*;

const DB: Database = Database::Structures;

fn document(id: &str, rev: u32, name: &str) -> Document {
    let body = json!({"subtype": "application", "name": name, "rev": rev});
    Document { id: id.into(), rev: Rev(rev.to_string()), body: body.as_object().unwrap().clone() }
}

fn told(memory: &Memory, id: &str, document: Option<Document>) -> Taken {
    memory.take(&Change { database: DB, id: id.into(), document })
}

fn changed(names: &[&str]) -> Taken {
    Taken::Changed(names.iter().map(|&name| name.into()).collect())
}

fn rev(memory: &Memory, name: &str) -> Option<u64> {
    memory.body(DB, name)?["rev"].as_u64()
}

#[test]
fn the_feed_is_taken_over_in_its_order() {
    let memory = Memory::default();
    assert_eq!(told(&memory, "a", Some(document("a", 1, "a"))), changed(&["a"]));
    assert_eq!(told(&memory, "a", Some(document("a", 1, "a"))), Taken::Same);
    assert_eq!(told(&memory, "a", Some(document("a", 2, "a"))), changed(&["a"]));
    assert_eq!((rev(&memory, "a"), memory.names(DB)), (Some(2), vec!["a".to_owned()]));
    assert_eq!(told(&memory, "a", None), changed(&["a"]));
    assert_eq!((rev(&memory, "a"), memory.has(DB, "a")), (None, false));
    assert_eq!(told(&memory, "a", None), Taken::Same);
}

#[test]
fn what_we_wrote_is_not_undone_by_a_feed_that_lags() {
    let memory = Memory::default();
    told(&memory, "a", Some(document("a", 1, "a")));
    let seen = memory.seen(DB, "a");
    assert_eq!(memory.put(DB, "a", &seen, Some(document("a", 2, "a"))), Some(vec!["a".into()]));
    let seen = memory.seen(DB, "a");
    assert_eq!(memory.put(DB, "a", &seen, Some(document("a", 3, "a"))), Some(vec!["a".into()]));
    // The feed looked between the two.
    assert_eq!(told(&memory, "a", Some(document("a", 2, "a"))), Taken::Unsure);
    assert_eq!(rev(&memory, "a"), Some(3));
    assert_eq!(told(&memory, "a", Some(document("a", 3, "a"))), Taken::Same);
    // From here on the feed is believed again.
    assert_eq!(told(&memory, "a", Some(document("a", 4, "a"))), changed(&["a"]));
}

#[test]
fn what_we_deleted_does_not_come_back_by_a_feed_that_lags() {
    let memory = Memory::default();
    told(&memory, "a", Some(document("a", 1, "a")));
    let seen = memory.seen(DB, "a");
    assert_eq!(memory.put(DB, "a", &seen, None), Some(vec!["a".into()]));
    assert_eq!((memory.has(DB, "a"), memory.names(DB).len()), (false, 0));
    assert_eq!(told(&memory, "a", Some(document("a", 1, "a"))), Taken::Unsure);
    assert_eq!(told(&memory, "a", None), Taken::Same);
    assert_eq!(told(&memory, "a", Some(document("a", 5, "a"))), changed(&["a"]));
}

#[test]
fn the_feed_is_believed_again_once_the_store_was_asked() {
    let memory = Memory::default();
    let put = |seen: &Seen, document| memory.put(DB, "a", seen, document);
    let confirm = |document| memory.confirm(&Change { database: DB, id: "a".into(), document });
    put(&memory.seen(DB, "a"), Some(document("a", 1, "a"))).unwrap();
    // Another writer came after us.
    assert_eq!(told(&memory, "a", Some(document("a", 2, "a"))), Taken::Unsure);
    put(&memory.seen(DB, "a"), Some(document("a", 2, "a"))).unwrap();
    assert!(confirm(Some(document("a", 2, "a"))));
    assert_eq!(told(&memory, "a", Some(document("a", 3, "a"))), changed(&["a"]));

    // What is read may be newer than what was told: then the feed is still behind.
    put(&memory.seen(DB, "a"), Some(document("a", 4, "a"))).unwrap();
    assert_eq!(told(&memory, "a", Some(document("a", 5, "a"))), Taken::Unsure);
    put(&memory.seen(DB, "a"), Some(document("a", 6, "a"))).unwrap();
    assert!(!confirm(Some(document("a", 5, "a"))));
    assert_eq!((rev(&memory, "a"), told(&memory, "a", Some(document("a", 5, "a")))), (Some(6), Taken::Unsure));

    // It was deleted, and made again with the first version's number.
    assert_eq!(told(&memory, "a", None), Taken::Unsure);
    put(&memory.seen(DB, "a"), None).unwrap();
    assert!(confirm(None));
    assert_eq!((memory.has(DB, "a"), memory.ids(DB).len()), (false, 0), "nothing is kept of it");
    assert_eq!(told(&memory, "a", Some(document("a", 1, "a"))), changed(&["a"]));
}

#[test]
fn what_was_read_too_early_is_not_put() {
    let memory = Memory::default();
    let nothing = memory.seen(DB, "a");
    // It came and went meanwhile.
    told(&memory, "a", Some(document("a", 1, "a")));
    told(&memory, "a", None);
    assert_eq!(memory.put(DB, "a", &nothing, Some(document("a", 1, "a"))), None);
    told(&memory, "a", Some(document("a", 2, "a")));
    let second = memory.seen(DB, "a");
    told(&memory, "a", Some(document("a", 3, "a")));
    assert_eq!(memory.put(DB, "a", &second, Some(document("a", 2, "a"))), None);
    assert_eq!(rev(&memory, "a"), Some(3));
}

#[test]
fn ids_may_be_any_and_names_may_change() {
    let memory = Memory::default();
    told(&memory, "5f3a", Some(document("5f3a", 1, "cont0")));
    assert_eq!(memory.find(DB, "cont0").map(|found| found.id), Some("5f3a".into()));
    assert_eq!(told(&memory, "5f3a", Some(document("5f3a", 2, "cont1"))), changed(&["cont0", "cont1"]));
    assert_eq!((memory.has(DB, "cont0"), rev(&memory, "cont1")), (false, Some(2)));
}

#[test]
fn of_documents_of_one_name_one_counts_until_it_goes() {
    let memory = Memory::default();
    told(&memory, "x", Some(document("x", 1, "cont0")));
    assert_eq!(told(&memory, "y", Some(document("y", 2, "cont0"))), changed(&["cont0"]));
    assert_eq!((rev(&memory, "cont0"), memory.names(DB).len()), (Some(1), 1));
    let why = "the document \"x\" has its name, \"cont0\", already".to_owned();
    assert_eq!(memory.problems(), [Problem { database: "structures", id: "y".into(), why }]);
    assert_eq!(told(&memory, "x", None), changed(&["cont0"]));
    assert_eq!((rev(&memory, "cont0"), memory.problems().len()), (Some(2), 0));
    // One whose id is the name's goes before all others.
    told(&memory, "cont0", Some(document("cont0", 3, "cont0")));
    assert_eq!((rev(&memory, "cont0"), memory.names(DB).len(), memory.problems().len()), (Some(3), 1, 1));
}

#[test]
fn names_are_sorted_whatever_the_ids() {
    let memory = Memory::default();
    for (n, (id, name)) in [("z", "a"), ("b", "b"), (":_c", "_c"), ("a", "d"), ("::", ":")].into_iter().enumerate() {
        told(&memory, id, Some(document(id, u32::try_from(n).unwrap(), name)));
    }
    assert_eq!(memory.names(DB), [":", "_c", "a", "b", "d"]);
    let revs: Vec<u64> = memory.bodies(DB).iter().filter_map(|body| body["rev"].as_u64()).collect();
    assert_eq!(revs, [4, 2, 0, 1, 3]);
}

#[test]
fn a_document_without_a_name_is_reported_by_its_id() {
    let memory = Memory::default();
    let nameless = Document { id: "n".into(), rev: Rev("1".into()), body: Body::new() };
    assert_eq!(told(&memory, "n", Some(nameless)), changed(&[]));
    assert_eq!(memory.problems(), [Problem { database: "structures", id: "n".into(), why: "it has no name".into() }]);
    assert_eq!((memory.names(DB).len(), memory.ids(DB).len()), (0, 1));
}

#[test]
fn what_was_understood_last_stays_in_force() {
    let memory = Memory::default();
    let bad = |rev: u32, body: Value| {
        Some(Document { id: "a".into(), rev: Rev(rev.to_string()), body: body.as_object().unwrap().clone() })
    };
    let in_force = || memory.in_force(DB, "a").and_then(|body| body["rev"].as_u64());
    told(&memory, "a", Some(document("a", 1, "a")));
    told(&memory, "a", Some(document("a", 2, "a")));
    assert_eq!(in_force(), Some(2));
    for (rev, body) in
        [(3, json!({"name": "a", "subtype": "planet", "rev": 3})), (4, json!({"rev": 4})), (5, json!({"name": 7, "rev": 5}))]
    {
        told(&memory, "a", bad(rev, body));
        assert_eq!((in_force(), memory.all_in_force(DB).len(), memory.problems().len()), (Some(2), 1, 1));
    }
    told(&memory, "a", Some(document("a", 6, "a")));
    assert_eq!((in_force(), memory.all_in_force(DB).len(), memory.problems().len()), (Some(6), 1, 0));
    told(&memory, "a", bad(7, json!({"name": "a", "subtype": "planet"})));
    told(&memory, "a", None);
    assert_eq!((in_force(), memory.all_in_force(DB).len()), (None, 0));
    // One that never was understood.
    told(&memory, "a", bad(9, json!({"name": "a", "subtype": "planet"})));
    assert_eq!((in_force(), memory.all_in_force(DB).len(), memory.has(DB, "a")), (None, 0, true));
}
