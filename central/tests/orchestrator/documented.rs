//! The changes that docs/fleet.md shows are taken as they stand there.

use serde_json::{Value, json};

use crate::support::{Server, documents};

/// The paths and bodies of the `curl -X PUT` lines, in their order.
fn puts(text: &str) -> Vec<(&str, Value)> {
    let commands = text.split("curl -X PUT localhost:5000").skip(1);
    let put = |command| {
        let command: &str = command;
        // A body is in single quotes, and may go over several lines.
        let line = command.lines().next().unwrap();
        match line.split_once(" -d '") {
            Some((path, _)) => {
                let body = command.split('\'').nth(1).unwrap();
                (path, serde_json::from_str(body).unwrap_or_else(|e| panic!("{path}: {e}: {body}")))
            }
            None => (line.trim(), json!({})),
        }
    };
    commands.map(put).collect()
}

#[test]
fn what_the_documentation_shows_is_taken() {
    let mut start = documents();
    // Those that the documentation makes.
    for (kind, made) in [("structures", "app1"), ("limits", "app1")] {
        start[kind].as_array_mut().unwrap().retain(|document| document["name"] != made);
    }
    let server = Server::with(&start);
    let puts = puts(include_str!("../../../docs/fleet.md"));
    assert!(puts.len() >= 9, "{puts:?}");
    for (path, body) in puts {
        server.put(path, &body).is_done(path);
    }
    assert_eq!(server.shows("/user/ann")["clusters"], json!(["app1"]));
    assert_eq!(server.shows("/structure/app1")["containers"], json!(["cont0"]));
}
