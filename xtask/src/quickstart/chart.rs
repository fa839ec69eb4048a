//! The run as a picture: usage, thresholds and limit over time.

use std::fmt::Write;

use super::phases::PHASES;

/// What the display showed at one moment, in seconds and shares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) t: f64,
    pub(super) usage: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) limit: f64,
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
/// The edges of the plot; outside is room for words.
const LEFT: f64 = 56.0;
const RIGHT: f64 = WIDTH - 20.0;
const TOP: f64 = 100.0;
const BOTTOM: f64 = HEIGHT - 34.0;
/// The top of the plot in shares: the containers' max, and a bit.
const MOST: f64 = 215.0;

/// GitHub's greys and colours for a light page. The picture brings its own ground, so a dark page changes nothing.
const TEXT: &str = "#1f2328";
const FAINT: &str = "#59636e";
const USAGE: &str = "#0969da";
const UPPER: &str = "#bf8700";
const LOWER: &str = "#1a7f37";
const LIMIT: &str = "#cf222e";

/// An SVG document that looks right on light and dark pages.
pub(super) fn svg(samples: &[Sample]) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui,sans-serif\" font-size=\"12\">\n\
         <rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"#ffffff\" stroke=\"#d1d9e0\"/>\n",
        WIDTH - 1.0,
        HEIGHT - 1.0
    );
    text(
        &mut out,
        [LEFT, 30.0],
        &format!("fill=\"{TEXT}\" font-size=\"16\" font-weight=\"600\""),
        "A limit that follows the use",
    );
    let end = samples.last().map_or(1.0, |s| s.t).max(1.0);
    let plot = Plot { end };
    plot.phases(&mut out);
    plot.axes(&mut out);
    plot.lines(&mut out, samples);
    legend(&mut out);
    out.push_str("</svg>\n");
    out
}

/// Where a moment and an amount are on the picture.
struct Plot {
    /// The last moment, in seconds.
    end: f64,
}

impl Plot {
    fn x(&self, t: f64) -> f64 {
        LEFT + t.min(self.end) / self.end * (RIGHT - LEFT)
    }

    fn y(shares: f64) -> f64 {
        BOTTOM - shares.min(MOST) / MOST * (BOTTOM - TOP)
    }

    /// Each has its column, its name, and what the policy makes of it.
    fn phases(&self, out: &mut String) {
        let mut began = 0.0;
        for (at, phase) in PHASES.iter().enumerate() {
            let ends = began + phase.lasts.as_secs_f64();
            let (from, to) = (self.x(began), self.x(ends));
            let (width, height) = (to - from, BOTTOM - TOP + 44.0);
            let fill = if at % 2 == 0 { "#f6f8fa" } else { "#ffffff" };
            add(
                out,
                format_args!(
                    "<rect x=\"{from:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{fill}\"/>",
                    TOP - 44.0
                ),
            );
            let (name, effect) = phase.title.split_once(": ").unwrap_or((phase.title, ""));
            let middle = f64::midpoint(from, to);
            text(out, [middle, TOP - 26.0], &format!("text-anchor=\"middle\" fill=\"{TEXT}\" font-weight=\"600\""), name);
            text(out, [middle, TOP - 10.0], &format!("text-anchor=\"middle\" fill=\"{FAINT}\" font-size=\"11\""), effect);
            began = ends;
        }
    }

    fn axes(&self, out: &mut String) {
        for shares in [0.0, 50.0, 100.0, 150.0, 200.0] {
            let y = Self::y(shares);
            add(out, format_args!("<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#d1d9e0\"/>"));
            text(out, [LEFT - 8.0, y + 4.0], &format!("text-anchor=\"end\" fill=\"{FAINT}\""), &shares.to_string());
        }
        let mut t = 0.0;
        while t <= self.end {
            text(out, [self.x(t), BOTTOM + 18.0], &format!("text-anchor=\"middle\" fill=\"{FAINT}\""), &format!("{t} s"));
            t += 10.0;
        }
        let turned =
            format!("transform=\"rotate(-90 16 {0})\" text-anchor=\"middle\" fill=\"{FAINT}\"", f64::midpoint(TOP, BOTTOM));
        text(out, [16.0, f64::midpoint(TOP, BOTTOM)], &turned, "CPU of one container (100 = one core)");
    }

    fn lines(&self, out: &mut String, samples: &[Sample]) {
        let Some(first) = samples.first() else { return };
        let line = |of: fn(&Sample) -> f64, is_step: bool| {
            let mut path = format!("M{:.1} {:.1}", self.x(first.t), Self::y(of(first)));
            for sample in &samples[1..] {
                let (x, y) = (self.x(sample.t), Self::y(of(sample)));
                let drawn = if is_step { write!(path, "H{x:.1}V{y:.1}") } else { write!(path, "L{x:.1} {y:.1}") };
                // Writing to a String does not fail.
                drawn.ok();
            }
            path
        };
        let usage = line(|s| s.usage, false);
        let (from, to, ground) = (self.x(first.t), self.x(self.end), Self::y(0.0));
        add(
            out,
            format_args!("<path d=\"{usage}\" fill=\"none\" stroke=\"{USAGE}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>"),
        );
        add(
            out,
            format_args!(
                "<path d=\"{usage}L{to:.1} {ground:.1}L{from:.1} {ground:.1}Z\" fill=\"{USAGE}\" fill-opacity=\".12\"/>"
            ),
        );
        for (path, colour) in [(line(|s| s.lower, true), LOWER), (line(|s| s.upper, true), UPPER)] {
            add(
                out,
                format_args!(
                    "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"4 3\"/>"
                ),
            );
        }
        let limit = line(|s| s.limit, true);
        add(
            out,
            format_args!("<path d=\"{limit}\" fill=\"none\" stroke=\"{LIMIT}\" stroke-width=\"2.5\" stroke-linejoin=\"round\"/>"),
        );
    }
}

/// What the lines are, at the top on the right.
fn legend(out: &mut String) {
    let entries = [
        ("limit", LIMIT, "2.5", ""),
        ("upper: above it, raise", UPPER, "1.5", "4 3"),
        ("lower: below it, lower", LOWER, "1.5", "4 3"),
        ("usage", USAGE, "2", ""),
    ];
    for ((name, colour, width, dashes), left) in entries.into_iter().zip([440.0, 520.0, 690.0, 862.0]) {
        add(
            out,
            format_args!(
                "<path d=\"M{left} 26h20\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-dasharray=\"{dashes}\"/>"
            ),
        );
        text(out, [left + 26.0, 30.0], &format!("fill=\"{TEXT}\""), name);
    }
}

fn text(out: &mut String, [x, y]: [f64; 2], attributes: &str, words: &str) {
    add(out, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{words}</text>"));
}

fn add(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    out.write_fmt(what).ok();
    out.push('\n');
}
