//! What the terminal shows while it runs: a line each half second, with a bar.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::agent::{Agent, Cpu, amount};
use super::chart::{self, Sample};

/// How often a line is added.
const PACE: Duration = Duration::from_millis(500);
/// Shares that one column of the bar stands for.
const COLUMN: f64 = 5.0;
/// The bar's end: the containers' max.
const MOST: f64 = 200.0;
/// No line is longer, so that none is broken on the narrowest terminal there is.
const WIDTH: usize = 79;

/// The running table.
pub(super) struct Display {
    titles: Vec<&'static str>,
    began: Instant,
    next: Instant,
    colour: bool,
    last_limit: Option<f64>,
    samples: Vec<Sample>,
}

impl Display {
    /// Begins, with the titles of the phases.
    pub(super) fn begin(titles: impl Iterator<Item = &'static str>) -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let now = Instant::now();
        println!(
            "\nCPU in shares (100 = one core); the bar is cont0's:\n'#' usage, 'l' lower, 'u' upper, '|' limit; cont1 as usage/limit"
        );
        Self { titles: titles.collect(), began: now, next: now, colour, last_limit: None, samples: Vec::new() }
    }

    /// A phase begins.
    pub(super) fn phase(&mut self, at: usize) {
        let title = self.titles.get(at).copied().unwrap_or_default();
        let heading = format!("-- {} of {}  {title} ", at + 1, self.titles.len());
        println!("\n{}", self.paint("1", &format!("{heading:-<WIDTH$}")));
        println!("{:>4} {:>5} {:>5} {:>5} {:>5}  {:<41} cont1", "t", "usage", "lower", "upper", "limit", "cont0");
    }

    /// Adds a line if it is time to.
    pub(super) fn show_if_due(&mut self, agent: &Agent) -> Result<()> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + PACE;
        let status = agent.status()?;
        let cpu = |name: &str| status.iter().find(|c| c.name() == name).and_then(|c| c.cpu());
        let (Some(first), Some(second)) = (cpu("cont0"), cpu("cont1")) else { return Ok(()) };
        let number = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.0}"));
        let limit = amount(&first.limit);
        let changed = self.last_limit.is_some() && self.last_limit != limit;
        self.last_limit = limit;
        let t = now.duration_since(self.began).as_secs_f64();
        if let (Some(usage), Some(lower), Some(upper), Some(limit)) = (first.usage, first.lower, first.upper, limit) {
            self.samples.push(Sample { t, usage, lower, upper, limit });
        }
        let line = format!(
            "{:>4.1} {:>5} {:>5} {:>5} {:>5}  {} {}/{}",
            t,
            number(first.usage),
            number(first.lower),
            number(first.upper),
            number(limit),
            bar(first),
            number(second.usage),
            number(amount(&second.limit)),
        );
        println!("{}", if changed { self.paint("33;1", &line) } else { line });
        std::io::stdout().flush()?;
        Ok(())
    }

    /// What was shown, as an SVG document.
    pub(super) fn picture(&self) -> String {
        chart::svg(&self.samples)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn bar(cpu: &Cpu) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bar")]
    let column = |shares: f64| (shares.clamp(0.0, MOST) / COLUMN).round() as usize;
    let mut cells = vec![b' '; column(MOST) + 1];
    for cell in &mut cells[..column(cpu.usage.unwrap_or(0.0))] {
        *cell = b'#';
    }
    for (value, mark) in [(cpu.lower, b'l'), (cpu.upper, b'u'), (amount(&cpu.limit), b'|')] {
        if let Some(value) = value {
            cells[column(value)] = mark;
        }
    }
    String::from_utf8_lossy(&cells).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quickstart::agent::Areas;

    #[test]
    fn the_bar_has_usage_thresholds_and_limit_in_their_places() {
        let areas = Areas { used: 0.0, allocated: 0.0, reserved: 0.0 };
        let limit = serde_json::json!({ "at": 100 });
        let cpu = Cpu { guard: true, usage: Some(20.0), limit, upper: Some(75.0), lower: Some(50.0), areas };
        assert_eq!(bar(&cpu), "####      l    u    |                    ");
    }
}
