//! `GET /timeseries`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Keys, State};
use axum::http::StatusCode;
use axum::response::Response;
use headroom_model::number;
use headroom_model::resource::Resource;
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::{Field, Kind, Metric, Owner, Query};
use crate::answer::{Answer, json};
use crate::central::{Central, wall};
use crate::store::Database;

const HOUR: f64 = 3600.0;

/// The keys that a request may have.
const KEYS: [&str; 8] = ["structure", "user", "service", "resource", "field", "from", "to", "step"];

/// The series of one structure, user or service.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Series {
    /// Whose it is: `{"structure": "cont0"}`, `{"user": "user0"}` or `{"service": "guardian"}`.
    pub tags: BTreeMap<&'static str, String>,
    /// Seconds since the epoch.
    #[serde(serialize_with = "number::serialize")]
    pub from: f64,
    /// Seconds since the epoch.
    #[serde(serialize_with = "number::serialize")]
    pub to: f64,
    /// Length in s of what one point stands for; 0: points are samples as they were taken.
    #[serde(serialize_with = "number::serialize")]
    pub step: f64,
    /// When each point's sample was taken, or its step began: seconds since the epoch, ascending.
    #[schema(value_type = Vec<f64>)]
    pub times: Numbers,
    /// For each metric a value at each of the times, in its resource's unit; null where there is none. `structure.<res>.usage_peak` is the
    /// greatest usage within a step, everything else the mean.
    #[schema(value_type = BTreeMap<String, Vec<Option<f64>>>)]
    pub metrics: BTreeMap<String, Numbers>,
}

/// Numbers without a fraction where they have none; null where there is none.
#[derive(Debug)]
pub struct Numbers(Vec<Option<f64>>);

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Plain(#[serde(serialize_with = "number::option::serialize")] Option<f64>);
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for number in &self.0 {
            list.serialize_element(&Plain(*number))?;
        }
        list.end()
    }
}

/// What was kept of one structure, user or service, at the pace it was taken or rolled up.
///
/// Times are seconds since the epoch, or lengths of time before now (`-90`, `-90s`, `-5min`, `-1h`, `-2d`). Without a step samples are answered up to
/// six hours, minutes up to a fortnight, hours beyond. Where what is asked for is not kept any more, the next coarser that is stands in its place.
#[utoipa::path(
    get,
    path = "/timeseries",
    tag = "series",
    params(
        ("structure" = Option<String>, Query, description = "A container, an application or a host; one of structure, user, service is needed"),
        ("user" = Option<String>, Query, description = "A user"),
        ("service" = Option<String>, Query, description = "A service: its settings"),
        ("resource" = Option<String>, Query, description = "`cpu`, `mem`, ..; separated by commas; all if missing"),
        ("field" = Option<String>, Query, description = "`usage`, `current`, `upper`, `lower`, `max`, `min`, `free`; separated by commas; all if missing"),
        ("from" = Option<String>, Query, description = "An hour before `to` if missing"),
        ("to" = Option<String>, Query, description = "Now if missing"),
        ("step" = Option<String>, Query, description = "Seconds, or a length such as `5s`, `1min`, `1h`; `0` or `raw`: the samples as they were taken"),
    ),
    responses(
        (status = 200, description = "What is kept", body = Series),
        (status = 400, description = "A key or a value makes no sense, or that would be too many points"),
        (status = 404, description = "There is none of this name"),
        (status = 503, description = "The series cannot be reached"),
    )
)]
pub async fn timeseries(
    State(central): State<Central>,
    keys: Result<Keys<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Response, Answer> {
    let Keys(keys) = keys.map_err(|e| Answer::bad(e.body_text()))?;
    let query = query(&keys, wall())?;
    let Query { owner, from, to, step, .. } = query.clone();
    let points = central.series.query(query).await?;
    let (database, kind) = match owner.kind {
        Kind::Structure => (Database::Structures, "structure"),
        Kind::User => (Database::Users, "user"),
        Kind::Service => (Database::Services, "service"),
    };
    if points.times.is_empty() && !central.documents.has(database, &owner.name) {
        return Err(Answer::missing(format!("there is no {kind} {:?}, and no series of one", owner.name)));
    }
    let metrics = points.columns.into_iter().map(|(metric, values)| (metric.name(), Numbers(values))).collect();
    let times = Numbers(points.times.into_iter().map(Some).collect());
    let tags = BTreeMap::from([(owner.kind.key(), owner.name.to_string())]);
    Ok(json(StatusCode::OK, &Series { tags, from, to, step, times, metrics }))
}

fn query(keys: &BTreeMap<String, String>, now: f64) -> Result<Query, Answer> {
    if let Some(unknown) = keys.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(Answer::bad(format!("unknown key {unknown:?}, expected {}", KEYS.join(", "))));
    }
    let mut owners = Kind::ALL.into_iter().filter_map(|kind| Some((kind, keys.get(kind.key())?)));
    let (Some((kind, name)), None) = (owners.next(), owners.next()) else {
        return Err(Answer::bad("one of structure, user and service is needed, and only one"));
    };
    let to = keys.get("to").map_or(Ok(now), |text| time("to", text, now))?;
    let from = keys.get("from").map_or(Ok(to - HOUR), |text| time("from", text, now))?;
    if from > to {
        return Err(Answer::bad(format!("from {from} is later than to {to}")));
    }
    let step = keys.get("step").map_or_else(|| Ok(usual_step(to - from)), |text| step(text))?;
    let metrics = match kind {
        Kind::Service => Metric::settings_of(name).map(|(_, metric)| metric).collect(),
        Kind::Structure | Kind::User => metrics(keys)?,
    };
    Ok(Query { owner: Owner { kind, name: name.as_str().into() }, metrics, from, to, step })
}

/// A time, or how long before now it was.
pub(crate) fn time(key: &str, text: &str, now: f64) -> Result<f64, Answer> {
    let before = |text: &str| length(text).or_else(|| text.parse().ok()).map(|before: f64| now - before);
    let time = text.strip_prefix('-').map_or_else(|| text.parse().ok(), before);
    let time = time.filter(|time: &f64| time.is_finite() && time.abs() < 1e11);
    let expected = "seconds since the epoch, or a length of time before now such as -90, -90s, -5min, -1h or -2d";
    time.ok_or_else(|| Answer::bad(format!("{key} is {text:?}, expected {expected}")))
}

fn length(text: &str) -> Option<f64> {
    let text = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    crate::config::duration(text).ok().map(|length: Duration| length.as_secs_f64())
}

fn step(text: &str) -> Result<f64, Answer> {
    let step = if text == "raw" { Some(0.0) } else { text.parse().ok().or_else(|| length(text)) };
    step.filter(|step: &f64| *step == 0.0 || (0.001..1e10).contains(step)).ok_or_else(|| {
        Answer::bad(format!("step is {text:?}, expected seconds, a length of time such as 5s, 1min or 1h, or raw"))
    })
}

fn usual_step(length: f64) -> f64 {
    if length <= 6.0 * HOUR {
        0.0
    } else if length <= 14.0 * 24.0 * HOUR {
        60.0
    } else {
        HOUR
    }
}

fn metrics(keys: &BTreeMap<String, String>) -> Result<Vec<Metric>, Answer> {
    let list = |key: &str| keys.get(key).map(|text| text.split(',').map(str::trim).filter(|t| !t.is_empty()).collect::<Vec<_>>());
    let resources = list("resource").map_or(Ok(Resource::ALL.to_vec()), |names| {
        names.into_iter().map(|name| name.parse().map_err(|e| Answer::bad(format!("resource: {e}")))).collect()
    })?;
    let known = Field::ALL.map(Field::key).join(", ");
    let fields = list("field").map_or(Ok(Field::ALL.to_vec()), |names| {
        let field = |name| Field::of_key(name).ok_or_else(|| Answer::bad(format!("unknown field {name:?}, expected {known}")));
        names.into_iter().map(field).collect()
    })?;
    let of = |resource| {
        let peak = fields.contains(&Field::Usage).then(|| Metric::peak(resource));
        fields.iter().map(move |field| Metric::of(resource, *field)).chain(peak)
    };
    Ok(resources.into_iter().flat_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(keys: &[(&str, &str)]) -> Result<Query, Answer> {
        query(&keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(), 1_000_000.0)
    }

    #[test]
    fn what_is_not_said_is_usual() {
        let query = asked(&[("structure", "cont0")]).unwrap();
        assert_eq!((query.from, query.to, query.step), (996_400.0, 1_000_000.0, 0.0));
        assert_eq!(query.metrics.len(), 48);
        let query =
            asked(&[("structure", "a/b c"), ("resource", "cpu, mem"), ("field", "usage,upper"), ("from", "-2d")]).unwrap();
        assert_eq!((query.from, query.step, &*query.owner.name), (827_200.0, 60.0, "a/b c"));
        let names: Vec<String> = query.metrics.iter().map(|m| m.name()).collect();
        let cpu = ["structure.cpu.usage", "limit.cpu.upper", "structure.cpu.usage_peak"];
        assert_eq!((&names[..3], names.len()), (&cpu.map(str::to_owned)[..], 6));
        assert_eq!(asked(&[("service", "scaler"), ("step", "1h")]).unwrap().metrics.len(), 2);
        assert_eq!(asked(&[("user", "u"), ("from", "0"), ("to", "5.5"), ("step", "raw")]).unwrap().to, 5.5);
        assert_eq!(asked(&[("user", "u"), ("from", "0")]).unwrap().step, 60.0);
        assert_eq!(asked(&[("user", "u"), ("from", "-90"), ("to", "-0.5")]).unwrap().from, 999_910.0);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (keys, says) in [
            (&[][..], "one of structure, user and service"),
            (&[("structure", "a"), ("user", "b")], "only one"),
            (&[("structure", "a"), ("resorce", "cpu")], "unknown key \"resorce\""),
            (&[("structure", "a"), ("resource", "disk")], "unknown resource \"disk\""),
            (&[("structure", "a"), ("field", "used")], "unknown field \"used\""),
            (&[("structure", "a"), ("from", "yesterday")], "from is \"yesterday\""),
            (&[("structure", "a"), ("from", "NaN")], "from is \"NaN\""),
            (&[("structure", "a"), ("from", "2000000")], "later than"),
            (&[("structure", "a"), ("step", "-5")], "step is \"-5\""),
            (&[("structure", "a"), ("step", "inf")], "step is \"inf\""),
        ] {
            let error = format!("{:?}", asked(keys).unwrap_err());
            assert!(error.replace('\\', "").contains(says), "{keys:?}: {error}");
        }
    }
}
