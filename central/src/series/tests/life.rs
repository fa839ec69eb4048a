//! Restarts, retention, bounds, damage.

use std::path::Path;
use std::time::Duration;

use headroom_model::resource::Resource;

use crate::series::embedded::milliseconds;
use crate::series::*;

const START: f64 = 1_763_798_400.0;
const HOUR: f64 = 3600.0;

fn metrics() -> Vec<Metric> {
    let fields = [Field::Usage, Field::Current, Field::Upper, Field::Lower, Field::Max, Field::Min];
    [Resource::Cpu, Resource::Mem].into_iter().flat_map(|resource| fields.map(|field| Metric::of(resource, field))).collect()
}

fn owner(name: &str) -> Owner {
    Owner { kind: Kind::Structure, name: name.into() }
}

fn sample(name: &str, number: u64) -> Sample {
    // Usages move, limits seldom.
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let values = metrics().into_iter().map(|metric| match metric.field() {
        Some(Field::Usage) => (metric, 50.0 + (random % 4000) as f64 / 100.0),
        _ => (metric, 100.0 + (number / 100) as f64),
    });
    Sample { owner: owner(name), values: values.collect() }
}

fn open(directory: &Path, settings: &Settings) -> Embedded {
    // Nothing is old but when a test says so.
    Embedded::with_clock(&directory.join("series.db"), settings, || 0).unwrap()
}

async fn times(series: &Embedded, name: &str, from: f64, to: f64, step: f64) -> Vec<f64> {
    series.query(Query { owner: owner(name), metrics: metrics(), from, to, step }).await.unwrap().times
}

#[tokio::test]
async fn what_is_flushed_outlives_a_restart_and_what_is_dropped_too() {
    let directory = tempfile::tempdir().unwrap();
    let series = open(directory.path(), &Settings::default());
    series.append(START, vec![sample("a", 1)]).await.unwrap();
    series.flush().await.unwrap();
    // A restart within the minute: two chunks in one place.
    series.append(START + 5.0, vec![sample("a", 2), sample("größe/ _design", 1)]).await.unwrap();
    drop(series);
    let series = open(directory.path(), &Settings::default());
    series.append(START + 10.0, vec![sample("a", 3)]).await.unwrap();
    assert_eq!(times(&series, "a", START, START + 60.0, 0.0).await, [START, START + 5.0, START + 10.0]);
    assert_eq!(times(&series, "größe/ _design", START, START + 60.0, 0.0).await, [START + 5.0]);
    assert_eq!(times(&series, "b", START, START + 60.0, 0.0).await, [0.0; 0]);
    let user = Owner { kind: Kind::User, name: "a".into() };
    assert_eq!(
        series.query(Query { owner: user, metrics: metrics(), from: 0.0, to: 2e9, step: 0.0 }).await,
        Ok(Points::default())
    );
}

#[tokio::test]
async fn each_roll_up_goes_when_it_is_old_and_coarser_ones_stand_in() {
    let directory = tempfile::tempdir().unwrap();
    let hours = Duration::from_hours;
    let settings = Settings { keep_raw: hours(2), keep_minutes: hours(4), keep_hours: hours(8), ..Settings::default() };
    let series = open(directory.path(), &settings);
    for hour in 0..12 {
        for minute in 0..60_u32 {
            for second in [0, 30_u32] {
                let at = START + f64::from(hour) * HOUR + f64::from(minute * 60 + second);
                series.append(at, vec![sample("a", minute.into()), sample("b", second.into())]).await.unwrap();
            }
            series.flush().await.unwrap();
        }
    }
    let now = START + 12.0 * HOUR + 600.0;
    series.tidy(milliseconds(now)).await.unwrap();
    for name in ["a", "b"] {
        let raw = times(&series, name, START, now, 0.0).await;
        // 2 h of samples, before them 2 h of minutes, before them 4 h of hours.
        assert_eq!(raw.len(), 2 * 120 + 2 * 60 + 4, "{name}");
        assert!(raw.is_sorted() && raw.first() == Some(&(START + 4.0 * HOUR)));
        assert_eq!(times(&series, name, START, now, 60.0).await.len(), 4 * 60 + 4);
        assert_eq!(times(&series, name, START, now, HOUR).await.len(), 8);
    }
    // Long after, all of it goes, and the owners too.
    series.tidy(milliseconds(now + 100.0 * HOUR)).await.unwrap();
    assert_eq!(times(&series, "a", 0.0, 2e9, 0.0).await, [0.0; 0]);
    drop(series);
    let file = rusqlite::Connection::open(directory.path().join("series.db")).unwrap();
    for table in ["owners", "fresh", "raw", "minutes", "hours"] {
        let rows: i64 = file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}

#[tokio::test]
async fn the_file_does_not_outgrow_its_bound() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { max_size: 1 << 20, ..Settings::default() };
    let series = open(directory.path(), &settings);
    let names: Vec<String> = (0..50).map(|n| format!("cont{n}")).collect();
    let mut number = 0;
    for hour in 0..40 {
        for tick in 0..240 {
            let at = START + f64::from(hour) * HOUR + f64::from(tick) * 15.0;
            number += 1;
            series.append(at, names.iter().map(|name| sample(name, number + name.len() as u64)).collect()).await.unwrap();
            if tick % 8 == 7 {
                series.flush().await.unwrap();
            }
        }
        series.tidy(milliseconds(START + f64::from(hour + 1) * HOUR + 600.0)).await.unwrap();
    }
    let last = START + 40.0 * HOUR;
    assert_eq!(times(&series, "cont7", last - HOUR, last, 0.0).await.len(), 240, "the last hour is whole");
    assert!(times(&series, "cont7", START, last, HOUR).await.len() >= 40, "hours are small and stay");
    drop(series);
    let size = std::fs::metadata(directory.path().join("series.db")).unwrap().len();
    // What is written before the next look is above it.
    assert!(size < 2 << 20, "{size}");
}

#[tokio::test]
async fn a_day_at_five_seconds_is_answered_and_too_much_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let series = open(directory.path(), &Settings::default());
    for tick in 0..17_280_u64 {
        series.append(START + tick as f64 * 5.0, vec![sample("a", tick)]).await.unwrap();
        if tick % 12 == 11 {
            series.flush().await.unwrap();
        }
    }
    series.tidy(milliseconds(START + 24.0 * HOUR + 30.0)).await.unwrap();
    let day = START + 24.0 * HOUR;
    assert_eq!(times(&series, "a", START, day, 0.0).await.len(), 17_280);
    assert_eq!(times(&series, "a", START, day, 5.0).await.len(), 17_280);
    assert_eq!(times(&series, "a", START, day - 1.0, 60.0).await.len(), 1440);
    // Another one, at five times the pace: together with what is asked for more than one answer has.
    for tick in 0..100_000_u64 {
        series.append(START + tick as f64, vec![sample("b", tick)]).await.unwrap();
        if tick % 60 == 59 {
            series.flush().await.unwrap();
        }
    }
    let query = Query { owner: owner("b"), metrics: metrics(), from: START, to: START + 1e5, step: 0.0 };
    let refused = series.query(query.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("larger step"), "{refused}");
    assert_eq!(series.query(Query { step: 60.0, ..query }).await.unwrap().times.len(), 1667);
}

#[tokio::test]
async fn samples_may_come_faster_than_time() {
    let directory = tempfile::tempdir().unwrap();
    let series = open(directory.path(), &Settings::default());
    for tick in 0..17_280_u32 {
        series.append(START + f64::from(tick) * 5.0, vec![sample("a", tick.into())]).await.unwrap();
    }
    let day = START + 24.0 * HOUR;
    assert_eq!(times(&series, "a", START, day, 0.0).await.len(), 17_280);
    series.flush().await.unwrap();
    assert_eq!(times(&series, "a", START, day, 0.0).await.len(), 17_280);
    series.tidy(milliseconds(day + 600.0)).await.unwrap();
    assert_eq!(times(&series, "a", START, day, 0.0).await.len(), 17_280);
}

#[tokio::test]
async fn damage_costs_what_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let series = open(directory.path(), &Settings::default());
    for minute in 0..3 {
        series.append(START + f64::from(minute) * 60.0, vec![sample("a", 1)]).await.unwrap();
        series.flush().await.unwrap();
    }
    let file = rusqlite::Connection::open(directory.path().join("series.db")).unwrap();
    file.execute("UPDATE fresh SET data = x'ff01' WHERE place = (SELECT place FROM fresh ORDER BY place LIMIT 1 OFFSET 1)", [])
        .unwrap();
    assert_eq!(times(&series, "a", START, START + 600.0, 0.0).await, [START, START + 120.0]);
    series.tidy(milliseconds(START + 2.0 * HOUR)).await.unwrap();
    assert_eq!(times(&series, "a", START, START + 600.0, 0.0).await, [START, START + 120.0]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let series = open(directory.path(), &Settings::default());
    let ahead = START + 1000.0 * HOUR;
    series.append(ahead, vec![sample("a", 1)]).await.unwrap();
    series.flush().await.unwrap();
    series.tidy(milliseconds(ahead + 2.0 * HOUR)).await.unwrap();
    series.tidy(milliseconds(START)).await.unwrap();
    for minute in 0..120 {
        series.append(START + f64::from(minute) * 60.0, vec![sample("a", 1)]).await.unwrap();
        series.flush().await.unwrap();
    }
    series.tidy(milliseconds(START + 2.0 * HOUR + 600.0)).await.unwrap();
    assert_eq!(times(&series, "a", START, START + 2.0 * HOUR, 0.0).await.len(), 120);
    assert_eq!(times(&series, "a", START, START + 2.0 * HOUR - 1.0, HOUR).await.len(), 2);
}

#[tokio::test]
async fn the_thread_packs_and_drops_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("series.db");
    let hour = Duration::from_hours(1);
    let settings = Settings { keep_raw: hour, keep_minutes: 2 * hour, ..Settings::default() };
    // Four hours and ten minutes later.
    let now = || milliseconds(START + 4.0 * HOUR + 600.0);
    let series = Embedded::with_clock(&path, &settings, now).unwrap();
    for minute in 0..240 {
        series.append(START + f64::from(minute) * 60.0, vec![sample("a", 1)]).await.unwrap();
    }
    series.flush().await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    let rows = |table: &str| file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap();
    let mut looks = 0;
    // Of what is fresh the last minutes stay: they may reach into the next hour.
    while rows("fresh") > 5 || [rows("raw"), rows("minutes"), rows("hours")] != [1, 2, 4] {
        looks += 1;
        assert!(looks < 1200, "{} {} {} {}", rows("fresh"), rows("raw"), rows("minutes"), rows("hours"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(times(&series, "a", START, START + 5.0 * HOUR, HOUR).await.len(), 4);
}

#[test]
fn a_file_of_another_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("series.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let error = Embedded::open(&path, &Settings::default()).unwrap_err().to_string();
    assert!(error.contains("version 9") && error.contains("series.db"), "{error}");
}
