//! Under which id a document of a name is kept, and by which name one finds a document.

use serde_json::Value;

use crate::store::{Body, Database};

/// The id that we give: the name, but CouchDB keeps ids that begin with `_` for itself.
pub(crate) fn id_of(name: &str) -> String {
    if name.starts_with(['_', ':']) { format!(":{name}") } else { name.to_owned() }
}

/// The name under which a document is found: its field `name`. Events and requests share names, they are found by their ids.
pub(crate) fn key_of(database: Database, id: &str, body: &Body) -> Result<String, String> {
    if matches!(database, Database::Events | Database::Requests) {
        return Ok(name_of(id).to_owned());
    }
    match body.get("name") {
        Some(Value::String(name)) if !name.is_empty() => Ok(name.clone()),
        Some(other) => Err(format!("its name is {other}, expected a text")),
        None => Err("it has no name".to_owned()),
    }
}

/// The name that an id of ours stands for.
pub(super) fn name_of(id: &str) -> &str {
    id.strip_prefix(':').filter(|name| name.starts_with(['_', ':'])).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_there_and_back_and_none_is_reserved() {
        for name in ["cont0", "_design/x", ":_design/x", ":a", "::", "a b/c", "_"] {
            let id = id_of(name);
            assert!(!id.starts_with('_'), "{name}");
            assert_eq!(name_of(&id), name);
        }
        assert_eq!((id_of("cont0"), name_of(":x")), ("cont0".into(), ":x"));
    }

    #[test]
    fn documents_are_found_by_name_but_events_by_id() {
        let body = Body::from_iter([("name".to_owned(), Value::from("CpuBottleneck"))]);
        assert_eq!(key_of(Database::Rules, "41b", &body).as_deref(), Ok("CpuBottleneck"));
        assert_eq!(key_of(Database::Events, "41b", &body).as_deref(), Ok("41b"));
        assert_eq!(key_of(Database::Rules, "41b", &Body::new()), Err("it has no name".to_owned()));
        let odd = Body::from_iter([("name".to_owned(), Value::from(7))]);
        assert_eq!(key_of(Database::Rules, "41b", &odd), Err("its name is 7, expected a text".to_owned()));
    }
}
