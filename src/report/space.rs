//! Paths in the plane over time, seen from the side: the broom plot.

use super::canvas::{Align, FAINT, Figure, INK, TEXT, TITLE, fit_text, text_width};
use super::colour::label_colour;
use super::ticks::number;

const WIDTH: usize = 980;
const HEIGHT: usize = 900;
const TOP: usize = 62;
const MARGIN: usize = 30;
/// Room at the right for the legend.
const SIDE: usize = 150;
/// Points that are drawn, at most.
const MOST: usize = 60_000;

/// Paths with time upwards; build it and call [`Broom::draw`].
#[derive(Debug, Clone)]
pub struct Broom<'a> {
    pub title: &'a str,
    /// (y, x, t) of each point.
    pub points: &'a [[f64; 3]],
    /// Label of each point, for its colour; those below 0 are grey.
    pub labels: &'a [i32],
    /// Points of each path in their order.
    pub paths: &'a [Vec<usize>],
    /// Names with units: across, back, up, e.g. `x (nm)`, `y (nm)`, `time (s)`.
    pub axes: [&'a str; 3],
    /// What a label is called; its number where there is none.
    pub names: &'a [String],
}

impl Broom<'_> {
    /// Draws the paths in a box, 980 × 900 pixels, turned so that rows run to the back left.
    pub fn draw(&self) -> Figure {
        let mut figure = Figure::new(WIDTH, HEIGHT);
        let (title, size) = fit_text(self.title, TITLE, (WIDTH - 2 * MARGIN) as f32);
        figure.text(MARGIN as f64, 32.0, size, Align::Left, INK, &title);
        let range = |k: usize| {
            let finite = self.points.iter().map(|p| p[k]).filter(|v| v.is_finite());
            let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            match low < high {
                true => (low, high),
                false if low == high => (low - 0.5, high + 0.5),
                false => (0.0, 1.0),
            }
        };
        let ranges = [range(0), range(1), range(2)];
        // The plane keeps its proportions, time fills the height.
        let extent = (ranges[0].1 - ranges[0].0).max(ranges[1].1 - ranges[1].0);
        let view = View {
            ranges,
            extent,
            ground: (WIDTH - SIDE - 2 * MARGIN) as f64,
        };
        view.axes(&mut figure, self.axes);
        let step = self.points.len().div_ceil(MOST).max(1);
        // What lies behind is drawn first.
        let mut parts: Vec<(f64, [usize; 2])> = Vec::new();
        for path in self.paths {
            if let [only] = path[..] {
                parts.push((self.points.get(only).map_or(0.0, |p| p[0]), [only, only]));
            }
            for pair in path.windows(2) {
                if let (Some(a), Some(b)) = (self.points.get(pair[0]), self.points.get(pair[1])) {
                    parts.push(((a[0] + b[0]) / 2.0, [pair[0], pair[1]]));
                }
            }
        }
        parts.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, [a, b]) in parts.into_iter().step_by(step) {
            let (Some(from), Some(to)) = (self.points.get(a), self.points.get(b)) else {
                continue;
            };
            if !from.iter().chain(to).all(|v| v.is_finite()) {
                continue;
            }
            let colour = |i: usize| label_colour(self.labels.get(i).copied().unwrap_or(-1));
            let (p, q) = (view.place(*from), view.place(*to));
            figure.line(p, q, 1.3, colour(b));
            figure.dot(p, 2.0, colour(a));
            figure.dot(q, 2.0, colour(b));
        }
        self.legend(&mut figure);
        figure
    }

    fn legend(&self, figure: &mut Figure) {
        let mut present: Vec<i32> = self.labels.iter().map(|l| (*l).max(-1)).collect();
        present.sort_unstable();
        present.dedup();
        let left = WIDTH - SIDE + 6;
        for (i, &label) in present.iter().take(24).enumerate() {
            let y = TOP + i * 30;
            figure.fill(left, y + 2, 22, 22, label_colour(label));
            let name = match usize::try_from(label) {
                Ok(l) => self.names.get(l).cloned().unwrap_or_else(|| label.to_string()),
                Err(_) => "none".to_owned(),
            };
            let room = (SIDE - 44) as f32;
            let (name, size) = match text_width(&name, TEXT) > room {
                true => fit_text(&name, TEXT, room),
                false => (name, TEXT),
            };
            figure.text((left + 32) as f64, y as f64 + 13.0, size, Align::Left, INK, &name);
        }
    }
}

/// How (y, x, t) come to lie in the picture.
struct View {
    ranges: [(f64, f64); 3],
    extent: f64,
    /// Pixels across the ground.
    ground: f64,
}

impl View {
    /// Shares of the extent, 0 … 1.
    fn place(&self, [y, x, t]: [f64; 3]) -> (f64, f64) {
        let x = (x - self.ranges[1].0) / self.extent;
        // Small y lie at the back.
        let y = (self.ranges[0].1 - y) / self.extent;
        let t = (t - self.ranges[2].0) / (self.ranges[2].1 - self.ranges[2].0);
        let (across, back) = (0.74, [0.26, 0.30]);
        let left = MARGIN as f64 + 26.0;
        let bottom = HEIGHT as f64 - 70.0;
        let width = self.ground - 26.0;
        let height = bottom - TOP as f64 - back[1] * width;
        (
            left + width * (across * x + back[0] * y),
            bottom - back[1] * width * y - height * t,
        )
    }

    fn axes(&self, figure: &mut Figure, names: [&str; 3]) {
        let [y, x, t] = self.ranges;
        let corner = |i: usize, j: usize, k: usize| {
            let pick = |r: (f64, f64), n: usize| if n == 0 { r.0 } else { r.1 };
            self.place([pick(y, i), pick(x, j), pick(t, k)])
        };
        let edges = [
            ([0, 0, 0], [0, 1, 0]),
            ([1, 0, 0], [1, 1, 0]),
            ([0, 0, 0], [1, 0, 0]),
            ([0, 1, 0], [1, 1, 0]),
            ([0, 0, 1], [0, 1, 1]),
            ([0, 0, 0], [0, 0, 1]),
            ([0, 1, 0], [0, 1, 1]),
            ([1, 0, 0], [1, 0, 1]),
            ([0, 0, 1], [1, 0, 1]),
        ];
        for (a, b) in edges {
            figure.line(corner(a[0], a[1], a[2]), corner(b[0], b[1], b[2]), 1.2, FAINT.map(|c| c - 40));
        }
        // Front left, front right, back right, and the top.
        let (origin, right, back, top) = (corner(1, 0, 0), corner(1, 1, 0), corner(0, 1, 0), corner(1, 0, 1));
        let mut text = |at: (f64, f64), align: Align, text: &str| figure.text(at.0, at.1, TEXT * 0.9, align, INK, text);
        text((origin.0, origin.1 + 20.0), Align::Centre, &number(x.0));
        text((right.0, right.1 + 20.0), Align::Centre, &number(x.1));
        text(((origin.0 + right.0) / 2.0, origin.1 + 42.0), Align::Centre, names[0]);
        text((right.0 + 12.0, right.1 - 2.0), Align::Left, &number(y.1));
        text((back.0 + 8.0, back.1 - 2.0), Align::Left, &number(y.0));
        text(
            ((right.0 + back.0) / 2.0 + 18.0, (right.1 + back.1) / 2.0 + 8.0),
            Align::Left,
            names[1],
        );
        text((origin.0 - 6.0, origin.1 - 12.0), Align::Right, &number(t.0));
        text((top.0 - 6.0, top.1 + 4.0), Align::Right, &number(t.1));
        figure.text_upwards(20.0, (origin.1 + top.1) / 2.0, TEXT * 0.9, INK, names[2]);
    }
}
