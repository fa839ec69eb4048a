//! `/timeseries` out of OpenTSDB.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::Client;
use super::points::{stamp, tag_value};
use crate::series::{Metric, Points, Query, SeriesError};

/// The most numbers of one answer.
const MOST: usize = 1_000_000;

/// One question a metric: OpenTSDB refuses the whole of a question that names a metric which it has never seen.
pub(super) fn query(client: &Client, query: &Query) -> Result<Points, SeriesError> {
    let mut columns: Vec<(Metric, BTreeMap<i64, f64>)> = Vec::new();
    let mut count = 0;
    for metric in &query.metrics {
        // A sample is its own peak.
        if metric.is_peak() && query.step == 0.0 {
            continue;
        }
        let answer = client.query(&question(query, *metric)).map_err(SeriesError::Unreachable)?;
        let values = match answer.status {
            200 => values(&answer.json().unwrap_or_default()),
            400 if answer.text.contains("No such name") => BTreeMap::new(),
            _ => return Err(SeriesError::Unreachable(answer.said())),
        };
        count += values.len();
        if count > MOST {
            return Err(SeriesError::TooMany { most: MOST });
        }
        if !values.is_empty() {
            columns.push((*metric, values));
        }
    }
    Ok(points(&columns))
}

fn question(query: &Query, metric: Metric) -> Value {
    let Query { owner, from, to, step, .. } = query;
    let (from, to) = match *step {
        0.0 => (*from, *to),
        step => ((from / step).floor() * step, ((to / step).floor() + 1.0) * step - 0.001),
    };
    let filter = json!({"type": "literal_or", "tagk": owner.kind.key(), "filter": tag_value(&owner.name), "groupBy": false});
    let mut one = json!({"metric": metric.recorded().name(), "aggregator": "none", "filters": [filter]});
    if *step > 0.0 {
        let way = if metric.is_peak() { "max" } else { "avg" };
        one["downsample"] = json!(format!("{}ms-{way}", stamp(step * 1000.0)));
    }
    json!({"start": stamp(from * 1000.0).max(0), "end": stamp(to * 1000.0).max(1), "msResolution": true, "queries": [one]})
}

/// `[{"metric": .., "dps": {"<ms>": value}}]`: none, or one.
fn values(answer: &Value) -> BTreeMap<i64, f64> {
    let series = answer.as_array().into_iter().flatten();
    let points = series.filter_map(|series| series["dps"].as_object()).flatten();
    points.filter_map(|(time, value)| Some((time.parse().ok()?, value.as_f64().filter(|value| value.is_finite())?))).collect()
}

fn points(columns: &[(Metric, BTreeMap<i64, f64>)]) -> Points {
    let mut times: Vec<i64> = columns.iter().flat_map(|(_, values)| values.keys().copied()).collect();
    times.sort_unstable();
    times.dedup();
    let column = |values: &BTreeMap<i64, f64>| times.iter().map(|time| values.get(time).copied()).collect();
    Points {
        columns: columns.iter().map(|(metric, values)| (*metric, column(values))).collect(),
        times: times.iter().map(|time| *time as f64 / 1000.0).collect(),
    }
}

#[cfg(test)]
mod tests {
    use headroom_model::resource::Resource;

    use super::*;
    use crate::series::{Field, Kind, Owner};

    #[test]
    fn questions_are_opentsdbs() {
        let owner = Owner { kind: Kind::Structure, name: "a b".into() };
        let usage = Metric::of(Resource::Cpu, Field::Usage);
        let query = Query { owner, metrics: vec![usage], from: 130.0, to: 250.0, step: 60.0 };
        assert_eq!(
            question(&query, Metric::peak(Resource::Cpu)),
            json!({"start": 120_000, "end": 299_999, "msResolution": true, "queries": [{
                "metric": "structure.cpu.usage", "aggregator": "none", "downsample": "60000ms-max",
                "filters": [{"type": "literal_or", "tagk": "structure", "filter": "a_b", "groupBy": false}]}]})
        );
        let raw = question(&Query { step: 0.0, ..query }, usage);
        assert_eq!((&raw["start"], &raw["queries"][0]["downsample"]), (&json!(130_000), &Value::Null));
    }

    #[test]
    fn columns_share_their_times() {
        let [a, b] = [Field::Usage, Field::Upper].map(|field| Metric::of(Resource::Cpu, field));
        let of = |text: &str| values(&serde_json::from_str(text).unwrap());
        let columns = [(a, of(r#"[{"dps": {"2000": 1, "1000": 2.5}}]"#)), (b, of(r#"[{"dps": {"2000": 7, "3000": "NaN"}}]"#))];
        let points = points(&columns);
        assert_eq!(points.times, [1.0, 2.0]);
        assert_eq!(points.columns, [(a, vec![Some(2.5), Some(1.0)]), (b, vec![None, Some(7.0)])]);
    }
}
