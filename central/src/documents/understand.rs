//! Whether a document makes sense. One that does not is left as it is and reported by its id.

use std::fmt;

use headroom_model::documents::event::Event;
use headroom_model::documents::limits::Limits;
use headroom_model::documents::request::Request;
use headroom_model::documents::rule::Rule;
use headroom_model::documents::service::Service;
use headroom_model::documents::structure::Structure;
use headroom_model::policy::rules::RuleSet;
use headroom_model::settings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::name::key_of;
use crate::requests;
use crate::store::{Body, Database};

/// A document that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it is.
    pub database: &'static str,
    /// Its id.
    pub id: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, id, why } = self;
        write!(f, "{database}/{id}: {why}")
    }
}

/// What is wrong with a document, if anything is.
pub(crate) fn problem(database: Database, id: &str, body: &Body) -> Option<String> {
    if let Err(why) = key_of(database, id, body) {
        return Some(why);
    }
    match database {
        Database::Structures => fails::<Structure>(body),
        Database::Limits => fails::<Limits>(body),
        Database::Rules => fails::<Rule>(body).or_else(|| useless(body)),
        Database::Services => fails::<Service>(body).or_else(|| senseless(body)),
        Database::Users | Database::Centrals => None,
        Database::Events => fails::<Event>(body),
        // Why one was refused stands in it.
        Database::Requests if requests::is_settled(body) => None,
        Database::Requests => fails::<Request>(body),
    }
}

fn fails<T: DeserializeOwned>(body: &Body) -> Option<String> {
    serde_json::from_value::<T>(Value::Object(body.clone())).err().map(|e| e.to_string())
}

/// A rule that is to be judged and cannot be.
fn useless(body: &Body) -> Option<String> {
    let rule: Rule = serde_json::from_value(Value::Object(body.clone())).ok()?;
    RuleSet::compile(&[rule]).problems().first().map(|problem| problem.why.clone())
}

/// A setting that makes no sense, put there past the Orchestrator.
fn senseless(body: &Body) -> Option<String> {
    let service = settings::Service::of_name(body.get("name")?.as_str()?)?;
    let config = body.get("config")?.as_object()?;
    config.iter().find_map(|(key, value)| service.check(key, value).err()).map(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn why(database: Database, body: &Value) -> Option<String> {
        problem(database, "x", body.as_object().unwrap())
    }

    #[test]
    fn what_is_lenient_is_understood() {
        let host = json!({"subtype": "host", "name": "h", "resources": {"cpu": {"max": "400", "free": 0}}});
        assert_eq!(why(Database::Structures, &host), None);
        let old = json!({"name": "CpuRescaleUp", "rescale_by": "amount", "amount": "75"});
        assert_eq!(why(Database::Rules, &old), None);
        assert_eq!(why(Database::Services, &json!({"name": "rebalancer", "config": {"ACTIVE": "perhaps"}})), None);
        assert_eq!(why(Database::Services, &json!({"name": "guardian", "heartbeat": ""})), None);
    }

    #[test]
    fn what_is_not_says_why() {
        let table = [
            (Database::Structures, json!({"subtype": "planet", "name": "x"}), "unknown variant `planet`"),
            (
                Database::Structures,
                json!({"subtype": "container", "name": "x", "resources": {"cpu": {"max": "lots"}}}),
                "resources.cpu: \"lots\" is not a number",
            ),
            (Database::Limits, json!({"name": "x", "resources": {"cpu": {"boundary_type": "wide"}}}), "unknown boundary_type"),
            (Database::Services, json!({"name": "guardian", "config": {"ACTIVE": "perhaps"}}), "expected true or false"),
            (Database::Rules, json!({"name": "x", "resource": "cpu", "generates": "requests", "active": true}), ""),
            (Database::Users, json!({}), "it has no name"),
        ];
        for (database, body, expected) in table {
            let why = why(database, &body).unwrap_or_default();
            assert!(why.contains(expected), "{body}: {why:?}");
        }
    }
}
