use serde_json::json;

use super::*;
use crate::store::Sqlite;

fn store() -> (tempfile::TempDir, Sqlite) {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&directory.path().join("state.db")).unwrap();
    (directory, store)
}

#[tokio::test]
async fn a_new_database_has_the_profiles_rules_and_services() {
    for (profile, window) in [(Profile::Classic, json!(10)), (Profile::Responsive, json!(0.1))] {
        let (_directory, store) = store();
        assert_eq!(fill(&store, profile).await.unwrap(), 18 + 5);
        let file = export(&store).await.unwrap();
        let names: Vec<&str> = file["services"].as_array().unwrap().iter().filter_map(|s| s["name"].as_str()).collect();
        assert_eq!(names, ["database_snapshoter", "guardian", "refeeder", "scaler", "structures_snapshoter"]);
        let guardian = &file["services"][1];
        assert_eq!((&guardian["type"], &guardian["heartbeat"]), (&json!("service"), &json!("")));
        assert_eq!(guardian["config"]["WINDOW_TIMELAPSE"], window);
        assert_eq!((&file["rules"][0]["name"], &file["rules"][0]["type"]), (&json!("CpuRescaleDown"), &json!("rule")));
        assert_eq!(fill(&store, profile).await.unwrap(), 0, "once only");
    }
}

#[tokio::test]
async fn what_people_have_stays() {
    let (_directory, store) = store();
    let file = json!({"rules": [{"name": "mine"}], "services": [{"name": "guardian", "config": {"WINDOW_TIMELAPSE": 3}}]});
    load(&store, &file.to_string()).await.unwrap();
    assert_eq!(fill(&store, Profile::Classic).await.unwrap(), 4, "the other services");
    let file = export(&store).await.unwrap();
    assert_eq!(file["rules"], json!([{"name": "mine"}]));
    assert_eq!(file["services"][1]["config"], json!({"WINDOW_TIMELAPSE": 3}));
}

#[tokio::test]
async fn what_goes_out_comes_in_again() {
    let (_directory, first) = store();
    fill(&first, Profile::Responsive).await.unwrap();
    let more = json!({
        "structures": [{"type": "structure", "subtype": "application", "name": "_design/x", "x": [1, null]}],
        "limits": [{"name": "a/b ü", "resources": {"cpu": {"boundary": "25"}}}],
        "users": [{"name": "user0", "clusters": []}],
    });
    assert_eq!(load(&first, &more.to_string()).await.unwrap(), 3);
    let out = export(&first).await.unwrap();
    let (_directory, second) = store();
    assert_eq!(load(&second, &out.to_string()).await.unwrap(), 18 + 5 + 3);
    assert_eq!(export(&second).await.unwrap(), out);
}

#[tokio::test]
async fn documents_are_replaced_whole_and_others_stay() {
    let (_directory, store) = store();
    let app = |name: &str, key: &str| json!({"subtype": "application", "name": name, key: 1});
    load(&store, &json!({"structures": [app("a", "old"), app("b", "old")]}).to_string()).await.unwrap();
    let mut again = app("a", "new");
    again["_id"] = json!("ffff");
    again["_rev"] = json!("3-abc");
    load(&store, &json!({"structures": [again]}).to_string()).await.unwrap();
    assert_eq!(export(&store).await.unwrap()["structures"], json!([app("a", "new"), app("b", "old")]));
}

#[tokio::test]
async fn a_document_is_found_by_its_name_whatever_its_id() {
    let (_directory, store) = store();
    let body = json!({"name": "user0", "old": 1}).as_object().unwrap().clone();
    let write = Write { database: Database::Users, id: "5f3a".into(), expected: None, body: Some(body) };
    store.write(vec![write]).await.unwrap();
    load(&store, &json!({"users": [{"name": "user0", "new": 1}]}).to_string()).await.unwrap();
    let found = store.read(Database::Users, "5f3a").await.unwrap().unwrap();
    assert_eq!(Value::Object(found.body), json!({"name": "user0", "new": 1}));
    assert_eq!(store.read(Database::Users, "user0").await.unwrap(), None);
}

#[tokio::test]
async fn a_wrong_file_is_not_loaded_at_all() {
    let (_directory, store) = store();
    let table = [
        (json!([]), "expected an object with structures, limits, rules, services, users, requests"),
        (
            json!({"events": []}),
            "\"events\" is no database of a file; expected structures, limits, rules, services, users, requests",
        ),
        (json!({"rules": {}}), "rules is no list; expected one of documents"),
        (json!({"rules": [7]}), "rules[0]: expected a document, which is an object"),
        (json!({"rules": [{"name": "a"}, {"nme": "b"}]}), "rules[1]: it has no name"),
        (json!({"rules": [{"name": "a"}, {"name": "a"}]}), "rules[1]: \"a\" is there twice"),
        (json!({"rules": [{"name": "a"}], "users": [{"name": 5}]}), "users[0]: its name is 5, expected a text"),
    ];
    for (file, expected) in table {
        let error = load(&store, &file.to_string()).await.unwrap_err().to_string();
        assert_eq!(error, format!("{expected}; nothing was loaded"), "{file}");
    }
    assert_eq!(export(&store).await.unwrap()["rules"], json!([]));
    assert!(load(&store, "{").await.unwrap_err().to_string().starts_with("it is no JSON"));
    // It may be another program's: it is loaded, and reported.
    let odd = json!({"structures": [{"subtype": "planet", "name": "x"}]}).to_string();
    assert_eq!(load(&store, &odd).await.unwrap(), 1);
}
