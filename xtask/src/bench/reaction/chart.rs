//! How soon bursts are raised, as a picture: each way's share of bursts over time, on a logarithmic axis.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::Cell;
use crate::bench::Built;
use crate::repo;

const SIZE: (u32, u32) = (1230, 420);
/// The rest of the width is the legend's.
const PLOT: i32 = 900;
const INK: RGBColor = RGBColor(55, 65, 81);

/// Writes `target/bench/reaction.svg`, and `docs/reaction.svg` after a full run.
pub(super) fn write(built: &Built, cells: &[Cell]) -> Result<()> {
    let text = draw(cells)?;
    std::fs::write(built.results.join("reaction.svg"), &text)?;
    if built.reaction.is_full() {
        std::fs::write(repo::root().join("docs/reaction.svg"), &text)?;
    }
    Ok(())
}

fn draw(cells: &[Cell]) -> Result<String> {
    let mut text = String::new();
    draw_on(&mut text, cells).map_err(|e| anyhow!("drawing the chart: {e}"))?;
    Ok(text)
}

fn draw_on(text: &mut String, cells: &[Cell]) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let label = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let (plot, legend) = root.split_horizontally(PLOT);
    let mut chart = ChartBuilder::on(&plot)
        .caption("From the start of a burst to the raised limit: share of bursts", label(18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(52)
        .build_cartesian_2d((1.0_f64..100_000.0).log_scale(), 0.0_f64..100.0)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(229, 231, 235))
        .axis_style(RGBColor(156, 163, 175))
        .label_style(label(13))
        .x_desc("after the start of the burst (logarithmic)")
        .x_label_formatter(&|ms| time(*ms))
        .y_label_formatter(&|percent| format!("{percent:.0}%"))
        .draw()?;
    let colours = [RGBColor(220, 38, 38), RGBColor(245, 158, 11), RGBColor(37, 99, 235), RGBColor(107, 114, 128)];
    for (n, cell) in cells.iter().enumerate() {
        let colour = colours[n / 2 % colours.len()];
        let style = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: if cell.threads == 1 { 3 } else { 1 } };
        let mut times = cell.times();
        times.sort_by(f64::total_cmp);
        chart.draw_series(LineSeries::new(steps(&times, cell.bursts.len()), style))?;
        let y = 60 + 42 * i32::try_from(n)?;
        legend.draw(&PathElement::new([(0, y), (24, y)], style))?;
        legend.draw(&Text::new(format!("{}, {} burning", cell.name, cell.threads), (32, y - 8), label(14)))?;
        let (throttled, count) = (cell.throttled(0), cell.bursts.len());
        let text = format!("median {}, {throttled} of {count} bursts throttled", time(super::median(times)));
        legend.draw(&Text::new(text, (32, y + 9), label(13)))?;
    }
    root.present()?;
    Ok(())
}

/// The share of `count` bursts that were raised by each time, in %.
fn steps(times: &[f64], count: usize) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for (n, time) in times.iter().enumerate() {
        let part = |n: usize| n as f64 / count as f64 * 100.0;
        points.extend([(*time, part(n)), (*time, part(n + 1))]);
    }
    points
}

fn time(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms if ms < 10_000.0 => format!("{:.1} s", ms / 1e3),
        ms => format!("{:.0} s", ms / 1e3),
    }
}
