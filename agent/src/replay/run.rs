//! One replay: window after window through Guardian and Scaler.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, bail};
use headroom_model::documents::limits::{Limits, ResourceLimits};
use headroom_model::documents::structure::{Amounts, Structure};
use headroom_model::limit::Limit;
use headroom_model::number;
use headroom_model::policy::guardian::{Bounds, Guarded, Guardian, Judgement, Raised, Subject};
use headroom_model::policy::request::Request;
use headroom_model::policy::rules::RuleSet;
use headroom_model::policy::scaler::admission::NotAdmitted;
use headroom_model::policy::scaler::ledger::{Entry, Ledger, Share};
use headroom_model::policy::scaler::plan;
use headroom_model::resource::{PerResource, Resource, ResourceSet};
use serde::Serialize;

use super::ReplayArgs;
use super::usage::Row;

/// The state of a replay, and what its last window brought.
pub(super) struct Run {
    guardian: Guardian,
    subject: Subject,
    ledger: Ledger,
    out: Judgement,
    apply: bool,
    /// All that are guarded and have a column.
    due: ResourceSet,
    /// One for each resource column that is guarded, in the columns' order.
    pub(super) lines: Vec<Line>,
    /// Resources that are to be guarded and cannot be: why, as the live loop says it.
    pub(super) refused: Vec<String>,
}

/// What a window brought for one resource. Written as a line of output.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    #[serde(serialize_with = "number::serialize")]
    timestamp: f64,
    pub(super) resource: Resource,
    #[serde(serialize_with = "number::option::serialize")]
    pub(super) usage: Option<f64>,
    #[serde(serialize_with = "number::serialize")]
    current: f64,
    #[serde(serialize_with = "number::serialize")]
    upper: f64,
    #[serde(serialize_with = "number::serialize")]
    lower: f64,
    events: Vec<&'static str>,
    pub(super) requests: Vec<Change>,
    #[serde(serialize_with = "number::serialize")]
    pub(super) limit: f64,
    /// The limit in force while the window ran.
    #[serde(skip)]
    pub(super) before: f64,
    /// The structure's.
    #[serde(skip)]
    pub(super) max: f64,
    /// Which cell of a row is its.
    #[serde(skip)]
    cell: usize,
}

/// A request, as the output shows it.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    pub(super) action: &'static str,
    #[serde(serialize_with = "number::serialize")]
    amount: f64,
}

impl Run {
    /// Begins at the documents' limits. Only resources with a column are judged.
    pub(super) fn new(
        args: &ReplayArgs,
        structure: &Structure,
        limits: &Limits,
        rules: Arc<RuleSet>,
        columns: Vec<Resource>,
    ) -> anyhow::Result<Self> {
        let from = args.structure.display();
        let Some((guard, resources)) = structure.scalable() else {
            bail!("{from} is a host, expected a container or an application")
        };
        let mut subject = Subject::new(structure.name());
        let mut ledger = Ledger::new(PerResource::default(), false);
        let (mut lines, mut refused) = (Vec::new(), Vec::new());
        for (cell, resource) in columns.into_iter().enumerate() {
            let Some(amounts) = resources.known[resource].as_ref().filter(|a| guard && a.guard) else { continue };
            let (bounds, current) =
                bounds(amounts, limits, resource, args).with_context(|| format!("{from}, resources.{resource}"))?;
            if bounds.min > bounds.max {
                refused.push(NotAdmitted::Contradictory { resource, min: bounds.min, max: bounds.max }.to_string());
                continue;
            }
            let thresholds = limits.resources.known[resource].as_ref().and_then(ResourceLimits::thresholds);
            let share = Share { min: bounds.min, max: bounds.max, weight: bounds.weight };
            ledger.set(&subject.name, resource, Entry::guarded(current, share));
            subject.resources[resource] = Some(Guarded::new(bounds, Some(current), thresholds));
            lines.push(Line::new(resource, cell, bounds.max));
        }
        if lines.is_empty() && !refused.is_empty() {
            bail!("nothing of {from} is judged: {}", refused.join("; "));
        }
        if lines.is_empty() {
            bail!(
                "nothing of {from} is judged: \"guard\" must be true for the structure ({guard}) and for a resource that is a column of {}",
                args.usage.display()
            );
        }
        Ok(Self {
            guardian: Guardian::new(rules, args.event_timeout, args.rejudge).with_cooldown(args.cooldown),
            subject,
            ledger,
            out: Judgement::default(),
            apply: !args.no_apply,
            due: lines.iter().map(|l| l.resource).collect(),
            lines,
            refused,
        })
    }

    /// Judges one window and carries out what it asks for.
    pub(super) fn window(&mut self, row: &Row) {
        let now = row.timestamp;
        for line in &mut self.lines {
            let Some(guarded) = &mut self.subject.resources[line.resource] else { continue };
            guarded.refresh();
            guarded.usage = row.cells[line.cell];
            if line.resource == Resource::Cpu {
                guarded.throttled = row.cpu_throttled;
            }
            line.begin(now, guarded);
        }
        loop {
            self.guardian.judge(&mut self.subject, self.due, now, &mut self.out);
            self.note();
            if self.out.requests.is_empty() || !self.apply || !self.carry_out(now) {
                break;
            }
        }
        self.subject.next_window(self.due);
    }

    /// Keeps the events and requests of a judgement for the output.
    fn note(&mut self) {
        for line in &mut self.lines {
            line.events.extend(self.out.events.iter().filter(|e| e.resource == line.resource).map(Raised::name));
            let change = |r: &Request| Change { action: r.action(), amount: r.amount };
            line.requests.extend(self.out.requests.iter().filter(|r| r.resource == line.resource).map(change));
        }
    }

    /// Plans the requests as the Scaler does, and takes every write as done. Returns whether a limit was raised.
    fn carry_out(&mut self, now: f64) -> bool {
        let mut raised = false;
        let plan = plan::batches(self.out.requests.drain(..), now, f64::INFINITY);
        for group in &plan.groups {
            for grant in plan::grant(group, &self.ledger) {
                let Some(limit) = grant.writes() else { continue };
                let resource = grant.request.resource;
                self.ledger.account(&grant, limit);
                raised |= self.subject.set_limit(resource, limit, self.guardian.rejudge);
                if let Some(line) = self.lines.iter_mut().find(|l| l.resource == resource) {
                    line.limit = limit;
                }
            }
        }
        raised
    }

    /// Writes what the last window brought, a line for each resource.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for line in &self.lines {
            serde_json::to_writer(&mut *out, line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// The limit that stands now.
    pub(super) fn limit(&self, resource: Resource) -> Option<f64> {
        self.ledger.entry(&self.subject.name, resource).map(|e| e.limit).and_then(Limit::amount)
    }
}

impl Line {
    fn new(resource: Resource, cell: usize, max: f64) -> Self {
        Self {
            timestamp: 0.0,
            resource,
            usage: None,
            current: 0.0,
            upper: 0.0,
            lower: 0.0,
            events: Vec::new(),
            requests: Vec::new(),
            limit: 0.0,
            before: 0.0,
            max,
            cell,
        }
    }

    /// What the window is judged by.
    fn begin(&mut self, now: f64, guarded: &Guarded) {
        self.timestamp = now;
        self.usage = guarded.usage;
        self.before = guarded.current.unwrap_or_default();
        self.limit = self.before;
        self.current = guarded.counted().unwrap_or_default();
        if let Some(thresholds) = guarded.thresholds() {
            (self.upper, self.lower) = (thresholds.upper, thresholds.lower);
        }
        self.events.clear();
        self.requests.clear();
    }
}

/// A resource's bounds, and the limit that it starts from: `max` where the document has no `current`, or -1 for no limit, as at the
/// first guarding.
fn bounds(amounts: &Amounts, limits: &Limits, resource: Resource, args: &ReplayArgs) -> anyhow::Result<(Bounds, f64)> {
    let amount = |key: &str, amount: Option<f64>| match amount {
        Some(amount) if amount < 0.0 => bail!("{key} is {amount}, expected a number, 0 or more"),
        Some(amount) => Ok(amount),
        None => bail!("there is no {key}, expected a number"),
    };
    let (max, min) = (amount("max", amounts.max)?, amount("min", amounts.min)?);
    let current = match amounts.current.filter(|current| (current + 1.0).abs() > f64::EPSILON) {
        Some(current) if current < 0.0 => bail!("current is {current}, expected a number, 0 or more, or -1 for no limit"),
        current => current.unwrap_or(max),
    };
    let boundary = limits.resources.known[resource].as_ref().and_then(ResourceLimits::boundary);
    let boundary = boundary.with_context(|| format!("{} has no resources.{resource}.boundary", args.limits.display()))?;
    boundary.check(max).with_context(|| format!("{}, resources.{resource}", args.limits.display()))?;
    Ok((Bounds { min, max, boundary, weight: amounts.weight.unwrap_or(1.0) }, current))
}
