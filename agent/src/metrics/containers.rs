//! What is told of each container.

use headroom_model::limit::Limit;

use super::UNITS;
use super::text::{Exposition, Kind};
use crate::cgroup::Throttling;
use crate::status::{Areas, ContainerStatus, GuardMode, ResourceStatus};

/// A number of a resource; `None` where it has none.
type Amount = fn(&ResourceStatus) -> Option<f64>;

const GAUGES: [(&str, &str, Amount); 7] = [
    ("usage", "Mean of the last window.", |r| r.usage),
    ("limit", "The limit in force, or that would be in force of an advised container.", |r| Some(limit(r.limit))),
    ("effective_limit", "What the kernel will really give.", |r| Some(limit(r.effective))),
    ("upper", "Usage above it raises the limit.", |r| r.upper),
    ("lower", "Usage below it lowers the limit.", |r| r.lower),
    ("min", "The limit is never set below.", |r| r.min),
    ("max", "The limit is never set above.", |r| r.max),
];

type Area = fn(&Areas) -> f64;

const AREAS: [(&str, &str, Area); 3] = [
    ("used", "Consumed, by the kernel's own accounting.", |a| a.used),
    ("allocated", "Under the limit in force.", |a| a.allocated),
    ("reserved", "Under max: what a fixed limit would have reserved.", |a| a.reserved),
];

type Count = fn(&Throttling) -> f64;

const THROTTLING: [(&str, &str, Count); 3] = [
    ("headroom_cpu_periods_total", "Periods that ran under a CPU quota.", |t| t.periods as f64),
    ("headroom_cpu_throttled_periods_total", "Those in which the container was throttled.", |t| t.throttled_periods as f64),
    ("headroom_cpu_throttled_seconds_total", "For how long in sum.", |t| t.throttled_us as f64 / 1e6),
];

fn limit(limit: Limit) -> f64 {
    limit.amount().unwrap_or(f64::INFINITY)
}

pub(super) fn render(page: &mut Exposition, containers: &[ContainerStatus]) {
    info(page, containers);
    foreign_changes(page, containers);
    for (what, help, amount) in GAUGES {
        for (unit, _, _) in UNITS {
            per_resource(page, &format!("headroom_{what}_{unit}"), Kind::Gauge, help, unit, containers, amount);
        }
    }
    for (what, help, area) in AREAS {
        for (unit, with_time, _) in UNITS {
            let name = format!("headroom_{what}_{with_time}_total");
            per_resource(page, &name, Kind::Counter, help, unit, containers, |r| Some(area(&r.areas)));
        }
    }
    for (name, help, count) in THROTTLING {
        let mut family = page.family(name, Kind::Counter, help);
        for status in containers {
            if let Some(throttling) = &status.throttling {
                family.sample(&[("container", &status.container.name)], count(throttling));
            }
        }
    }
}

fn info(page: &mut Exposition, containers: &[ContainerStatus]) {
    let mut family =
        page.family("headroom_container_info", Kind::Gauge, "Every container that was found; guard: what the settings ask for.");
    for status in containers {
        let guard = match status.guard {
            GuardMode::Off => "off",
            GuardMode::Advise => "advise",
            GuardMode::On => "on",
        };
        let (name, engine) = (&status.container.name, status.container.engine.name());
        let application = status.container.application.as_deref().unwrap_or_default();
        family.sample(&[("container", name), ("engine", engine), ("guard", guard), ("application", application)], 1.0);
    }
}

fn foreign_changes(page: &mut Exposition, containers: &[ContainerStatus]) {
    let help = "Limits of guarded containers that something else had changed.";
    let mut family = page.family("headroom_foreign_changes_total", Kind::Counter, help);
    for status in containers.iter().filter(|status| status.guard == GuardMode::On) {
        family.sample(&[("container", &status.container.name)], status.foreign_changes as f64);
    }
}

fn per_resource(
    page: &mut Exposition,
    name: &str,
    kind: Kind,
    help: &str,
    unit: &str,
    containers: &[ContainerStatus],
    amount: impl Fn(&ResourceStatus) -> Option<f64>,
) {
    let mut family = page.family(name, kind, help);
    for status in containers {
        for (_, _, resources) in UNITS.iter().filter(|(known, _, _)| *known == unit) {
            for &resource in *resources {
                if let Some(amount) = status.resources[resource].as_ref().and_then(&amount) {
                    family.sample(&[("container", &status.container.name), ("resource", resource.key())], amount);
                }
            }
        }
    }
}
