//! The totals of a replay.

use std::collections::BTreeMap;
use std::io::{self, Write};

use headroom_model::accounting::Areas;
use headroom_model::number::plain;
use headroom_model::policy::rules::RuleSet;
use headroom_model::resource::PerResource;
use serde_json::{Map, Value, json};

use super::run::Run;

/// What is summed over all windows.
pub(super) struct Summary {
    rules: String,
    malformed: Vec<String>,
    totals: PerResource<Option<Totals>>,
}

/// One resource's.
#[derive(Default)]
struct Totals {
    windows: u64,
    gaps: u64,
    areas: Areas,
    at_limit: f64,
    decisions: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// Of a rule set that is called so.
    pub(super) fn new(name: &str, rules: &RuleSet) -> Self {
        let malformed = rules.problems().iter().map(ToString::to_string).collect();
        Self { rules: name.to_owned(), malformed, totals: PerResource::from_fn(|_| None) }
    }

    /// Adds the last window of a run, of so many seconds. A gap counts nothing: nobody knows what was used.
    pub(super) fn add(&mut self, run: &Run, seconds: f64) {
        for line in &run.lines {
            let totals = self.totals[line.resource].get_or_insert_default();
            totals.windows += 1;
            let Some(usage) = line.usage else {
                totals.gaps += 1;
                continue;
            };
            totals.areas.add(usage, line.before, line.max, seconds);
            if usage >= line.before {
                totals.at_limit += seconds;
            }
            for change in &line.requests {
                *totals.decisions.entry(change.action).or_default() += 1;
            }
        }
    }

    /// Writes it as one line.
    pub(super) fn write(&self, run: &Run, out: &mut dyn Write) -> io::Result<()> {
        let mut resources = Map::new();
        for (resource, totals) in self.totals.present() {
            let ratio = |r: Option<f64>| r.map_or(Value::Null, plain);
            let areas = &totals.areas;
            let entry = json!({
                "windows": totals.windows,
                "gaps": totals.gaps,
                "used": plain(areas.used),
                "allocated": plain(areas.allocated),
                "reserved": plain(areas.reserved),
                "utilization": ratio(areas.utilization()),
                "fixed_utilization": ratio(areas.fixed_utilization()),
                "time_at_limit": plain(totals.at_limit),
                "decisions": totals.decisions,
                "limit": ratio(run.limit(resource)),
            });
            resources.insert(resource.key().to_owned(), entry);
        }
        let mut line = json!({ "rules": self.rules, "resources": resources });
        if !self.malformed.is_empty() {
            line["malformed"] = json!(self.malformed);
        }
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")
    }
}
