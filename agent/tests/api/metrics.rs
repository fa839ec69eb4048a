//! The Prometheus page: valid, whole, and without what is gone.

use std::collections::{BTreeMap, BTreeSet};

use headroom_agent::metrics::render;
use headroom_agent::status::Snapshot;

use crate::support::{Server, bare, rename, snapshot};

/// A page's series with their values, after a strict reading of the text format.
fn series(page: &str) -> BTreeMap<String, f64> {
    let name = regex::Regex::new(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$").unwrap();
    let line = regex::Regex::new(r#"^([a-zA-Z0-9_:]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? (\S+)$"#).unwrap();
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    let mut series = BTreeMap::new();
    let mut current = String::new();
    assert!(page.ends_with('\n'));
    for text in page.lines() {
        if let Some(help) = text.strip_prefix("# HELP ") {
            let family = help.split(' ').next().unwrap();
            assert!(name.is_match(family) && family.starts_with("headroom_"), "{text}");
            assert!(!families.contains_key(family), "{family} stands twice");
            family.clone_into(&mut current);
        } else if let Some(kind) = text.strip_prefix("# TYPE ") {
            let (family, kind) = kind.split_once(' ').unwrap();
            assert_eq!(family, current);
            assert_eq!(kind == "counter", family.ends_with("_total"), "{text}");
            families.insert(family.to_owned(), kind.to_owned());
        } else {
            let parts = line.captures(text).unwrap_or_else(|| panic!("not valid: {text}"));
            let suffix = parts[1].strip_prefix(&current).unwrap_or_else(|| panic!("{text} within {current}"));
            let histogram = families[&current] == "histogram";
            assert_eq!(histogram, ["_bucket", "_sum", "_count"].contains(&suffix), "{text}");
            let value = match &parts[3] {
                "+Inf" => f64::INFINITY,
                number => number.parse().unwrap(),
            };
            let key = format!("{}{}", &parts[1], parts.get(2).map_or("", |labels| labels.as_str()));
            assert!(series.insert(key, value).is_none(), "{text} stands twice");
        }
    }
    series
}

#[test]
fn the_page_is_served_as_prometheus_wants_it() {
    let server = Server::open();
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    assert_eq!(answer.body, render(&snapshot()));
    assert_eq!(server.get("/metrics/").body, answer.body);
}

#[test]
fn every_number_of_the_snapshot_is_there() {
    let series = series(&render(&snapshot()));
    let cont0 = |metric: &str, resource: &str| format!("{metric}{{container=\"cont0\",resource=\"{resource}\"}}");
    let expected = [
        (cont0("headroom_usage_shares", "cpu"), 160.25),
        (cont0("headroom_limit_shares", "cpu"), 200.0),
        (cont0("headroom_effective_limit_shares", "cpu"), 200.0),
        (cont0("headroom_upper_shares", "cpu"), 175.0),
        (cont0("headroom_lower_shares", "cpu"), 150.0),
        (cont0("headroom_min_shares", "cpu"), 50.0),
        (cont0("headroom_max_shares", "cpu"), 200.0),
        (cont0("headroom_limit_mebibytes", "mem"), 4096.0),
        (cont0("headroom_limit_mebibytes_per_second", "disk_write"), f64::INFINITY),
        (cont0("headroom_usage_megabits_per_second", "net"), 3.0),
        (cont0("headroom_used_share_seconds_total", "cpu"), 10.0),
        (cont0("headroom_allocated_share_seconds_total", "cpu"), 20.5),
        (cont0("headroom_reserved_mebibyte_seconds_total", "mem"), 40.0),
        (cont0("headroom_used_mebibytes_total", "disk_read"), 10.0),
        ("headroom_cpu_throttled_periods_total{container=\"cont0\"}".to_owned(), 7.0),
        ("headroom_cpu_throttled_seconds_total{container=\"cont0\"}".to_owned(), 1.5),
        ("headroom_container_info{container=\"cont0\",engine=\"lxc\",guard=\"on\",application=\"\"}".to_owned(), 1.0),
        ("headroom_foreign_changes_total{container=\"cont0\"}".to_owned(), 2.0),
        ("headroom_decisions_total{action=\"CpuRescaleUp\",outcome=\"applied\"}".to_owned(), 3.0),
        ("headroom_starved_requests_total".to_owned(), 3.0),
        ("headroom_drift_corrected_total".to_owned(), 5.0),
        ("headroom_events_dropped_total".to_owned(), 6.0),
        ("headroom_usage_drift_max_ratio".to_owned(), 0.004),
        ("headroom_source_info{source=\"ebpf\",reason=\"\"}".to_owned(), 1.0),
        ("headroom_host_max_shares{resource=\"cpu\"}".to_owned(), 500.0),
        ("headroom_host_free_mebibytes{resource=\"mem\"}".to_owned(), 4096.0),
        ("headroom_reaction_seconds_bucket{le=\"0.0001\"}".to_owned(), 1.0),
        ("headroom_reaction_seconds_bucket{le=\"+Inf\"}".to_owned(), 4.0),
        ("headroom_reaction_seconds_sum".to_owned(), 0.0009),
        ("headroom_reaction_seconds_count".to_owned(), 4.0),
        (format!("headroom_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1.0),
    ];
    for (key, value) in expected {
        assert_eq!(series.get(&key), Some(&value), "{key}");
    }
}

#[test]
fn names_cannot_break_the_page_and_the_dead_vanish() {
    let mut snapshot = snapshot();
    let mut odd = bare();
    rename(&mut odd, "a\"} 1\n\\b");
    snapshot.containers.push(odd);
    let with = series(&render(&snapshot));
    assert!(with.contains_key("headroom_usage_shares{container=\"a\\\"} 1\\n\\\\b\",resource=\"cpu\"}"), "{with:?}");

    snapshot.containers.clear();
    let without = series(&render(&snapshot));
    let containers: BTreeSet<_> = without.keys().filter(|key| key.contains("container=")).collect();
    assert!(containers.is_empty(), "{containers:?}");
    assert!(without.contains_key("headroom_windows_total"));
}

#[test]
fn two_scrapes_of_one_snapshot_are_the_same() {
    let snapshot: Snapshot = snapshot();
    assert_eq!(render(&snapshot), render(&snapshot));
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_exist() {
    let page = render(&snapshot());
    let names = regex::Regex::new("headroom_[a-z0-9_]+").unwrap();
    let alerts = include_str!("../../../configs/prometheus/alerts.yml");
    let dashboard = include_str!("../../../configs/grafana/headroom.json");
    let asked: BTreeSet<_> = [alerts, dashboard].iter().flat_map(|text| names.find_iter(text)).map(|m| m.as_str()).collect();
    assert!(asked.len() > 10, "{asked:?}");
    for name in asked {
        assert!(
            page.contains(&format!("\n{name}{{")) || page.contains(&format!("\n{name} ")),
            "{name} is asked for and not served"
        );
    }
}
