//! Circles, arrows and lines over a map.

use super::canvas::{Align, Figure, Rgb, TEXT, WHITE};
use super::geometry::Geometry;

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
