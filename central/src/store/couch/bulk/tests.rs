use super::*;

fn write(id: &str, expected: Option<&str>, body: Option<Value>) -> Write {
    let body = body.map(|body| body.as_object().unwrap().clone());
    Write { database: Database::Rules, id: id.into(), expected: expected.map(|rev| Rev(rev.into())), body }
}

fn chosen(writes: &[Write], known: &[Known]) -> Option<Vec<usize>> {
    let texts: Vec<String> = writes.iter().map(text).collect();
    choose(writes, &texts, known)
}

#[test]
fn documents_go_with_their_version_and_without_what_is_couchdbs() {
    let body = json!({"n": 1.5, "_foo": 1, "_attachments": {"a": {"stub": true}}});
    let sent: Value = serde_json::from_str(&text(&write("x", Some("1-a"), Some(body)))).unwrap();
    assert_eq!(sent, json!({"_id": "x", "_rev": "1-a", "n": 1.5, "_attachments": {"a": {"stub": true}}}));
    let sent: Value = serde_json::from_str(&text(&write("x", Some("1-a"), None))).unwrap();
    assert_eq!(sent, json!({"_id": "x", "_rev": "1-a", "_deleted": true}));
}

#[test]
fn no_document_is_twice_in_a_request_and_none_is_too_much() {
    let small = |id: &str| write(id, None, Some(json!({})));
    let writes = [small("a"), small("b"), small("a"), small("c")];
    let mut known = [None, None, None, None];
    assert_eq!(chosen(&writes, &known), Some(vec![0, 1, 3]));
    known = [Some(Written::Conflict), Some(Written::Conflict), None, Some(Written::Conflict)];
    assert_eq!(chosen(&writes, &known), Some(vec![2]));
    known[2] = Some(Written::Conflict);
    assert_eq!(chosen(&writes, &known), None);
    let large = |id: &str| write(id, None, Some(json!({"x": "x".repeat(LONGEST)})));
    assert_eq!(chosen(&[large("a"), large("b")], &[None, None]), Some(vec![0]));
    let many: Vec<Write> = (0..=TOGETHER).map(|n| small(&n.to_string())).collect();
    assert_eq!(chosen(&many, &vec![None; many.len()]).map(|chosen| chosen.len()), Some(TOGETHER));
}

#[test]
fn what_couchdb_says_of_a_document() {
    let said = |text: Value| of(serde_json::from_value(text).unwrap());
    assert_eq!(said(json!({"ok": true, "id": "x", "rev": "1-a"})), Some(Written::Done(Rev("1-a".into()))));
    let conflict = json!({"id": "x", "error": "conflict", "reason": "Document update conflict."});
    assert_eq!(said(conflict), Some(Written::Conflict));
    let forbidden = json!({"id": "x", "error": "forbidden", "reason": "not on Sundays"});
    assert_eq!(said(forbidden), Some(Written::Refused("forbidden: not on Sundays".into())));
    assert_eq!(said(json!({"id": "x", "error": "internal_server_error", "reason": null})), None);
}

#[test]
fn what_we_wrote_is_recognized_however_its_numbers_are_written() {
    let body = |value: Value| value.as_object().unwrap().clone();
    let written = body(json!({"n": 1.0, "deep": [{"x": 2}]}));
    assert!(alike_bodies(&body(json!({"n": 1, "deep": [{"x": 2.0}]})), &written));
    assert!(!alike_bodies(&body(json!({"n": 1.5, "deep": [{"x": 2.0}]})), &written));
    assert!(!alike_bodies(&body(json!({"n": 1})), &written));
}
