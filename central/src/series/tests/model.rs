//! Packing, rolling up and reading, compared with adding up.

use std::collections::BTreeMap;

use headroom_model::resource::Resource;
use proptest::prelude::*;

use crate::series::embedded::milliseconds;
use crate::series::*;

const HOUR: f64 = 3600.0;
/// The beginning of an hour.
const START: f64 = 1_763_798_400.0;

fn usage() -> Metric {
    Metric::of(Resource::Cpu, Field::Usage)
}

fn max() -> Metric {
    Metric::of(Resource::Cpu, Field::Max)
}

fn cont0() -> Owner {
    Owner { kind: Kind::Structure, name: "cont0".into() }
}

/// What was sampled, in hundredths: a usage that may be missing, and a max.
type Samples = Vec<(f64, Option<i64>, i64)>;

async fn append(series: &Embedded, samples: &[(f64, Option<i64>, i64)]) {
    for (at, cpu, most) in samples {
        let mut values = vec![(max(), *most as f64 / 100.0)];
        values.extend(cpu.map(|cpu| (usage(), cpu as f64 / 100.0)));
        series.append(*at, vec![Sample { owner: cont0(), values }]).await.unwrap();
    }
}

async fn asked(series: &Embedded, from: f64, to: f64, step: f64) -> Points {
    let metrics = vec![usage(), Metric::peak(Resource::Cpu), max()];
    series.query(Query { owner: cont0(), metrics, from, to, step }).await.unwrap()
}

/// Mean, greatest, and the other's mean of each step, by adding up.
fn added_up(samples: &Samples, step: f64) -> Vec<(f64, Option<f64>, Option<f64>, f64)> {
    let mut steps: BTreeMap<i64, Vec<(Option<i64>, i64)>> = BTreeMap::new();
    for (at, cpu, most) in samples {
        steps.entry(milliseconds((at / step).floor() * step)).or_default().push((*cpu, *most));
    }
    let mean = |values: &[i64]| (!values.is_empty()).then(|| values.iter().sum::<i64>() as f64 / values.len() as f64);
    let row = |(at, rows): (i64, Vec<(Option<i64>, i64)>)| {
        let cpu: Vec<i64> = rows.iter().filter_map(|(cpu, _)| *cpu).collect();
        let most: Vec<i64> = rows.iter().map(|(_, most)| *most).collect();
        let peak = cpu.iter().max().map(|most| *most as f64);
        (at as f64 / 1000.0, mean(&cpu), peak, mean(&most).unwrap_or_default())
    };
    steps.into_iter().map(row).collect()
}

fn check(points: &Points, expected: &[(f64, Option<f64>, Option<f64>, f64)]) -> Result<(), TestCaseError> {
    let column = |metric: Metric| points.columns.iter().find(|(of, _)| *of == metric).map(|(_, values)| values.as_slice());
    prop_assert_eq!(&points.times, &expected.iter().map(|row| row.0).collect::<Vec<_>>());
    // Kept to a hundredth.
    let near = |got: Option<f64>, expected: Option<f64>| match (got, expected) {
        (Some(got), Some(expected)) => (got * 100.0 - expected).abs() <= 0.5001,
        (got, expected) => got.is_none() && expected.is_none(),
    };
    for (at, row) in expected.iter().enumerate() {
        let got = |metric| column(metric).and_then(|values| values[at]);
        prop_assert!(near(got(usage()), row.1), "usage at {}: {:?}, expected {:?}", row.0, got(usage()), row.1);
        prop_assert!(near(got(Metric::peak(Resource::Cpu)), row.2), "peak at {}", row.0);
        prop_assert!(near(got(max()), Some(row.3)), "max at {}", row.0);
    }
    Ok(())
}

fn samples() -> impl Strategy<Value = Samples> {
    let row =
        (1_u32..600, proptest::option::weighted(0.9, 0_i64..80_000), prop_oneof![9 => Just(20_000_i64), 1 => 0_i64..90_000]);
    proptest::collection::vec(row, 1..300).prop_map(|rows| {
        let mut at = START;
        let sample = |(seconds, cpu, most): (u32, Option<i64>, i64)| {
            at += f64::from(seconds);
            (at, cpu, most)
        };
        rows.into_iter().map(sample).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever of it is packed, flushed or only buffered, the answers are the same.
    #[test]
    fn answers_are_those_of_adding_up(samples in samples(), flushes in proptest::collection::vec(0_usize..300, 0..6), packed in 0_u32..60) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let long = std::time::Duration::from_hours(1_000_000);
            let settings = Settings { keep_raw: long, keep_minutes: long, keep_hours: long, ..Settings::default() };
            let series = Embedded::with_clock(&directory.path().join("series.db"), &settings, || 0).unwrap();
            let mut cuts: Vec<usize> = flushes.into_iter().map(|cut| cut.min(samples.len())).collect();
            cuts.sort_unstable();
            let mut before = 0;
            for cut in cuts {
                // At most as much at once as is buffered at all: a minute's rows.
                for sample in &samples[before..cut] {
                    append(&series, std::slice::from_ref(sample)).await;
                    series.flush().await.unwrap();
                }
                before = cut;
            }
            // The last minutes are in the buffer only.
            let last = samples.last().map_or(START, |s| s.0);
            let buffered = samples[before..].iter().position(|s| s.0 > last - 60.0).map_or(samples.len(), |at| at + before);
            for sample in &samples[before..buffered] {
                append(&series, std::slice::from_ref(sample)).await;
                series.flush().await.unwrap();
            }
            append(&series, &samples[buffered..]).await;
            let until = START + f64::from(packed) * HOUR;
            // What is packed is over, and only what is over is packed.
            let now = until.min(last);
            series.tidy(milliseconds(now)).await.unwrap();
            for step in [60.0, HOUR, 5.0, 90.0] {
                check(&asked(&series, START, last + 1.0, step).await, &added_up(&samples, step))?;
            }
            let raw = asked(&series, START, last, 0.0).await;
            let plain: Vec<_> = samples.iter().map(|(at, cpu, most)| (*at, cpu.map(|c| c as f64), None, *most as f64)).collect();
            check(&raw, &plain)?;
            // A part of it.
            let (from, to) = (START + HOUR / 2.0, START + 3.0 * HOUR);
            let part: Vec<_> = plain.into_iter().filter(|row| row.0 >= from && row.0 <= to).collect();
            check(&asked(&series, from, to, 0.0).await, &part)
        })?;
    }
}
