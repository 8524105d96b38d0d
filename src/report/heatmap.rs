//! A map of values with colour bar, scale bar and marks.

use super::canvas::{Align, FAINT, Figure, INK, Rgb, TEXT, WHITE, text_width};
use super::colour::ColourMap;
use super::geometry::{Geometry, TARGET};
use super::limits::{Limits, position};
use super::marks::{Marker, Vector, marks};
use super::page::{ColourBar, Page};
use super::scalebar::scale_bar;
use crate::io::Axis;
use ndarray::{Array2, ArrayView2};

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
    for ((row, col), &rgb) in colours.indexed_iter() {
        let ([x, y], [width, height]) = geometry.cell(row, col);
        figure.fill(left + x, top + y, width, height, rgb);
    }
}
