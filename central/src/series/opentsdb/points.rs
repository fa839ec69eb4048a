//! Samples as OpenTSDB's data points. Pure.

use serde::Serialize;

use crate::series::Sample;

/// The data points of one request. OpenTSDB takes more, but answers late then.
const BATCH: usize = 1000;

/// What OpenTSDB takes a tag's value for when nothing is left of it.
const NAMELESS: &str = "_";

/// One data point, as `/api/put` takes it.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Point {
    pub(super) metric: String,
    /// Seconds since the epoch in ten digits, or milliseconds in thirteen.
    pub(super) timestamp: i64,
    pub(super) value: f64,
    pub(super) tags: Tag,
}

/// The one tag that a series has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tag {
    pub(super) key: &'static str,
    pub(super) value: String,
}

impl Tag {
    pub(super) fn new(key: &'static str, value: &str) -> Self {
        Self { key, value: tag_value(value) }
    }
}

impl Serialize for Tag {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.key, &self.value)])
    }
}

/// A name with what a tag's value may not have (anything but letters, digits, `-`, `_`, `.` and `/`) replaced by `_`.
pub(super) fn tag_value(name: &str) -> String {
    let fits = |c: char| c.is_alphabetic() || c.is_ascii_digit() || "-_./".contains(c);
    let value: String = name.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    if value.is_empty() { NAMELESS.to_owned() } else { value }
}

/// Which time a point is said to have.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    last: f64,
}

impl Stamps {
    /// Whole seconds, as everybody writes them, as long as these tell one time from the one before; milliseconds otherwise.
    pub(super) fn of(&mut self, at: f64) -> i64 {
        let is_told_apart = at.floor() - self.last.floor() >= 1.0 || at.to_bits() == self.last.to_bits();
        self.last = at;
        stamp(if is_told_apart { at.floor() } else { at * 1000.0 })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "times of this and the next ten thousand years fit")]
pub(super) fn stamp(time: f64) -> i64 {
    time.round() as i64
}

/// The points of samples that were all taken at one time, by request.
pub(super) fn of_samples(timestamp: i64, samples: &[Sample]) -> Vec<Vec<Point>> {
    let of = |sample: &Sample| {
        let tags = Tag::new(sample.owner.kind.key(), &sample.owner.name);
        let values = sample.values.clone();
        values.into_iter().map(move |(metric, value)| Point { metric: metric.name(), timestamp, value, tags: tags.clone() })
    };
    in_requests(samples.iter().flat_map(of))
}

/// Those that have a value which OpenTSDB takes, by request.
pub(super) fn in_requests(points: impl Iterator<Item = Point>) -> Vec<Vec<Point>> {
    let mut requests: Vec<Vec<Point>> = Vec::new();
    for point in points.filter(|point| point.value.is_finite()) {
        match requests.last_mut() {
            Some(last) if last.len() < BATCH => last.push(point),
            _ => requests.push(vec![point]),
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use headroom_model::resource::Resource;

    use super::*;
    use crate::series::{Field, Kind, Metric, Owner};

    #[test]
    fn a_sample_is_a_point_for_each_value() {
        let owner = Owner { kind: Kind::Structure, name: "pod a:b/ü".into() };
        let of = |field| Metric::of(Resource::Cpu, field);
        let values = vec![(of(Field::Usage), 12.5), (of(Field::Upper), f64::NAN), (of(Field::Lower), 50.0)];
        let points = of_samples(1_700_000_000, &[Sample { owner, values }]);
        assert_eq!(
            serde_json::to_string(&points[0]).unwrap(),
            r#"[{"metric":"structure.cpu.usage","timestamp":1700000000,"value":12.5,"tags":{"structure":"pod_a_b/ü"}},"#
                .to_owned()
                + r#"{"metric":"limit.cpu.lower","timestamp":1700000000,"value":50.0,"tags":{"structure":"pod_a_b/ü"}}]"#
        );
        assert_eq!(tag_value(""), "_");
    }

    #[test]
    fn requests_are_bounded() {
        let owner = Owner { kind: Kind::User, name: "u".into() };
        let sample = Sample { owner, values: vec![(Metric::of(Resource::Mem, Field::Usage), 1.0)] };
        let requests = of_samples(1, &vec![sample; 2001]);
        assert_eq!(requests.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 1]);
    }

    #[test]
    fn times_are_seconds_unless_these_are_too_coarse() {
        let mut stamps = Stamps::default();
        // Batches of one snapshot have one time.
        let told = [1000.2, 1000.2, 1005.2, 1005.7, 1006.2].map(|at| stamps.of(at));
        assert_eq!(told, [1000, 1000, 1005, 1_005_700, 1006]);
    }
}
