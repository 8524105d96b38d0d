//! A map of colours with scale bar and, beside it, the key that explains them.

use super::canvas::{Align, FAINT, Figure, INK, TEXT};
use super::colour::MISSING;
use super::geometry::{Geometry, TARGET};
use super::heatmap::paint_colours;
use super::page::Page;
use super::scalebar::scale_bar;
use crate::io::Axis;
use ndarray::{Array2, ArrayView2};

/// What stands beside a map of colours.
#[derive(Debug, Clone, Default)]
pub struct ColourKey {
    /// Name of what the colours say, above the key.
    pub title: String,
    /// Pixels (y, x); `None` is not drawn.
    pub picture: Array2<Option<[u8; 3]>>,
    /// Text at places (x, y) of the picture.
    pub labels: Vec<([f64; 2], String)>,
    /// Colours with their names, below the picture.
    pub list: Vec<([u8; 3], String)>,
}

/// A map of colours; build with [`RgbMap::new`] and set fields.
#[derive(Debug, Clone)]
pub struct RgbMap<'a> {
    /// (y, x), drawn with y downwards; `None` is grey.
    pub colours: ArrayView2<'a, Option<[u8; 3]>>,
    pub title: &'a str,
    /// The x axis, for the scale bar.
    pub axis: Axis,
    pub keys: Vec<ColourKey>,
}

impl<'a> RgbMap<'a> {
    /// A map without key.
    pub fn new(colours: ArrayView2<'a, Option<[u8; 3]>>, title: &'a str) -> Self {
        RgbMap {
            colours,
            title,
            axis: Axis::default(),
            keys: Vec::new(),
        }
    }

    /// Draws the map; about 900 pixels wide unless the data are larger.
    pub fn draw(&self) -> Figure {
        const LINE: usize = 26;
        const MARGIN: usize = 34;
        let (rows, cols) = self.colours.dim();
        let geometry = Geometry::new(rows, cols, TARGET);
        let height = |k: &ColourKey| 2 * MARGIN + k.picture.nrows() + 12 + LINE * (k.list.len() + 1);
        let wide = |k: &ColourKey| {
            let list = k.list.iter().map(|(_, name)| 40 + 10 * name.chars().count());
            list.chain([k.picture.ncols() + 2 * MARGIN, 10 * k.title.chars().count()])
                .max()
                .unwrap_or(0)
        };
        let side = self.keys.iter().map(wide).max().unwrap_or(0);
        let least = self.keys.iter().map(height).sum::<usize>().max(60);
        let mut page = Page::new(&geometry, self.title, side, least, scale_bar(&self.axis, cols), false);
        let (left, top) = page.origin;
        // Very large maps are averaged channel by channel.
        let channel = |k: usize| {
            let values = self.colours.mapv(|c| c.map_or(f64::NAN, |c| f64::from(c[k])));
            geometry.reduce(values.view())
        };
        let (r, g, b) = (channel(0), channel(1), channel(2));
        let level = |v: f64| v.round() as u8;
        let colours = Array2::from_shape_fn(r.dim(), |at| match r[at].is_nan() {
            true => MISSING,
            false => [level(r[at]), level(g[at]), level(b[at])],
        });
        paint_colours(&mut page.figure, page.origin, &geometry, &colours);
        page.figure.frame(left, top, geometry.width(), geometry.height(), FAINT);
        let mut y = top;
        for key in &self.keys {
            key.draw(&mut page.figure, (page.side, y), MARGIN, LINE);
            y += height(key);
        }
        page.figure
    }
}

impl ColourKey {
    fn draw(&self, figure: &mut Figure, (x, y): (usize, usize), margin: usize, line: usize) {
        figure.text(x as f64, y as f64 + 16.0, TEXT, Align::Left, INK, &self.title);
        let (left, top) = (x + margin, y + margin + 10);
        for ((row, column), colour) in self.picture.indexed_iter() {
            if let Some(colour) = colour {
                figure.fill(left + column, top + row, 1, 1, *colour);
            }
        }
        let (width, height) = (self.picture.ncols() as f64, self.picture.nrows() as f64);
        for ([lx, ly], text) in &self.labels {
            // Names stand outside of the picture: above or below it, whichever is nearer.
            let below = *ly > height / 2.0;
            let at = top as f64 + if below { ly + 20.0 } else { ly - 8.0 };
            let align = match lx / width.max(1.0) {
                s if s < 0.2 => Align::Left,
                s if s > 0.8 => Align::Right,
                _ => Align::Centre,
            };
            let shift = match align {
                Align::Left => -0.4 * margin as f64,
                Align::Right => 0.4 * margin as f64,
                Align::Centre => 0.0,
            };
            figure.text(left as f64 + lx + shift, at, 0.9 * TEXT, align, INK, text);
        }
        let mut below = top + self.picture.nrows() + if self.labels.is_empty() { 4 } else { line + 8 };
        for (colour, name) in &self.list {
            figure.fill(x, below, 18, 18, *colour);
            figure.frame(x, below, 18, 18, FAINT);
            figure.text((x + 26) as f64, below as f64 + 10.0, TEXT, Align::Left, INK, name);
            below += line;
        }
    }
}
