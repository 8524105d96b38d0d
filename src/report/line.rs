//! Curves: merge distances, spectra, losses.

use super::canvas::{Align, FAINT, Figure, INK, Rgb, TEXT, TITLE, WHITE, fit_text, text_width};
use super::colour::label_colour;
use super::ticks;

/// One curve of a [`LinePlot`].
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// For the legend, which appears with two or more curves.
    pub name: &'a str,
    pub x: &'a [f64],
    pub y: &'a [f64],
    /// Dots at the values.
    pub dots: bool,
}

/// A dashed line across the plot.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// Vertical, at x.
    Vertical(f64, String),
    /// Horizontal, at y.
    Horizontal(f64, String),
}

/// Curves over common axes.
#[derive(Debug, Clone)]
pub struct LinePlot<'a> {
    pub title: &'a str,
    pub x_label: &'a str,
    pub y_label: &'a str,
    pub series: Vec<Series<'a>>,
    pub marks: Vec<Mark>,
    /// Logarithmic x axis; values that are not positive are left out.
    pub log_x: bool,
    /// The same for y.
    pub log_y: bool,
    /// The legend stands right of the plot, where it hides nothing.
    pub legend_beside: bool,
}

const WIDTH: usize = 920;
const HEIGHT: usize = 560;
const MARK: Rgb = [200, 60, 40];
/// Length of a line in the legend.
const LINE: f64 = 40.0;

impl<'a> LinePlot<'a> {
    pub fn new(title: &'a str, x_label: &'a str, y_label: &'a str) -> Self {
        LinePlot {
            title,
            x_label,
            y_label,
            series: Vec::new(),
            marks: Vec::new(),
            log_x: false,
            log_y: false,
            legend_beside: false,
        }
    }

    /// An empty figure.
    pub(super) fn blank() -> Figure {
        Figure::new(WIDTH, HEIGHT)
    }

    /// The points that can be drawn; `None` where the curve is interrupted.
    fn points<'s>(&'s self, series: &'s Series<'a>) -> impl Iterator<Item = Option<(f64, f64)>> + 's {
        let fits = |x: f64, y: f64| x.is_finite() && y.is_finite() && (!self.log_x || x > 0.0) && (!self.log_y || y > 0.0);
        series
            .x
            .iter()
            .zip(series.y)
            .map(move |(&x, &y)| fits(x, y).then_some((x, y)))
    }

    /// Draws the plot, 920 × 560 pixels.
    pub fn draw(&self) -> Figure {
        let points: Vec<(f64, f64)> = self.series.iter().flat_map(|s| self.points(s).flatten()).collect();
        let range = |value: &dyn Fn(&(f64, f64)) -> f64| {
            points
                .iter()
                .map(value)
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
        };
        let x = pad(range(&|p| p.0), self.log_x);
        let mut frame = Frame {
            log_x: self.log_x,
            ..Frame::new(x, pad(range(&|p| p.1), self.log_y), self.log_y)
        };
        if self.legend_beside && self.series.len() > 1 {
            frame.right -= self.legend_width() + 8.0;
        }
        let mut figure = Self::blank();
        let frame = frame.axes(&mut figure, self);
        let mut drawn = Vec::new();
        for (i, series) in self.series.iter().enumerate() {
            let colour = label_colour(i as i32);
            let mut before = None;
            for point in self.points(series) {
                let here = point.map(|p| frame.place(p));
                if let (Some(a), Some(b)) = (before, here) {
                    figure.line(a, b, 2.4, colour);
                    drawn.extend(along(a, b));
                }
                if let (Some(p), true) = (here, series.dots) {
                    figure.dot(p, 4.0, colour);
                    drawn.push(p);
                }
                before = here;
            }
        }
        self.draw_marks(&mut figure, &frame);
        self.draw_legend(&mut figure, &frame, &drawn);
        figure
    }

    pub(super) fn draw_marks(&self, figure: &mut Figure, frame: &Frame) {
        // All lines first: the texts lie on white above them.
        for mark in &self.marks {
            match mark {
                Mark::Vertical(at, _) if frame.holds_x(*at) => {
                    let x = frame.place((*at, frame.y.0)).0;
                    figure.dashes((x, frame.top), (x, frame.bottom), 2.0, MARK);
                }
                Mark::Horizontal(at, _) if frame.holds_y(*at) => {
                    let y = frame.place((frame.x.0, *at)).1;
                    figure.dashes((frame.left, y), (frame.right, y), 2.0, MARK);
                }
                _ => {}
            }
        }
        let mut row = frame.top + 20.0;
        for mark in &self.marks {
            match mark {
                Mark::Vertical(at, text) if frame.holds_x(*at) => {
                    let x = frame.place((*at, frame.y.0)).0;
                    // On the side where there is room; one row for each mark, so that they do not overlap.
                    let width = text_width(text, TEXT) as f64;
                    let left = if x + 12.0 + width < frame.right {
                        x + 8.0
                    } else {
                        x - 8.0 - width
                    };
                    note(figure, left, row, text);
                    row += 28.0;
                }
                Mark::Horizontal(at, text) if frame.holds_y(*at) => {
                    let y = frame.place((frame.x.0, *at)).1;
                    let above = if y - 16.0 > frame.top { y - 16.0 } else { y + 16.0 };
                    note(figure, frame.right - 8.0 - text_width(text, TEXT) as f64, above, text);
                }
                _ => {}
            }
        }
    }

    fn legend_width(&self) -> f64 {
        let widest = self.series.iter().map(|s| text_width(s.name, TEXT)).fold(0.0, f32::max);
        LINE + f64::from(widest) + 20.0
    }

    /// The legend, where it hides least of what was `drawn`: in a corner if one is free, top right before others.
    fn draw_legend(&self, figure: &mut Figure, frame: &Frame, drawn: &[(f64, f64)]) {
        if self.series.len() < 2 {
            return;
        }
        const ROW: f64 = 26.0;
        let (w, h) = (self.legend_width(), ROW * self.series.len() as f64 + 10.0);
        let (right, below) = (frame.right - w - 6.0, frame.bottom - h - 6.0);
        let (left, above) = (frame.left + 6.0, frame.top + 6.0);
        let hidden = |&(x, y): &(f64, f64)| {
            let inside = |p: &&(f64, f64)| (x - 4.0..=x + w + 4.0).contains(&p.0) && (y - 4.0..=y + h + 4.0).contains(&p.1);
            drawn.iter().filter(inside).count()
        };
        // Corners first, then places between.
        let between = |n: usize| {
            let share = |i: usize| i as f64 / 8.0;
            let (i, j) = (share(n % 9), share(n / 9));
            (right + i * (left - right), above + j * (below - above))
        };
        let corners = [(right, above), (left, above), (right, below), (left, below)];
        let places = corners.into_iter().chain((0..81).map(between));
        let (x, y) = match self.legend_beside {
            true => (frame.right + 8.0, above),
            false => places.min_by_key(hidden).unwrap_or((right, above)),
        };
        figure.fill(x as usize, y as usize, w as usize, h as usize, WHITE);
        for (i, series) in self.series.iter().enumerate() {
            let y = y + 5.0 + ROW * (i as f64 + 0.5);
            figure.line((x + 6.0, y), (x + LINE - 4.0, y), 3.0, label_colour(i as i32));
            figure.text(x + LINE + 6.0, y, TEXT, Align::Left, INK, series.name);
        }
    }
}

/// Points on a line, a few pixels apart.
fn along(a: (f64, f64), b: (f64, f64)) -> impl Iterator<Item = (f64, f64)> {
    let steps = ((b.0 - a.0).abs().max((b.1 - a.1).abs()) / 4.0).ceil().clamp(1.0, 1000.0);
    (0..=steps as usize).map(move |i| {
        let t = i as f64 / steps;
        (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1))
    })
}

/// The text of a mark, on white.
fn note(figure: &mut Figure, left: f64, y: f64, text: &str) {
    let width = text_width(text, TEXT).ceil() as usize;
    figure.fill(
        (left.max(3.0) - 3.0) as usize,
        (y - 12.0).max(0.0) as usize,
        width + 6,
        25,
        WHITE,
    );
    figure.text(left, y, TEXT, Align::Left, MARK, text);
}

/// A range with some air, and some extent.
fn pad((low, high): (f64, f64), log: bool) -> (f64, f64) {
    match (low <= high, log) {
        (false, true) => (0.1, 1.0),
        (false, false) => (0.0, 1.0),
        (true, true) if low == high => (low / 2.0, high * 2.0),
        (true, true) => (low / (high / low).powf(0.04), high * (high / low).powf(0.04)),
        (true, false) if low == high => (low - 0.5 * low.abs().max(1.0), high + 0.5 * high.abs().max(1.0)),
        (true, false) => (low - 0.04 * (high - low), high + 0.04 * (high - low)),
    }
}

/// Ranges of the axes and where they lie in the figure.
pub(super) struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    log_x: bool,
    log_y: bool,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    pub(super) fn new(x: (f64, f64), y: (f64, f64), log_y: bool) -> Self {
        Frame {
            x,
            y,
            log_x: false,
            log_y,
            left: 0.0,
            right: WIDTH as f64 - 26.0,
            top: 64.0,
            bottom: HEIGHT as f64 - 78.0,
        }
    }
    pub(super) fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let share = |v: f64, (l, h): (f64, f64), log: bool| super::limits::position(v, (l, h), log);
        (
            self.left + share(x, self.x, self.log_x) * (self.right - self.left),
            self.bottom - share(y, self.y, self.log_y) * (self.bottom - self.top),
        )
    }
    fn holds_x(&self, x: f64) -> bool {
        (self.x.0..=self.x.1).contains(&x)
    }
    fn holds_y(&self, y: f64) -> bool {
        (self.y.0..=self.y.1).contains(&y)
    }

    /// Draws title, ticks, grid and labels; the left margin follows from the width of the labels.
    pub(super) fn axes(mut self, figure: &mut Figure, plot: &LinePlot<'_>) -> Frame {
        let ty = if self.log_y {
            ticks::logarithmic(self.y.0, self.y.1, 6)
        } else {
            ticks::linear(self.y.0, self.y.1, 6)
        };
        let tx = if self.log_x {
            ticks::logarithmic(self.x.0, self.x.1, 8)
        } else {
            ticks::linear(self.x.0, self.x.1, 8)
        };
        let widest = ty.marks.iter().map(|m| text_width(&m.1, TEXT)).fold(20.0, f32::max).ceil() as f64;
        self.left = 58.0 + widest;
        let (title, size) = fit_text(plot.title, TITLE, WIDTH as f32 - 48.0);
        figure.text(24.0, 32.0, size, Align::Left, INK, &title);
        for (value, text) in &ty.marks {
            let y = self.place((self.x.0, *value)).1;
            figure.line((self.left, y), (self.right, y), 1.0, FAINT);
            figure.text(self.left - 10.0, y, TEXT, Align::Right, INK, text);
        }
        for (value, text) in &tx.marks {
            let x = self.place((*value, self.y.0)).0;
            figure.line((x, self.top), (x, self.bottom), 1.0, FAINT);
            figure.text(x, self.bottom + 20.0, TEXT, Align::Centre, INK, text);
        }
        let (w, h) = ((self.right - self.left) as usize, (self.bottom - self.top) as usize);
        figure.frame(self.left as usize, self.top as usize, w, h, INK);
        let named = |label: &str, t: &ticks::Ticks| format!("{label} {}", ticks::times_power(t.exponent)).trim().to_owned();
        let (label, size) = fit_text(&named(plot.x_label, &tx), TEXT, w as f32);
        figure.text(
            (self.left + self.right) / 2.0,
            HEIGHT as f64 - 26.0,
            size,
            Align::Centre,
            INK,
            &label,
        );
        let (label, size) = fit_text(&named(plot.y_label, &ty), TEXT, h as f32);
        figure.text_upwards(28.0, (self.top + self.bottom) / 2.0, size, INK, &label);
        self
    }
}

/// The last merges of a hierarchical clustering: the distance at which the scan falls from k to k − 1 clusters, over k.
#[derive(Debug, Clone)]
pub struct MergeDistances<'a> {
    /// All merge distances in the order of the merges, as in `clusters/distances`.
    pub distances: &'a [f64],
    /// Number of clusters that was chosen.
    pub clusters: usize,
    /// Another number worth a look.
    pub runner_up: Option<usize>,
    /// How many of the last merges to show.
    pub last: usize,
    pub log: bool,
}

impl MergeDistances<'_> {
    /// Draws the curve with the cut marked; merges at infinite distance (parts that do not touch) are left out.
    pub fn draw(&self) -> Figure {
        let n = self.distances.len();
        // The merge with index i leaves n − i clusters, so it ends k = n + 1 − i of them.
        let first = n.saturating_sub(self.last.max(self.clusters + 2));
        let x: Vec<f64> = (first..n).rev().map(|i| (n + 1 - i) as f64).collect();
        let y: Vec<f64> = self.distances.iter().skip(first).rev().copied().collect();
        let mut plot = LinePlot::new("Distances of the last merges", "clusters before the merge", "Ward distance");
        plot.log_y = self.log;
        plot.series.push(Series {
            name: "",
            x: &x,
            y: &y,
            dots: true,
        });
        // A cut into k clusters undoes the merges of 2 … k: it lies between k and k + 1.
        let cut = |k: usize, what: &str| Mark::Vertical(k as f64 + 0.5, format!("{k} clusters{what}"));
        plot.marks.push(cut(self.clusters, ""));
        plot.marks
            .extend(self.runner_up.filter(|&k| k != self.clusters).map(|k| cut(k, " (runner-up)")));
        plot.draw()
    }
}
