//! What stands around a map: title, scale bar, colour bar.

use super::canvas::{Align, Figure, INK, TEXT, TITLE, fit_text, text_width};
use super::colour::ColourMap;
use super::geometry::Geometry;
use super::limits::position;
use super::scalebar::ScaleBar;
use super::ticks;

/// A figure around one map: title above, scale bar below left, room at the side.
pub(super) struct Page {
    pub figure: Figure,
    /// Left and top of the map.
    pub origin: (usize, usize),
    /// Left of what stands beside the map.
    pub side: usize,
    /// Where text may go on beside the scale bar, middle of the line.
    pub foot: (f64, f64),
}

impl Page {
    /// `side` pixels of room at the right, at least `least` pixels of height for what stands there; `foot`: room for a line below.
    pub(super) fn new(geometry: &Geometry, title: &str, side: usize, least: usize, bar: Option<ScaleBar>, foot: bool) -> Page {
        const MARGIN: usize = 22;
        const GAP: usize = 20;
        let origin = (MARGIN, if title.is_empty() { MARGIN } else { 62 });
        let bar_width = bar
            .as_ref()
            .map_or(0, |b| (b.pixels * geometry.per_pixel()).round().max(1.0) as usize);
        let bar_room = bar
            .as_ref()
            .map_or(0, |b| bar_width + 14 + text_width(&b.label, TEXT).ceil() as usize);
        let body = (geometry.width() + GAP + side).max(bar_room).max(340);
        let height = geometry.height().max(least);
        let strip = if bar.is_some() || foot { 46 } else { MARGIN };
        let mut figure = Figure::new(body + 2 * MARGIN, origin.1 + height + strip);
        let (title, size) = fit_text(title, TITLE, body as f32);
        figure.text(MARGIN as f64, 32.0, size, Align::Left, INK, &title);
        if let Some(bar) = bar {
            let y = origin.1 + geometry.height() + 20;
            figure.fill(MARGIN, y, bar_width, 7, INK);
            figure.text(
                (MARGIN + bar_width + 12) as f64,
                y as f64 + 3.5,
                TEXT,
                Align::Left,
                INK,
                &bar.label,
            );
        }
        Page {
            figure,
            origin,
            side: MARGIN + geometry.width() + GAP,
            foot: (
                (MARGIN + if bar_room > 0 { bar_room + 40 } else { 0 }) as f64,
                (origin.1 + geometry.height()) as f64 + 23.5,
            ),
        }
    }
}

/// The colour bar beside a map.
pub(super) struct ColourBar<'a> {
    pub colours: ColourMap,
    pub limits: (f64, f64),
    pub log: bool,
    pub unit: &'a str,
}

impl ColourBar<'_> {
    const BAR: usize = 24;

    fn ticks(&self, most: usize) -> ticks::Ticks {
        let (low, high) = self.limits;
        if self.log {
            ticks::logarithmic(low, high, most)
        } else {
            ticks::linear(low, high, most)
        }
    }

    /// Room it needs; tick labels are no wider with fewer ticks.
    pub(super) fn width(&self) -> usize {
        let widest = self
            .ticks(7)
            .marks
            .iter()
            .map(|m| text_width(&m.1, TEXT))
            .fold(24.0, f32::max);
        let unit = if self.label(&self.ticks(7)).is_empty() { 0 } else { 34 };
        Self::BAR + 12 + widest.ceil() as usize + unit
    }

    fn label(&self, ticks: &ticks::Ticks) -> String {
        format!("{}  {}", self.unit, ticks::times_power(ticks.exponent))
            .trim()
            .to_owned()
    }

    /// Draws it at (`left`, `top`); `clipped`: whether there are values below and above, shown by triangles.
    pub(super) fn draw(&self, figure: &mut Figure, left: usize, top: usize, height: usize, clipped: (bool, bool)) {
        const TIP: usize = 14;
        let (above, below) = (if clipped.1 { TIP } else { 0 }, if clipped.0 { TIP } else { 0 });
        let (start, length) = (top + above, height - above - below);
        for y in 0..length {
            let t = 1.0 - (y as f64 + 0.5) / length as f64;
            figure.fill(left, start + y, Self::BAR, 1, self.colours.rgb(t));
        }
        for i in 0..TIP {
            // Rows of a triangle, widest at the bar.
            let width = Self::BAR * (TIP - i) / TIP;
            let x = left + (Self::BAR - width) / 2;
            if clipped.1 {
                figure.fill(x, start - 1 - i, width, 1, self.colours.rgb(1.0));
            }
            if clipped.0 {
                figure.fill(x, start + length + i, width, 1, self.colours.rgb(0.0));
            }
        }
        let ticks = self.ticks(if height < 300 { 4 } else { 7 });
        let mut widest = 24f32;
        for (value, text) in &ticks.marks {
            let t = position(*value, self.limits, self.log);
            let y = start as f64 + (1.0 - t) * length as f64;
            figure.fill(
                left + Self::BAR,
                (y.round() as usize).clamp(start, start + length - 1),
                6,
                1,
                INK,
            );
            figure.text((left + Self::BAR + 12) as f64, y, TEXT, Align::Left, INK, text);
            widest = widest.max(text_width(text, TEXT));
        }
        let (label, size) = fit_text(&self.label(&ticks), TEXT, height as f32);
        let x = (left + Self::BAR + 12) as f64 + widest.ceil() as f64 + 22.0;
        figure.text_upwards(x, top as f64 + height as f64 / 2.0, size, INK, &label);
    }
}
