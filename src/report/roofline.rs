//! Rates over operations per byte, on logarithmic axes, under the limits of memory and arithmetic (S. Williams, A. Waterman, D. Patterson,
//! *Commun. ACM* 52 (2009) 65).

use super::canvas::{Align, FAINT, Figure, INK, Rgb, TEXT, TITLE, fit_text, text_width};
use super::colour::label_colour;
use super::ticks;

/// Limits of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Roof {
    pub name: String,
    /// Bytes of memory traffic per second.
    pub bytes_per_s: f64,
    /// Operations per second.
    pub operations_per_s: f64,
}

impl Roof {
    /// The most operations per second with `intensity` operations per byte.
    pub fn height(&self, intensity: f64) -> f64 {
        (self.bytes_per_s * intensity).min(self.operations_per_s)
    }
}

/// A kernel on one of the devices.
#[derive(Debug, Clone, PartialEq)]
pub struct RoofPoint {
    pub name: String,
    /// Index of its roof.
    pub roof: usize,
    /// Operations per byte.
    pub intensity: f64,
    pub operations_per_s: f64,
}

/// Points under roofs; a point has the colour of its roof and the number of its name in the list beside the plot.
#[derive(Debug, Clone)]
pub struct Roofline<'a> {
    pub title: &'a str,
    pub roofs: &'a [Roof],
    pub points: &'a [RoofPoint],
}

const PLOT: (usize, usize) = (820, 640);
const TOP: usize = 64;
const LEFT: usize = 104;
const ROW: usize = 28;
/// Text of the numbers at points.
const SMALL: f32 = 16.0;

/// Ranges of both axes.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
}

impl Axes {
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let share = |v: f64, (low, high): (f64, f64)| (v / low).ln() / (high / low).ln();
        (
            LEFT as f64 + share(x, self.x) * PLOT.0 as f64,
            (TOP + PLOT.1) as f64 - share(y, self.y) * PLOT.1 as f64,
        )
    }
}

impl Roofline<'_> {
    /// Draws the plot with its list of names.
    pub fn draw(&self) -> Figure {
        let points: Vec<&RoofPoint> = self
            .points
            .iter()
            .filter(|p| p.intensity > 0.0 && p.operations_per_s > 0.0)
            .collect();
        let mut names: Vec<&str> = Vec::new();
        for p in &points {
            if !names.contains(&p.name.as_str()) {
                names.push(&p.name);
            }
        }
        let widest =
            |texts: &mut dyn Iterator<Item = &str>| texts.map(|t| text_width(t, TEXT)).fold(0.0, f32::max).ceil() as usize;
        let list = widest(&mut names.iter().copied()).max(widest(&mut self.roofs.iter().map(|r| r.name.as_str()))) + 80;
        let rows = names.len() + self.roofs.len() + 1;
        let height = (TOP + PLOT.1 + 84).max(TOP + rows * ROW + 20);
        let mut figure = Figure::new(LEFT + PLOT.0 + list, height);
        let axes = self.axes(&points);
        self.draw_axes(&mut figure, &axes);
        for (i, roof) in self.roofs.iter().enumerate() {
            let ridge = roof.operations_per_s / roof.bytes_per_s;
            let at = |x: f64| axes.place(x, roof.height(x));
            figure.clipped(LEFT, TOP, PLOT.0, PLOT.1, |f| {
                f.line(at(axes.x.0), at(ridge.clamp(axes.x.0, axes.x.1)), 2.4, label_colour(i as i32));
                f.line(at(ridge.clamp(axes.x.0, axes.x.1)), at(axes.x.1), 2.4, label_colour(i as i32));
            });
        }
        draw_points(&mut figure, &axes, &points, &names);
        let x = (LEFT + PLOT.0 + 24) as f64;
        let mut y = (TOP + 12) as f64;
        for (i, roof) in self.roofs.iter().enumerate() {
            figure.line((x, y), (x + 28.0, y), 3.0, label_colour(i as i32));
            figure.text(x + 40.0, y, TEXT, Align::Left, INK, &roof.name);
            y += ROW as f64;
        }
        y += ROW as f64 / 2.0;
        for (i, name) in names.iter().enumerate() {
            figure.text(x + 28.0, y, TEXT, Align::Right, INK, &(i + 1).to_string());
            figure.text(x + 40.0, y, TEXT, Align::Left, INK, name);
            y += ROW as f64;
        }
        figure
    }

    /// Whole decades around points and ridges.
    fn axes(&self, points: &[&RoofPoint]) -> Axes {
        let ridges = self.roofs.iter().map(|r| r.operations_per_s / r.bytes_per_s);
        let x = points.iter().map(|p| p.intensity).chain(ridges);
        let peaks = self.roofs.iter().map(|r| r.operations_per_s);
        let y = points.iter().map(|p| p.operations_per_s).chain(peaks);
        Axes {
            x: decades(x),
            y: decades(y),
        }
    }

    fn draw_axes(&self, figure: &mut Figure, axes: &Axes) {
        let (title, size) = fit_text(self.title, TITLE, (LEFT + PLOT.0) as f32 - 24.0);
        figure.text(24.0, 32.0, size, Align::Left, INK, &title);
        let bottom = (TOP + PLOT.1) as f64;
        for (value, text) in ticks::logarithmic(axes.x.0, axes.x.1, 8).marks {
            let (x, _) = axes.place(value, axes.y.0);
            figure.line((x, TOP as f64), (x, bottom), 1.0, FAINT);
            figure.text(x, bottom + 20.0, TEXT, Align::Centre, INK, &text);
        }
        for (value, text) in ticks::logarithmic(axes.y.0 / 1e9, axes.y.1 / 1e9, 8).marks {
            let (_, y) = axes.place(axes.x.0, value * 1e9);
            figure.line((LEFT as f64, y), ((LEFT + PLOT.0) as f64, y), 1.0, FAINT);
            figure.text(LEFT as f64 - 10.0, y, TEXT, Align::Right, INK, &text);
        }
        figure.frame(LEFT, TOP, PLOT.0, PLOT.1, INK);
        let middle = (LEFT + PLOT.0 / 2) as f64;
        figure.text(middle, bottom + 54.0, TEXT, Align::Centre, INK, "operations per byte");
        figure.text_upwards(28.0, (TOP + PLOT.1 / 2) as f64, TEXT, INK, "10⁹ operations per second");
    }
}

/// From a power of ten to a power of ten, at least one decade.
fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|v| v.is_finite() && *v > 0.0)
        .fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return (1.0, 10.0);
    }
    let first = (low * 0.9).log10().floor();
    let last = (high * 1.2).log10().ceil().max(first + 1.0);
    (10f64.powf(first), 10f64.powf(last))
}

/// A rectangle: left, top, right, bottom.
type Area = [f64; 4];

fn overlap(a: &Area, b: &Area) -> f64 {
    let along = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    along(0) * along(1)
}

/// Dots first, then their numbers where there is room: of some places around each dot the one that covers the least.
fn draw_points(figure: &mut Figure, axes: &Axes, points: &[&RoofPoint], names: &[&str]) {
    let places: Vec<(f64, f64)> = points.iter().map(|p| axes.place(p.intensity, p.operations_per_s)).collect();
    let mut taken: Vec<Area> = places.iter().map(|p| [p.0 - 5.0, p.1 - 5.0, p.0 + 5.0, p.1 + 5.0]).collect();
    for (point, place) in points.iter().zip(&places) {
        figure.dot(*place, 5.0, label_colour(point.roof as i32));
    }
    let inside = [
        LEFT as f64 + 2.0,
        TOP as f64 + 2.0,
        (LEFT + PLOT.0) as f64 - 2.0,
        (TOP + PLOT.1) as f64 - 2.0,
    ];
    for (point, &(x, y)) in points.iter().zip(&places) {
        let number = names.iter().position(|n| *n == point.name).map_or(0, |i| i + 1).to_string();
        let (w, h) = (text_width(&number, SMALL) as f64 + 4.0, 16.0);
        let area = |(cx, cy): (f64, f64)| [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0];
        let around = [14.0, 20.0, 28.0, 38.0, 50.0].into_iter().flat_map(|r| {
            (0..16).map(move |k| {
                let (sin, cos) = (f64::from(k) * std::f64::consts::TAU / 16.0).sin_cos();
                (r, (x + r * cos, y - r * sin))
            })
        });
        let cost = |(r, centre): &(f64, (f64, f64))| {
            let a = area(*centre);
            let outside = w * h - overlap(&a, &inside);
            100.0 * (taken.iter().map(|t| overlap(t, &a)).sum::<f64>() + outside) + r
        };
        let Some((r, centre)) = around.min_by(|a, b| cost(a).total_cmp(&cost(b))) else {
            continue;
        };
        let colour: Rgb = label_colour(point.roof as i32);
        if r > 20.0 {
            figure.line((x, y), centre, 1.0, colour);
            let [left, top, _, _] = area(centre);
            figure.fill(
                left.max(0.0) as usize,
                top.max(0.0) as usize,
                w as usize,
                h as usize,
                super::canvas::WHITE,
            );
        }
        figure.text(centre.0, centre.1, SMALL, Align::Centre, INK, &number);
        taken.push(area(centre));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roof_rises_with_the_bytes_and_ends_flat() {
        let roof = Roof {
            name: "CPU".into(),
            bytes_per_s: 10.0,
            operations_per_s: 100.0,
        };
        assert_eq!((roof.height(2.0), roof.height(10.0), roof.height(50.0)), (20.0, 100.0, 100.0));
    }

    #[test]
    fn axes_span_whole_decades() {
        assert_eq!(decades([2.0, 300.0].into_iter()), (1.0, 1000.0));
        assert_eq!(decades([5.0].into_iter()), (1.0, 10.0));
        assert_eq!(decades(std::iter::empty()), (1.0, 10.0));
    }
}
