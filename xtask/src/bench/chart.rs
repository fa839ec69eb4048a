//! What the benches' charts have in common: their looks, on a ground of their own so that they read in light and dark, and bars.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(super) const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
pub(super) const FAINT: RGBColor = RGBColor(0x6e, 0x77, 0x81);
pub(super) const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xeb);
/// What containers use.
pub(super) const USAGE: RGBColor = RGBColor(0x9e, 0xc5, 0xe8);
/// What the responsive profile does.
pub(super) const OURS: RGBColor = RGBColor(0xc4, 0x43, 0x1c);
/// What others do.
pub(super) const OTHERS: RGBColor = RGBColor(0xa8, 0xb0, 0xb9);

const FONT: &str = "sans-serif";

/// Text of that size, in px, from the left, or whichever side `hpos` says.
pub(super) fn text(size: i32, color: RGBColor, hpos: HPos) -> TextStyle<'static> {
    // Without fonts the library takes a size for the height of a line.
    (FONT, f64::from(size) * 1.24).into_font().color(&color).pos(Pos::new(hpos, VPos::Center))
}

/// Drawing errors, which are those of the file's writing, as ours.
pub(super) fn drawn<T, E: std::error::Error + Send + Sync + 'static>(done: Result<T, DrawingAreaErrorKind<E>>) -> Result<T> {
    done.map_err(|error| anyhow!("drawing a chart: {error}"))
}

/// One bar.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: f64,
    /// The value, for people.
    pub(super) label: String,
    pub(super) color: RGBColor,
}

/// Bars to the right with names before and values after them. `end`: the value at the right border; longer ones are cut there.
pub(super) fn bars(area: &Area<'_>, title: &str, bars: &[Bar], end: f64) -> Result<()> {
    const NAMES: i32 = 96;
    const LABELS: i32 = 64;
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (i32::try_from(width)?, i32::try_from(height)?);
    drawn(area.draw_text(title, &text(14, INK, HPos::Left), (4, 12)))?;
    let each = (height - 28) / i32::try_from(bars.len().max(1))?;
    for (n, bar) in (0..).zip(bars) {
        let middle = 28 + each * n + each / 2;
        let part = (bar.value / end).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, reason = "a number of pixels")]
        let length = (f64::from(width - NAMES - LABELS) * part).round().max(1.0) as i32;
        drawn(area.draw_text(&bar.name, &text(12, INK, HPos::Right), (NAMES - 6, middle)))?;
        let corners = [(NAMES, middle - each * 3 / 10), (NAMES + length, middle + each * 3 / 10)];
        drawn(area.draw(&Rectangle::new(corners, bar.color.filled())))?;
        drawn(area.draw_text(&bar.label, &text(12, INK, HPos::Left), (NAMES + length + 6, middle)))?;
    }
    Ok(())
}
