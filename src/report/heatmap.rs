//! A map of values with colour bar, scale bar and marks.

use super::canvas::{Align, FAINT, Figure, INK, Rgb, TEXT, TITLE, WHITE, fit_text, text_width};
use super::colour::ColourMap;
use super::geometry::{Geometry, TARGET};
use super::scalebar::{ScaleBar, scale_bar};
use super::ticks;
use crate::io::Axis;
use ndarray::{Array2, ArrayView2};

/// Which values the colour map spans.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Limits {
    /// From the 0.5th to the 99.5th percentile of the finite values.
    #[default]
    Auto,
    /// From the smallest to the largest finite value.
    Full,
    /// From the first to the second.
    Fixed(f64, f64),
    /// From −v to v, v the 99.5th percentile of the absolute values: for signed maps.
    SymmetricAboutZero,
}

impl Limits {
    /// The lower and upper limit for `data`; the upper is always above the lower. With `positive`, only values above 0 count
    /// (for logarithmic colours), and without any the result is (0.1, 1).
    pub fn resolve(self, data: ArrayView2<'_, f64>, positive: bool) -> (f64, f64) {
        let mut values: Vec<f64> = data
            .iter()
            .copied()
            .filter(|v| v.is_finite() && (!positive || *v > 0.0))
            .collect();
        if values.is_empty() && !matches!(self, Limits::Fixed(..)) {
            return if positive { (0.1, 1.0) } else { (0.0, 1.0) };
        }
        let (low, high) = match self {
            Limits::Fixed(low, high) => (low, high),
            Limits::Full => values
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v))),
            Limits::Auto => (percentile(&mut values, 0.005), percentile(&mut values, 0.995)),
            Limits::SymmetricAboutZero => {
                let mut sizes: Vec<f64> = values.iter().map(|v| v.abs()).collect();
                let reach = percentile(&mut sizes, 0.995);
                (-reach, reach)
            }
        };
        widen(low, high, positive)
    }
}

/// Limits that span something: a constant map sits in the middle of its colours.
fn widen(low: f64, high: f64, positive: bool) -> (f64, f64) {
    let (low, high) = if low > high { (high, low) } else { (low, high) };
    if !(low.is_finite() && high.is_finite()) {
        return if positive { (0.1, 1.0) } else { (0.0, 1.0) };
    }
    match (positive, high > low) {
        (true, _) if low <= 0.0 && high <= 0.0 => (0.1, 1.0),
        (true, _) if low <= 0.0 => (high * 1e-6, high),
        (true, false) => (low / 2.0, high * 2.0),
        (false, false) => (low - 0.5 * low.abs().max(1.0), high + 0.5 * high.abs().max(1.0)),
        (_, true) => (low, high),
    }
}

/// Nearest-rank percentile, `share` in 0 … 1, of at least one value.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    let rank = ((values.len() - 1) as f64 * share).round() as usize;
    *values.select_nth_unstable_by(rank, f64::total_cmp).1
}

/// A circle around a data position.
#[derive(Debug, Clone, PartialEq)]
pub struct Marker {
    /// (y, x) in data pixels, origin at the centre of the first.
    pub at: [f64; 2],
    /// In data pixels.
    pub radius: f64,
    /// Written to the right of the circle.
    pub label: Option<String>,
    /// Instead of the figure's ink.
    pub colour: Option<[u8; 3]>,
}

impl Marker {
    /// A circle without label.
    pub fn circle(y: f64, x: f64, radius: f64) -> Self {
        Marker {
            at: [y, x],
            radius,
            label: None,
            colour: None,
        }
    }

    /// The same in a colour of its own.
    pub fn coloured(self, colour: [u8; 3]) -> Self {
        Marker {
            colour: Some(colour),
            ..self
        }
    }
}

/// An arrow in data coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    /// (y, x) of the tail.
    pub from: [f64; 2],
    /// (y, x) of the head minus the tail.
    pub step: [f64; 2],
    /// Written at the head.
    pub label: Option<String>,
    /// Instead of the figure's ink.
    pub colour: Option<[u8; 3]>,
}

/// A straight line in data coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// (y, x) of both ends; what lies outside the map is cut off.
    pub ends: [[f64; 2]; 2],
    pub colour: [u8; 3],
}

/// A map of values; build with [`HeatMap::new`] and set fields.
#[derive(Debug, Clone)]
pub struct HeatMap<'a> {
    /// (y, x), drawn with y downwards; NaN is grey.
    pub data: ArrayView2<'a, f64>,
    pub title: &'a str,
    /// Quantity and unit, written along the colour bar: `standard deviation (counts)`.
    pub unit: &'a str,
    pub colours: ColourMap,
    pub limits: Limits,
    /// Logarithmic colours; values that are not positive take the lowest colour.
    pub log: bool,
    /// The x axis, for the scale bar.
    pub axis: Axis,
    pub markers: &'a [Marker],
    pub vectors: &'a [Vector],
    /// Colour of markers and vectors that have none of their own.
    pub ink: [u8; 3],
    /// What the colours of markers mean, written below the map.
    pub legend: &'a [([u8; 3], &'a str)],
}

impl<'a> HeatMap<'a> {
    /// A map in viridis with robust limits.
    pub fn new(data: ArrayView2<'a, f64>, title: &'a str) -> Self {
        HeatMap {
            data,
            title,
            unit: "",
            colours: ColourMap::default(),
            limits: Limits::default(),
            log: false,
            axis: Axis::default(),
            markers: &[],
            vectors: &[],
            ink: WHITE,
            legend: &[],
        }
    }

    /// Draws the map; about 900 pixels wide unless the data are larger.
    pub fn draw(&self) -> Figure {
        let (rows, cols) = self.data.dim();
        let geometry = Geometry::new(rows, cols, TARGET);
        let limits = self.limits.resolve(self.data, self.log);
        let bar = ColourBar {
            colours: self.colours,
            limits,
            log: self.log,
            unit: self.unit,
        };
        let scale = scale_bar(&self.axis, cols);
        // A legend wider than the map makes the figure wider.
        let entry = |text: &str| LEGEND_MARK + f64::from(text_width(text, TEXT)) + LEGEND_GAP;
        let legend: f64 = self.legend.iter().map(|l| entry(l.1)).sum();
        let beside = match &scale {
            Some(s) => s.pixels * geometry.per_pixel() + f64::from(text_width(&s.label, TEXT)) + 54.0,
            None => 0.0,
        };
        let missing = (legend + beside - (geometry.width() + 20) as f64).max(0.0).ceil() as usize;
        let room = if self.legend.is_empty() {
            bar.width()
        } else {
            bar.width().max(missing)
        };
        let mut page = Page::new(&geometry, self.title, room, 160, scale, !self.legend.is_empty());
        let (left, top) = page.origin;
        paint(&mut page.figure, page.origin, &geometry, self.data, |v| {
            self.colours.rgb(position(v, limits, self.log))
        });
        marks(&mut page.figure, page.origin, &geometry, self.markers, self.vectors, self.ink);
        page.figure.frame(left, top, geometry.width(), geometry.height(), FAINT);
        let beyond = |out: &dyn Fn(f64) -> bool| self.data.iter().any(|v| !v.is_nan() && out(*v));
        let clipped = (beyond(&|v| v < limits.0), beyond(&|v| v > limits.1));
        bar.draw(&mut page.figure, page.side, top, geometry.height().max(160), clipped);
        let (mut x, y) = page.foot;
        for (colour, text) in self.legend {
            page.figure.ring((x + 7.0, y), 6.0, 4.4, INK, 0.7);
            page.figure.ring((x + 7.0, y), 6.0, 2.6, *colour, 1.0);
            page.figure.text(x + LEGEND_MARK, y, TEXT, Align::Left, INK, text);
            x += entry(text);
        }
        page.figure
    }
}

/// Room before and behind the text of an entry of the legend.
const LEGEND_MARK: f64 = 20.0;
const LEGEND_GAP: f64 = 22.0;

/// Where `value` lies between the limits, 0 … 1 and beyond; NaN stays NaN.
pub(super) fn position(value: f64, (low, high): (f64, f64), log: bool) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else if log {
        if value <= 0.0 {
            0.0
        } else {
            (value / low).ln() / (high / low).ln()
        }
    } else {
        (value - low) / (high - low)
    }
}

/// Fills the picture of a map, nearest neighbour.
pub(super) fn paint(
    figure: &mut Figure,
    (left, top): (usize, usize),
    geometry: &Geometry,
    data: ArrayView2<'_, f64>,
    colour: impl Fn(f64) -> Rgb,
) {
    paint_colours(figure, (left, top), geometry, &geometry.reduce(data).mapv(colour));
}

/// Fills the picture of a map of colours that has the reduced size.
pub(super) fn paint_colours(figure: &mut Figure, (left, top): (usize, usize), geometry: &Geometry, colours: &Array2<Rgb>) {
    for y in 0..geometry.height() {
        for x in 0..geometry.width() {
            let (row, col) = geometry.source(x, y);
            if let Some(&rgb) = colours.get((row, col)) {
                figure.fill(left + x, top + y, 1, 1, rgb);
            }
        }
    }
}

/// Circles and arrows over a map, cut off at its edge.
pub(super) fn marks(
    figure: &mut Figure,
    origin: (usize, usize),
    geometry: &Geometry,
    markers: &[Marker],
    vectors: &[Vector],
    ink: Rgb,
) {
    figure.clipped(origin.0, origin.1, geometry.width(), geometry.height(), |figure| {
        draw_marks(figure, origin, geometry, markers, vectors, ink)
    });
}

/// Lines on darker rims, so that they stand out from bright and dark places.
pub(super) fn segments(figure: &mut Figure, (left, top): (usize, usize), geometry: &Geometry, segments: &[Segment]) {
    figure.clipped(left, top, geometry.width(), geometry.height(), |figure| {
        let usable = |s: &&Segment| s.ends.iter().flatten().all(|v| v.is_finite() && v.abs() < 1e6);
        for (width, rim) in [(3.6, true), (1.8, false)] {
            for s in segments.iter().filter(usable) {
                let [from, to] = s.ends.map(|[y, x]| {
                    let (px, py) = geometry.position(y, x);
                    (left as f64 + px, top as f64 + py)
                });
                let colour = if rim { s.colour.map(|c| c / 4) } else { s.colour };
                figure.line(from, to, width, colour);
            }
        }
    });
}

/// Each mark on a rim of the opposite lightness, so that it stands out on any colour.
fn draw_marks(
    figure: &mut Figure,
    (left, top): (usize, usize),
    geometry: &Geometry,
    markers: &[Marker],
    vectors: &[Vector],
    ink: Rgb,
) {
    let place = |y: f64, x: f64| {
        let (px, py) = geometry.position(y, x);
        (left as f64 + px, top as f64 + py)
    };
    let finite = |p: [f64; 2]| p.iter().all(|v| v.is_finite() && v.abs() < 1e6);
    let rim_of = |ink: Rgb| -> Rgb {
        if ink.iter().map(|&c| u32::from(c)).sum::<u32>() > 300 {
            [0, 0, 0]
        } else {
            WHITE
        }
    };
    for marker in markers.iter().filter(|m| finite(m.at) && m.radius.is_finite()) {
        let centre = place(marker.at[0], marker.at[1]);
        let radius = (marker.radius * geometry.per_pixel()).clamp(3.0, 1e4);
        let ink = marker.colour.unwrap_or(ink);
        let rim = rim_of(ink);
        figure.ring(centre, radius, 3.4, rim, 0.55);
        figure.ring(centre, radius, 1.5, ink, 1.0);
        if let Some(label) = &marker.label {
            tag(figure, (centre.0 + radius + 5.0, centre.1), label, ink, rim);
        }
    }
    for vector in vectors.iter().filter(|v| finite(v.from) && finite(v.step)) {
        let tail = place(vector.from[0], vector.from[1]);
        let head = place(vector.from[0] + vector.step[0], vector.from[1] + vector.step[1]);
        let length = (head.0 - tail.0).hypot(head.1 - tail.1);
        if length < 1.0 {
            continue;
        }
        let ink = vector.colour.unwrap_or(ink);
        let rim = rim_of(ink);
        let (ux, uy) = ((head.0 - tail.0) / length, (head.1 - tail.1) / length);
        let barb = 12f64.min(length / 2.0);
        let end = |side: f64| (head.0 - barb * (ux + side * 0.5 * uy), head.1 - barb * (uy - side * 0.5 * ux));
        for (width, colour) in [(5.5, rim), (2.5, ink)] {
            figure.line(tail, head, width, colour);
            figure.line(head, end(1.0), width, colour);
            figure.line(head, end(-1.0), width, colour);
        }
        if let Some(label) = &vector.label {
            tag(figure, (head.0 + 10.0 * ux + 4.0, head.1 + 12.0 * uy), label, ink, rim);
        }
    }
}

/// Text with a rim.
fn tag(figure: &mut Figure, (x, y): (f64, f64), text: &str, ink: Rgb, rim: Rgb) {
    for (dx, dy) in [(-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)] {
        figure.text(x + dx, y + dy, TEXT, Align::Left, rim, text);
    }
    figure.text(x, y, TEXT, Align::Left, ink, text);
}

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
