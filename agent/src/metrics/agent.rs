//! What is told of the agent and its host.

use headroom_model::resource::PerResource;

use super::UNITS;
use super::text::{Exposition, Kind};
use crate::sampler::SourceKind;
use crate::status::{Counters, HostStatus, Latency, Snapshot};

pub(super) fn render(page: &mut Exposition, snapshot: &Snapshot) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.family("headroom_build_info", Kind::Gauge, "The agent's version.").sample(&version, 1.0);
    host(page, &snapshot.host);
    counters(page, &snapshot.counters);
    for (name, latency) in snapshot.latencies.iter() {
        histogram(page, name, latency);
    }
}

fn host(page: &mut Exposition, host: &HostStatus) {
    let source = match host.source {
        SourceKind::Ebpf => "ebpf",
        SourceKind::Cgroupfs => "cgroupfs",
    };
    let labels = [("source", source), ("reason", host.source_reason.as_deref().unwrap_or(""))];
    page.family("headroom_source_info", Kind::Gauge, "Who counts CPU time, and why it is not eBPF.").sample(&labels, 1.0);
    let switch = |on: bool| if on { 1.0 } else { 0.0 };
    page.single("headroom_guardian_active", Kind::Gauge, "Whether windows are judged.", switch(host.guardian_active));
    page.single("headroom_scaler_active", Kind::Gauge, "Whether limits are written.", switch(host.scaler_active));
    page.single("headroom_host_online_cpus", Kind::Gauge, "Online CPUs.", host.online_cpus.len() as f64);
    per_unit(page, "headroom_host_max", "What the host may give out.", &host.max);
    per_unit(page, "headroom_host_free", "What of it is free.", &host.free);
}

fn per_unit(page: &mut Exposition, name: &str, help: &str, amounts: &PerResource<Option<f64>>) {
    for (unit, _, resources) in UNITS {
        let name = format!("{name}_{unit}");
        let mut family = page.family(&name, Kind::Gauge, help);
        for &resource in resources {
            if let Some(amount) = amounts[resource] {
                family.sample(&[("resource", resource.key())], amount);
            }
        }
    }
}

fn counters(page: &mut Exposition, counters: &Counters) {
    let singles = [
        ("headroom_windows_total", "Windows judged.", counters.windows),
        ("headroom_missing_samples_total", "Windows without a sample.", counters.missing_samples),
        ("headroom_gaps_total", "Windows so much too long that they were not judged.", counters.gaps),
        ("headroom_early_windows_total", "Windows judged before their end.", counters.early),
        ("headroom_early_missed_total", "Passed thresholds that only the window's end has seen.", counters.early_missed),
        (
            "headroom_windows_moved_total",
            "CPU windows that began with their container's burst instead of at the border.",
            counters.windows_moved,
        ),
        ("headroom_journal_dropped_total", "Decisions and windows that were not written down.", counters.journal_dropped),
        ("headroom_drift_corrected_total", "Limits changed by others that were put right or adopted.", counters.drift_corrected),
        ("headroom_usage_corrected_total", "Times the CPU count was put right after the kernel's own.", counters.usage_corrected),
        ("headroom_events_dropped_total", "Kernel events that found no room.", counters.source.events_dropped),
        (
            "headroom_charges_dropped_total",
            "Charges that a full kernel map could not attribute.",
            counters.source.charges_dropped,
        ),
        ("headroom_read_errors_total", "Reads of kernel files that failed.", counters.source.read_errors),
    ];
    for (name, help, value) in singles {
        page.single(name, Kind::Counter, help, value as f64);
    }
    let drift = "Biggest relative distance seen between the CPU count and the kernel's own.";
    page.single("headroom_usage_drift_max_ratio", Kind::Gauge, drift, counters.usage_drift_max);
    let starved = counters.decisions.iter().filter(|((_, outcome), _)| *outcome == "starved").map(|(_, count)| count);
    let help = "Upward requests that got nothing, since the host had nothing free.";
    page.single("headroom_starved_requests_total", Kind::Counter, help, starved.sum::<u64>() as f64);
    let mut family = page.family("headroom_decisions_total", Kind::Counter, "Decisions by what they did and what came of them.");
    for ((action, outcome), &count) in &counters.decisions {
        family.sample(&[("action", action), ("outcome", outcome)], count as f64);
    }
}

fn histogram(page: &mut Exposition, name: &str, latency: &Latency) {
    let name = format!("headroom_{name}_seconds");
    let mut family = page.family(&name, Kind::Histogram, "How long it takes.");
    for (upto_us, count) in latency.buckets.iter().filter(|(upto_us, _)| upto_us.is_finite()) {
        family.suffixed("_bucket", &[("le", &(upto_us / 1e6).to_string())], *count as f64);
    }
    family.suffixed("_bucket", &[("le", "+Inf")], latency.count as f64);
    family.suffixed("_sum", &[], latency.sum_us / 1e6);
    family.suffixed("_count", &[], latency.count as f64);
}
