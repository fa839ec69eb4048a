//! A State Database that cannot be written.

use serde_json::json;

use crate::support::Server;

#[test]
fn what_cannot_be_written_is_answered_with_503_and_was_not_made() {
    let server = Server::start();
    let before = server.everything();
    // Another process that does not let go of the file.
    let other = rusqlite::Connection::open(server.state_dir().join("state.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let limits = json!({"resources": {"cpu": {"boundary": 5}, "mem": {"boundary": 5}}});
    let amounts = json!({"max": 100, "min": 0, "guard": false});
    let app = json!({"name": "new", "guard": false, "subtype": "application", "resources": {"cpu": amounts, "mem": amounts}});
    let table = [
        ("/structure/cont0/guard", json!({})),
        ("/rule/CpuRescaleUp/amount", json!({"value": 80})),
        ("/service/guardian/ACTIVE", json!({"value": false})),
        ("/structure/apps/new", json!({"app": app, "limits": limits})),
    ];
    std::thread::scope(|scope| {
        for (path, body) in &table {
            let server = &server;
            scope.spawn(move || {
                let message = server.put(path, body).error(503);
                assert!(message.contains("the State Database cannot be reached"), "{path}: {message}");
                assert!(message.contains("the change was not made"), "{path}: {message}");
            });
        }
        // Who only looks does not wait for it.
        assert_eq!(server.everything(), before);
    });
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(server.everything(), before);
    server.does("/structure/cont0/guard");
    assert_eq!(server.restart().shows("/structure/cont0")["guard"], true);
}
