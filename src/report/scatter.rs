//! Points of an embedding, coloured by label: every pair of axes, or three axes seen from the side.

use super::canvas::{Align, FAINT, Figure, INK, Rgb, TEXT, TITLE, fit_text, text_width};
use super::colour::UNCLASSIFIED;
use ndarray::ArrayView2;
use std::collections::BTreeMap;

/// Most points that are drawn; of more, every so many are left out.
const MOST: usize = 20_000;
/// Side of a picture.
const SIDE: usize = 540;
const GAP: usize = 36;
const MARGIN: usize = 22;
const TOP: usize = 62;

/// Points with labels.
#[derive(Debug, Clone)]
pub struct Scatter<'a> {
    pub title: &'a str,
    /// (points, components)
    pub points: ArrayView2<'a, f32>,
    /// Label of each point; those below 0 are grey.
    pub labels: &'a [i32],
    pub colours: &'a BTreeMap<i32, Rgb>,
}

impl Scatter<'_> {
    /// One picture for each pair of the first three axes.
    pub fn draw(&self) -> Figure {
        let axes = self.points.ncols().min(3);
        let pairs: Vec<(usize, usize)> = match axes {
            0 | 1 => vec![(0, 0)],
            2 => vec![(0, 1)],
            _ => vec![(0, 1), (0, 2), (1, 2)],
        };
        let (mut figure, legend) = self.page(pairs.len());
        for (k, &(a, b)) in pairs.iter().enumerate() {
            let left = MARGIN + k * (SIDE + GAP);
            let at = |i: usize| (self.value(i, a), -self.value(i, b), 0.0);
            self.picture(&mut figure, left, &at);
            let y = (TOP + SIDE + 18) as f64;
            let text = format!("axis {} to the right, {} upwards", a + 1, b + 1);
            figure.text(left as f64, y, TEXT, Align::Left, INK, &text);
        }
        legend(&mut figure);
        figure
    }

    /// The first three axes seen from two sides; near points hide far ones.
    pub fn draw_in_space(&self) -> Figure {
        let (mut figure, legend) = self.page(2);
        let low_high = |axis: usize| {
            let column = (0..self.points.nrows()).map(|i| self.value(i, axis));
            column.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
        };
        let middle: [f64; 3] = std::array::from_fn(|a| {
            let (l, h) = low_high(a);
            (l + h) / 2.0
        });
        for (k, turn) in [-35.0_f64, 55.0].into_iter().enumerate() {
            let left = MARGIN + k * (SIDE + GAP);
            let ((s, c), (st, ct)) = (turn.to_radians().sin_cos(), 25.0_f64.to_radians().sin_cos());
            let at = |i: usize| {
                let [x, y, z]: [f64; 3] = std::array::from_fn(|a| self.value(i, a) - middle[a]);
                let (across, depth) = (c * x - s * y, s * x + c * y);
                (across, -(ct * z + st * depth), ct * depth - st * z)
            };
            self.picture(&mut figure, left, &at);
            let y = (TOP + SIDE + 18) as f64;
            let text = format!("turned by {turn}° about axis 3, seen from 25° above");
            figure.text(left as f64, y, TEXT, Align::Left, INK, &text);
        }
        legend(&mut figure);
        figure
    }

    /// Coordinate of a point; 0 for an axis that is not there.
    fn value(&self, i: usize, axis: usize) -> f64 {
        self.points.get((i, axis)).map_or(0.0, |v| f64::from(*v))
    }

    fn colour(&self, i: usize) -> Rgb {
        let label = self.labels.get(i).copied().unwrap_or(-1);
        self.colours.get(&label).copied().unwrap_or(UNCLASSIFIED)
    }

    /// A page with room for so many pictures, and what draws its legend.
    fn page(&self, pictures: usize) -> (Figure, impl FnOnce(&mut Figure)) {
        let width = 2 * MARGIN + pictures * SIDE + (pictures - 1) * GAP + 96;
        let mut figure = Figure::new(width, TOP + SIDE + 46);
        let (title, size) = fit_text(self.title, TITLE, (width - 2 * MARGIN) as f32);
        figure.text(MARGIN as f64, 32.0, size, Align::Left, INK, &title);
        let mut present: Vec<i32> = self.labels.iter().map(|l| (*l).max(-1)).collect();
        present.sort_unstable();
        present.dedup();
        let unlabelled = usize::from(present.first() == Some(&-1));
        present.rotate_left(unlabelled);
        let rows: Vec<(Rgb, String)> = present
            .iter()
            .take(SIDE / 30)
            .map(|l| {
                let name = if *l < 0 { "none".to_owned() } else { l.to_string() };
                (self.colours.get(l).copied().unwrap_or(UNCLASSIFIED), name)
            })
            .collect();
        let left = width - MARGIN - 84;
        let legend = move |figure: &mut Figure| {
            for (i, (colour, name)) in rows.iter().enumerate() {
                let y = TOP + i * 30;
                figure.fill(left, y + 2, 22, 22, *colour);
                let room = 84.0 - 32.0;
                let (name, size) = if text_width(name, TEXT) > room {
                    fit_text(name, TEXT, room)
                } else {
                    (name.clone(), TEXT)
                };
                figure.text((left + 32) as f64, y as f64 + 13.0, size, Align::Left, INK, &name);
            }
        };
        (figure, legend)
    }

    /// Dots at (right, down, far), the same scale along both axes.
    fn picture(&self, figure: &mut Figure, left: usize, at: &dyn Fn(usize) -> (f64, f64, f64)) {
        figure.frame(left, TOP, SIDE, SIDE, FAINT);
        let n = self.points.nrows();
        let mut shown: Vec<([f64; 3], usize)> = (0..n)
            .step_by(n.div_ceil(MOST).max(1))
            .map(|i| (at(i).into(), i))
            .filter(|(p, _): &([f64; 3], usize)| p.iter().all(|v| v.is_finite()))
            .collect();
        shown.sort_by(|a, b| b.0[2].total_cmp(&a.0[2]).then(a.1.cmp(&b.1)));
        let bounds = |axis: usize| {
            let values = shown.iter().map(|p| p.0[axis]);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)))
        };
        let ((x0, x1), (y0, y1)) = (bounds(0), bounds(1));
        let extent = (x1 - x0).max(y1 - y0);
        let scale = if extent > 0.0 { (SIDE as f64 - 24.0) / extent } else { 0.0 };
        let radius = if shown.len() > 5000 { 1.2 } else { 2.2 };
        let middle = ((x0 + x1) / 2.0, (y0 + y1) / 2.0);
        let (near, far) = (shown.last().map_or(0.0, |p| p.0[2]), shown.first().map_or(0.0, |p| p.0[2]));
        figure.clipped(left, TOP, SIDE, SIDE, |figure| {
            for ([x, y, depth], i) in &shown {
                let place = (
                    left as f64 + SIDE as f64 / 2.0 + (x - middle.0) * scale,
                    TOP as f64 + SIDE as f64 / 2.0 + (y - middle.1) * scale,
                );
                // Far points fade.
                let fade = if far > near {
                    0.55 * (depth - near) / (far - near)
                } else {
                    0.0
                };
                let colour = self
                    .colour(*i)
                    .map(|c| (f64::from(c) + (255.0 - f64::from(c)) * fade).round() as u8);
                figure.dot(place, radius, colour);
            }
        });
    }
}
