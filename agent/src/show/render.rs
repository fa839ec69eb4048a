//! The table: what is guarded, between what, and what was decided last and why.

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use unicode_width::UnicodeWidthStr as _;

use super::paint::{Paint, Tone, cut, fit, wrap};
use super::view::{Container, Decision, Numbers, Standing, View};
use crate::containers::Engine;
use crate::status::GuardMode;

/// No line is wider.
const WIDTH: usize = 100;

/// How far notes and decisions are set in.
const INDENT: usize = 4;

/// Names are cut at this.
const LONGEST_NAME: usize = 26;

/// The column that is there only where something is advised.
const ADVISED: &str = " ADVISED";

/// From the name to the reason, in the table of those that are not guarded.
const UNGUARDED_INDENT: usize = 32;

/// The whole picture.
pub(super) fn render(view: &View, paint: Paint) -> String {
    let (unguarded, guarded): (Vec<_>, Vec<_>) = view.containers.iter().partition(|c| c.guard == GuardMode::Off);
    let mut page = Page { paint, text: String::new() };
    page.summary(view);
    if !guarded.is_empty() {
        page.guarded(&guarded, view);
    }
    if !unguarded.is_empty() {
        page.unguarded(&unguarded);
    }
    page.text
}

struct Page {
    paint: Paint,
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn tuned(&mut self, tone: Tone, line: &str) {
        self.line(&self.paint.tone(tone, line.trim_end()));
    }

    /// A text below a row, set in.
    fn aside(&mut self, tone: Tone, text: &str) {
        for line in wrap(text, WIDTH - INDENT) {
            self.line(&format!("{:INDENT$}{}", "", self.paint.tone(tone, &line)));
        }
    }

    fn summary(&mut self, view: &View) {
        let host = &view.host;
        let count = |standing| view.containers.iter().filter(|c| c.standing() == standing).count();
        let mut headline = format!("{}: {} of {} containers guarded", host.name, count(Standing::Guarded), view.containers.len());
        for (standing, word) in [(Standing::Advised, "advised"), (Standing::Refused, "refused")] {
            let count = count(standing);
            if count > 0 {
                headline.extend([", ", &count.to_string(), " ", word]);
            }
        }
        self.tuned(Tone::Heading, &cut(&headline, WIDTH));
        let switch = |on| if on { "on" } else { "OFF" };
        let about = format!(
            "agent {}; {} CPUs; cgroup {}; CPU time counted by {}, network {}; Guardian {}, Scaler {}",
            view.version,
            host.online_cpus.len(),
            host.cgroup_mode,
            host.source,
            if host.net_reason.is_some() { "by interfaces" } else { "at sockets" },
            if host.judged_at_central { "at central" } else { switch(host.guardian_active) },
            switch(host.scaler_active)
        );
        self.aside(Tone::Quiet, &about);
        if host.judged_at_central {
            self.aside(
                Tone::Caution,
                "applications are judged at central, not containers here; while it does not answer, limits stay as they are",
            );
        }
        if let Some(reason) = &host.source_reason {
            self.aside(Tone::Caution, &format!("not by eBPF: {reason}"));
        } else if let Some(reason) = &host.net_reason {
            self.aside(Tone::Quiet, &format!("network not at sockets: {reason}"));
        }
        for (resource, max) in &host.max {
            let free = host.free.get(resource).copied();
            self.aside(Tone::Quiet, &format!("{resource}: {} of {} {} free", amount(free), amount(Some(*max)), resource.unit()));
        }
    }

    fn guarded(&mut self, containers: &[&Container], view: &View) {
        let advises = containers.iter().any(|c| c.guard == GuardMode::Advise);
        let names = name_width(containers, if advises { LONGEST_NAME - ADVISED.len() } else { LONGEST_NAME });
        let advised = if advises { ADVISED } else { "" };
        let heading = format!(
            "{:names$} {:7} {:6} {:10} {:>7} {:>7} {:>7} {:>7}{advised} {:>7} {:>7}",
            "NAME", "ENGINE", "GUARD", "RESOURCE", "USAGE", "LOWER", "UPPER", "LIMIT", "MIN", "MAX"
        );
        self.line("");
        self.tuned(Tone::Heading, &heading);
        for container in containers {
            let begins = format!("{} {:7} ", fit(&container.identity.name, names), engine(container));
            let mut identity = begins.clone();
            for (resource, numbers) in container.resources.iter().filter(|(_, numbers)| worth_showing(numbers)) {
                let guard = guard(container.guard, numbers.guard);
                let row = self.row(guard, *resource, numbers, advises);
                self.line(&(identity + &row));
                identity = " ".repeat(names + 9);
                let last = view.last_decisions.iter().find(|d| d.structure == container.identity.name && d.resource == *resource);
                if let Some(decision) = last {
                    self.decision(decision, view.at);
                }
            }
            if identity == begins {
                self.line(&begins);
            }
            let (tone, verb) = match container.standing() {
                Standing::Guarded => (Tone::Quiet, "guarded"),
                Standing::Advised => (Tone::Quiet, "advised"),
                Standing::Refused | Standing::Off => (Tone::Caution, "not guarded, though asked for"),
            };
            let application = container.identity.application.as_ref().map(|name| format!("application {name}; "));
            self.aside(tone, &format!("{}{verb} by {}", application.unwrap_or_default(), container.reason));
            for note in &container.notes {
                self.aside(Tone::Caution, note);
            }
        }
    }

    /// The limit that stands; `advises`: and beside it the one that would.
    fn row(&self, guard: &str, resource: Resource, numbers: &Numbers, advises: bool) -> String {
        let tone = match guard {
            "on" => Tone::Good,
            "advise" => Tone::Caution,
            _ => Tone::Quiet,
        };
        let usage = format!("{:>7}", amount(numbers.usage));
        let usage = match (numbers.usage, numbers.upper, numbers.lower) {
            (Some(usage_now), Some(upper), _) if usage_now > upper => self.paint.tone(Tone::Bad, &usage),
            (Some(usage_now), _, Some(lower)) if usage_now < lower => self.paint.tone(Tone::Low, &usage),
            _ => usage,
        };
        let (stands, advised) = match guard {
            "advise" => (numbers.applied, limit(numbers.limit)),
            _ => (numbers.limit, "-".to_owned()),
        };
        let advised = if advises { format!(" {advised:>7}") } else { String::new() };
        format!(
            "{} {:10} {usage} {:>7} {:>7} {:>7}{advised} {:>7} {:>7}",
            self.paint.tone(tone, &format!("{guard:6}")),
            resource.key(),
            amount(numbers.lower),
            amount(numbers.upper),
            limit(stands),
            amount(numbers.min),
            amount(numbers.max)
        )
    }

    fn decision(&mut self, decision: &Decision, now: f64) {
        let tone = match decision.outcome.as_str() {
            "applied" | "advised" => Tone::Quiet,
            "partial" | "inactive" => Tone::Caution,
            _ => Tone::Bad,
        };
        let detail = decision.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
        let (from, to) = (limit(decision.from), limit(decision.to));
        let text = format!(
            "{} ago {} {from} -> {to} {}{detail}: {}",
            age(now - decision.at),
            decision.action,
            decision.outcome,
            decision.why
        );
        self.aside(tone, &text);
    }

    fn unguarded(&mut self, containers: &[&Container]) {
        let names = name_width(containers, LONGEST_NAME);
        self.line("");
        self.tuned(
            Tone::Heading,
            &format!("{:names$} {:7} {:>10} {:>10}  {}", "NOT GUARDED", "ENGINE", "CPU SHARES", "MEM MIB", "WHY"),
        );
        for container in containers {
            let usage = |resource| amount(container.resources.get(&resource).and_then(|numbers| numbers.usage));
            let why = container.notes.iter().fold(container.reason.clone(), |why, note| why + "; " + note);
            let why = container.identity.application.iter().fold(why, |why, name| format!("application {name}; {why}"));
            let row = format!(
                "{} {:7} {:>10} {:>10}  ",
                fit(&container.identity.name, names),
                engine(container),
                usage(Resource::Cpu),
                usage(Resource::Mem)
            );
            let indent = names + UNGUARDED_INDENT;
            let mut why = wrap(&why, WIDTH - indent).into_iter();
            self.line(&(row + &why.next().unwrap_or_default()));
            for more in why {
                self.line(&(" ".repeat(indent) + &more));
            }
        }
    }
}

/// Room for the longest name, up to `most`, and for the heading.
fn name_width(containers: &[&Container], most: usize) -> usize {
    let longest = containers.iter().map(|c| c.identity.name.width()).max().unwrap_or(0);
    longest.clamp("NOT GUARDED".len(), most)
}

fn engine(container: &Container) -> &'static str {
    match container.identity.engine {
        // Its column is as wide as the others' names.
        Engine::Kubernetes => "k8s",
        engine => engine.name(),
    }
}

/// A container's guard holds for the resources that are guarded.
fn guard(container: GuardMode, resource: bool) -> &'static str {
    match (container, resource) {
        (GuardMode::On, true) => "on",
        (GuardMode::Advise, true) => "advise",
        _ => "off",
    }
}

/// Guarded, used or limited: the rest says nothing.
fn worth_showing(numbers: &Numbers) -> bool {
    numbers.guard || numbers.usage.is_some() || numbers.limit != Limit::Unlimited
}

/// Whole, or to one place.
fn amount(amount: Option<f64>) -> String {
    let Some(amount) = amount else { return "-".to_owned() };
    let rounded = (amount * 10.0).round() / 10.0;
    if rounded.abs() >= 1000.0 { format!("{rounded:.0}") } else { rounded.to_string() }
}

fn limit(limit: Limit) -> String {
    limit.amount().map_or_else(|| "none".to_owned(), |at| amount(Some(at)))
}

/// `12 s`, `3 min`, `2 h`, `5 d`.
fn age(seconds: f64) -> String {
    let (amount, unit) = match seconds.max(0.0) {
        s if s < 120.0 => (s, "s"),
        s if s < 7200.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3600.0, "h"),
        s => (s / 86_400.0, "d"),
    };
    format!("{amount:.0} {unit}")
}
