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

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 330.0;
/// Room for the axes' labels.
const LEFT: f64 = 46.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;
/// The containers' max, and a bit.
const MOST: f64 = 215.0;

/// A name, what of a sample it shows, whether as steps, and how it is drawn.
type Line = (&'static str, fn(&Sample) -> f64, bool, &'static str);

/// An SVG document that looks right on light and dark pages.
pub(super) fn svg(samples: &[Sample]) -> String {
    let end = samples.last().map_or(1.0, |s| s.t).max(1.0);
    let x = |t: f64| LEFT + t / end * (WIDTH - LEFT - 10.0);
    let y = |shares: f64| TOP + (1.0 - shares / MOST) * (HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    let mut began = 0.0;
    for (at, phase) in PHASES.iter().enumerate() {
        let ends = began + phase.lasts.as_secs_f64();
        let (from, to) = (x(began), x(ends.min(end)));
        if at % 2 == 1 {
            add(
                &mut out,
                format_args!(
                    "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#f3f4f6\"/>",
                    to - from,
                    HEIGHT - TOP - BOTTOM
                ),
            );
        }
        let title = phase.title.split(':').next().unwrap_or_default();
        add(
            &mut out,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#374151\">{title}</text>",
                f64::midpoint(from, to),
                TOP - 8.0
            ),
        );
        began = ends;
    }
    for shares in [0.0, 50.0, 100.0, 150.0, 200.0] {
        add(
            &mut out,
            format_args!("<line x1=\"{LEFT}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#e5e7eb\"/>", x(end), y(shares)),
        );
        add(
            &mut out,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#6b7280\">{shares}</text>",
                LEFT - 6.0,
                y(shares) + 4.0
            ),
        );
    }
    let line = |of: fn(&Sample) -> f64, is_step: bool| {
        let mut path = String::new();
        for (at, sample) in samples.iter().enumerate() {
            let (x, y) = (x(sample.t), y(of(sample).min(MOST)));
            if at == 0 {
                add(&mut path, format_args!("M{x:.1} {y:.1}"));
            } else if is_step {
                add(&mut path, format_args!("H{x:.1}V{y:.1}"));
            } else {
                add(&mut path, format_args!("L{x:.1} {y:.1}"));
            }
        }
        path
    };
    let lines: [Line; 4] = [
        ("usage", |s| s.usage, false, "stroke=\"#2563eb\" stroke-width=\"2\""),
        ("lower", |s| s.lower, true, "stroke=\"#10b981\" stroke-dasharray=\"3 3\""),
        ("upper", |s| s.upper, true, "stroke=\"#f59e0b\" stroke-dasharray=\"3 3\""),
        ("limit", |s| s.limit, true, "stroke=\"#dc2626\" stroke-width=\"2.5\""),
    ];
    for (at, (name, of, is_step, style)) in lines.into_iter().enumerate() {
        add(&mut out, format_args!("<path d=\"{}\" fill=\"none\" {style}/>", line(of, is_step)));
        let left = LEFT + 90.0 * at as f64;
        add(
            &mut out,
            format_args!(
                "<path d=\"M{left:.0} {0:.0}h24\" fill=\"none\" {style}/><text x=\"{1:.0}\" y=\"{2:.0}\" fill=\"#374151\">{name}</text>",
                HEIGHT - 14.0,
                left + 30.0,
                HEIGHT - 10.0
            ),
        );
    }
    add(
        &mut out,
        format_args!(
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"#6b7280\">{end:.0} s; CPU in shares, 100 = one core</text>",
            WIDTH - 10.0,
            HEIGHT - 10.0
        ),
    );
    out.push_str("</svg>\n");
    out
}

fn add(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    out.write_fmt(what).ok();
    out.push('\n');
}
