//! The snapshot as Prometheus metrics.
//!
//! Rendered from one [`Snapshot`] at each scrape, so that there is no second store of numbers that could differ, and what belongs to
//! a container goes when it goes. Amounts carry their unit in the metric's name, so a resource's metrics are named after its unit
//! (`headroom_limit_shares`, `headroom_limit_mebibytes`); no limit is `+Inf`.

mod agent;
mod containers;
mod text;

use headroom_model::resource::Resource;

use self::text::Exposition;
use crate::status::Snapshot;

/// What [`render`] gives: the text format, version 0.0.4.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The units that resources are measured in, each with what a second of it is called.
const UNITS: [(&str, &str, &[Resource]); 5] = [
    ("shares", "share_seconds", &[Resource::Cpu]),
    ("mebibytes", "mebibyte_seconds", &[Resource::Mem]),
    ("mebibytes_per_second", "mebibytes", &[Resource::DiskRead, Resource::DiskWrite]),
    ("megabits_per_second", "megabits", &[Resource::Net]),
    ("watts", "joules", &[Resource::Energy]),
];

/// The whole exposition.
pub fn render(snapshot: &Snapshot) -> String {
    let mut page = Exposition::default();
    agent::render(&mut page, snapshot);
    containers::render(&mut page, &snapshot.containers);
    page.finish()
}
