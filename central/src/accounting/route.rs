//! `GET /accounting`.

use std::collections::BTreeMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::bill::{Bill, csv};
use super::query::{Line, Wanted, together};
use crate::answer::{Answer, json};
use crate::central::{Central, wall};
use crate::series;
use crate::store::Database;

/// The keys that a request may have.
const KEYS: [&str; 7] = ["structure", "app", "user", "from", "to", "format", "details"];

/// What was used, allocated and reserved, and what it costs.
///
/// Of one container, one application, one user, or of all. A container's amounts are those of the application and the user that it belonged to
/// at the time. Times are seconds since the epoch, or lengths of time before now (`-90`, `-90s`, `-1h`, `-2d`). Amounts are told apart by five
/// minutes, older ones by the hour, then by the day; of those that are only partly asked for their part counts.
#[utoipa::path(
    get,
    path = "/accounting",
    tag = "accounting",
    params(
        ("structure" = Option<String>, Query, description = "A container"),
        ("app" = Option<String>, Query, description = "An application"),
        ("user" = Option<String>, Query, description = "A user"),
        ("from" = Option<String>, Query, description = "The beginning of the accounts if missing"),
        ("to" = Option<String>, Query, description = "Now if missing"),
        ("format" = Option<String>, Query, description = "`json` or `csv`; without it by the Accept header, else JSON"),
        ("details" = Option<bool>, Query, description = "Whether to list the containers too; usual where somebody is named, and always in CSV"),
    ),
    responses(
        (status = 200, description = "The amounts; as CSV a row a container, whom it belonged to, and resource", content(
            (Bill = "application/json"),
            (String = "text/csv"),
        )),
        (status = 400, description = "A key or a value makes no sense"),
        (status = 404, description = "There is none of this name, and there are no amounts of one"),
        (status = 503, description = "The accounts cannot be reached"),
    )
)]
pub async fn accounting(
    State(central): State<Central>,
    headers: HeaderMap,
    keys: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Response, Answer> {
    let Query(keys) = keys.map_err(|e| Answer::bad(e.body_text()))?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let asked = Asked::of(&keys, accept, wall())?;
    let others: Vec<Vec<Line>> = central.ask_others("/central/accounts", &asked.wanted.query()).await;
    let lines = if asked.wanted.names_anybody() || asked.as_csv || asked.details || !others.is_empty() {
        let own = central.ledger.lines(asked.wanted.clone()).await?;
        if others.is_empty() { own } else { together([vec![own], others].concat()) }
    } else {
        central.ledger.totals(asked.wanted.clone()).await?
    };
    let named = [
        ("structure", Database::Structures, &asked.wanted.structure),
        ("application", Database::Structures, &asked.wanted.application),
        ("user", Database::Users, &asked.wanted.user),
    ];
    for (kind, database, name) in named {
        if let Some(name) = name
            && lines.is_empty()
            && !central.documents.has(database, name)
        {
            return Err(Answer::missing(format!("there is no {kind} {name:?}, and there are no amounts of one")));
        }
    }
    let prices = &central.config.accounting;
    if asked.as_csv {
        let table = csv(&lines, prices).map_err(|e| Answer::failed(format!("cannot write CSV: {e}")))?;
        return Ok((StatusCode::OK, [(header::CONTENT_TYPE, "text/csv; charset=utf-8")], table).into_response());
    }
    Ok(json(StatusCode::OK, &Bill::of(&lines, &asked.wanted, prices, asked.details)))
}

#[derive(Debug, PartialEq)]
struct Asked {
    wanted: Wanted,
    as_csv: bool,
    details: bool,
}

impl Asked {
    fn of(keys: &BTreeMap<String, String>, accept: Option<&str>, now: f64) -> Result<Self, Answer> {
        if let Some(unknown) = keys.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(Answer::bad(format!("unknown key {unknown:?}, expected {}", KEYS.join(", "))));
        }
        let to = keys.get("to").map_or(Ok(now), |text| series::time("to", text, now))?;
        let from = keys.get("from").map_or(Ok(0.0), |text| series::time("from", text, now))?;
        if from > to {
            return Err(Answer::bad(format!("from {from} is later than to {to}")));
        }
        let name = |key: &str| keys.get(key).cloned();
        let wanted = Wanted { structure: name("structure"), application: name("app"), user: name("user"), from, to };
        let as_csv = match keys.get("format").map(String::as_str) {
            None => accept.is_some_and(|accept| accept.contains("text/csv")),
            Some("csv") => true,
            Some("json") => false,
            Some(other) => return Err(Answer::bad(format!("format is {other:?}, expected json or csv"))),
        };
        let details = match keys.get("details").map(String::as_str) {
            None => wanted.names_anybody(),
            Some("true") => true,
            Some("false") => false,
            Some(other) => return Err(Answer::bad(format!("details is {other:?}, expected true or false"))),
        };
        Ok(Self { wanted, as_csv, details })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(keys: &[(&str, &str)], accept: Option<&str>) -> Result<Asked, Answer> {
        Asked::of(&keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(), accept, 1000.0)
    }

    #[test]
    fn who_is_named_is_told_apart() {
        let all = asked(&[], Some("*/*")).unwrap();
        assert_eq!(all, Asked { wanted: Wanted { to: 1000.0, ..Wanted::default() }, as_csv: false, details: false });
        let app = asked(&[("app", "a/b"), ("from", "-10min")], Some("text/csv, */*")).unwrap();
        assert_eq!((app.wanted.application.as_deref(), app.wanted.from), (Some("a/b"), 400.0));
        assert!(app.as_csv && app.details);
        assert!(!asked(&[("format", "json")], Some("text/csv")).unwrap().as_csv);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (key, value, says) in [
            ("application", "a", "unknown key"),
            ("format", "xml", "json or csv"),
            ("details", "yes", "true or false"),
            ("to", "soon", "seconds since the epoch"),
            ("from", "2000", "later than"),
        ] {
            let error = asked(&[(key, value)], None).unwrap_err().message;
            assert!(error.contains(says), "{key}: {error}");
        }
    }
}
