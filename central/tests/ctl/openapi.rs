//! `/openapi.json` is what is checked in, and what central really answers.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::bed::Central;

const FILE: &str = include_str!("../../../docs/openapi.json");

/// Where routes are made. What they name is to be in the document.
const SOURCES: [&str; 7] = [
    include_str!("../../src/orchestrator.rs"),
    include_str!("../../src/agents.rs"),
    include_str!("../../src/audit.rs"),
    include_str!("../../src/serve/fleet.rs"),
    include_str!("../../src/series.rs"),
    include_str!("../../src/accounting.rs"),
    include_str!("../../src/peers/routes.rs"),
];

const METHODS: [&str; 4] = ["get", "put", "post", "delete"];

#[test]
fn the_file_is_the_document() {
    let made = headroom_central::openapi::document().to_pretty_json().unwrap();
    let how = "docs/openapi.json is not the document; write it anew: cargo run -p headroom-central --example openapi > docs/openapi.json";
    assert!(made.trim() == FILE.trim(), "{how}");
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let central = Central::start(directory.path(), "");
    assert_eq!(central.get("/openapi.json"), serde_json::from_str::<Value>(FILE).unwrap());
    let document: Value = serde_json::from_str(FILE).unwrap();
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths {
        // Nobody has these names, so nothing is done.
        let asked = path.replace('{', "no-").replace('}', "");
        // A resource or a parameter could be called so: then it can be read.
        let is_name_too = path.contains("/resources/") && (path.ends_with("/guard") || path.ends_with("/unguard"));
        for method in METHODS.into_iter().filter(|method| *method != "get" || !is_name_too) {
            let (status, text) = central.send(&method.to_uppercase(), &asked, None, "");
            let is_answered = status != 405 && !text.contains("there is no path");
            assert_eq!(is_answered, item[method].is_object(), "{method} {path}: {status} {text}");
        }
    }
    let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    for source in SOURCES {
        let named = source.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/') && text.len() > 1);
        for path in named.filter(|path| !path.contains(' ')) {
            assert!(described.contains(path.trim_end_matches('/')), "{path} is not in the document");
        }
    }
}
