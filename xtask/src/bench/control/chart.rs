//! The picture: above, each workload's usage and the limit that the responsive profile kept over it; below, all strategies side by side.

use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::results::{Outcome, Results};
use super::workload::Workload;
use crate::bench::chart::{Area, Bar, FAINT, GRID, INK, OTHERS, OURS, USAGE, bars, drawn, text};
use crate::bench::strategy::Strategy;

const SIZE: (u32, u32) = (1080, 760);
const HEAD: i32 = 64;
const COLUMNS: usize = 3;
/// Height of the small pictures, all of them.
const MULTIPLES: i32 = 470;
/// Top of their scale, in shares.
const TOP: f64 = 200.0;

/// Draws it. What was not run is left out.
pub(super) fn draw(results: &Results, path: &Path) -> Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    drawn(root.fill(&WHITE))?;
    let (head, body) = root.split_vertically(HEAD);
    header(&head)?;
    let (above, below) = body.split_vertically(MULTIPLES);
    let workloads = results.workloads();
    let cells = above.split_evenly((workloads.len().div_ceil(COLUMNS), COLUMNS));
    for (area, workload) in cells.iter().zip(&workloads) {
        let run = results.of(*workload, Strategy::Responsive.name()).next_back();
        if let Some(run) = run {
            multiple(area, *workload, run).with_context(|| format!("the chart of {}", workload.name()))?;
        }
    }
    comparison(&below.margin(12, 8, 12, 12), results)?;
    drawn(root.present())
}

fn header(area: &Area<'_>) -> Result<()> {
    drawn(area.draw_text("Limits that follow usage", &text(20, INK, HPos::Left), (16, 20)))?;
    drawn(area.draw(&Rectangle::new([(16, 40), (34, 52)], USAGE.filled())))?;
    drawn(area.draw_text("CPU usage, shares of one core, over 100 ms", &text(13, INK, HPos::Left), (42, 46)))?;
    drawn(area.draw(&PathElement::new([(340, 46), (362, 46)], OURS.stroke_width(2))))?;
    drawn(area.draw_text("the limit under the responsive profile", &text(13, INK, HPos::Left), (370, 46)))
}

/// One workload's usage and limit over time.
fn multiple(area: &Area<'_>, workload: Workload, run: &Outcome) -> Result<()> {
    let area = area.margin(4, 10, 8, 14);
    let (title, chart) = area.split_vertically(22);
    let note = format!("utilization {:.2}, throttled {:.2} %", run.utilization(), run.throttled());
    let width = i32::try_from(title.dim_in_pixel().0)?;
    drawn(title.draw_text(workload.name(), &text(15, INK, HPos::Left), (34, 10)))?;
    drawn(title.draw_text(&note, &text(12, FAINT, HPos::Right), (width, 10)))?;
    let span = run.measured.span();
    let built = ChartBuilder::on(&chart).x_label_area_size(22).y_label_area_size(34).build_cartesian_2d(0.0..span, 0.0..TOP);
    let mut chart = drawn(built)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(WHITE).bold_line_style(GRID).axis_style(FAINT).x_labels(5).y_labels(5);
    mesh.label_style(("sans-serif", 13.6).into_font().color(&FAINT));
    drawn(mesh.x_label_formatter(&|at| format!("{at:.0} s")).y_label_formatter(&|shares| format!("{shares:.0}")).draw())?;
    let mut usage = Vec::new();
    for (n, shares) in (0_u32..).zip(run.measured.usage()) {
        // A step each: the mean of a window is its alone.
        usage.extend([0, 1].map(|end| (f64::from(n + end) / 10.0, shares.min(TOP))));
    }
    drawn(chart.draw_series(AreaSeries::new(usage, 0.0, USAGE.filled())))?;
    drawn(chart.draw_series(LineSeries::new(limit(run), OURS.stroke_width(1))))?;
    Ok(())
}

/// The limit's steps.
fn limit(run: &Outcome) -> Vec<(f64, f64)> {
    let samples = &run.measured.samples;
    let mut line: Vec<(f64, f64)> = samples.first().map(|sample| (sample.at, sample.limit)).into_iter().collect();
    for pair in samples.windows(2) {
        if (pair[0].limit - pair[1].limit).abs() > 0.0 {
            line.extend([(pair[1].at, pair[0].limit), (pair[1].at, pair[1].limit)]);
        }
    }
    line.extend(samples.last().map(|sample| (sample.at, sample.limit)));
    line
}

/// All strategies, by what they leave unused and whom they hurt.
fn comparison(area: &Area<'_>, results: &Results) -> Result<()> {
    let strategies = results.all_strategies();
    let row = |of: &dyn Fn(&str) -> Option<f64>, label: &dyn Fn(f64) -> String| -> Vec<Bar> {
        let bar = |strategy: &Strategy| {
            let value = of(strategy.name())?;
            let color = if *strategy == Strategy::Responsive { OURS } else { OTHERS };
            Some(Bar { name: strategy.name().to_owned(), value, label: label(value), color })
        };
        strategies.iter().filter_map(bar).collect()
    };
    let set: Vec<Workload> = results.workloads().into_iter().filter(|workload| !workload.is_apart()).collect();
    let panels = area.split_evenly((1, 3));
    let utilization = row(&|name| results.utilization(&set, name), &|value| format!("{value:.2}"));
    bars(&panels[0], "Used of allocated (without the spikes)", &utilization, 1.0)?;
    let throttled = row(&|name| results.throttled(&results.workloads(), name), &|value| format!("{value:.2} %"));
    let most = throttled.iter().map(|bar| bar.value).fold(1.0, f64::max);
    bars(&panels[1], "Throttled of used time", &throttled, most)?;
    if results.workloads().contains(&Workload::Web) {
        let p99 = |name: &str| Some(results.cell(Workload::Web, name).p99_ms).filter(|ms| ms.is_finite());
        let latency = row(&p99, &|ms| if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1e3) });
        let least = latency.iter().map(|bar| bar.value).fold(f64::INFINITY, f64::min);
        bars(&panels[2], "Web server, 99th percentile of latency", &latency, least * 10.0)?;
    }
    Ok(())
}
