//! A map of labels: crystallites, phases.

use super::canvas::{Align, FAINT, Figure, INK, TEXT, text_width};
use super::colour::{LABELS, label_colours};
use super::geometry::{Geometry, TARGET};
use super::page::Page;
use super::scalebar::scale_bar;
use crate::io::Axis;
use ndarray::ArrayView2;
use std::collections::BTreeMap;

/// A map of labels; those below 0 are unclassified and grey.
#[derive(Debug, Clone)]
pub struct LabelMap<'a> {
    /// (y, x), drawn with y downwards.
    pub labels: ArrayView2<'a, i32>,
    pub title: &'a str,
    /// The x axis, for the scale bar.
    pub axis: Axis,
    /// Names of the labels for the legend; the numbers where there is none.
    pub names: &'a [String],
}

impl<'a> LabelMap<'a> {
    /// A map whose legend shows the numbers.
    pub fn new(labels: ArrayView2<'a, i32>, title: &'a str) -> Self {
        LabelMap {
            labels,
            title,
            axis: Axis::default(),
            names: &[],
        }
    }

    /// Draws the map; with up to 20 labels a legend tells how many positions each has, with more their number.
    pub fn draw(&self) -> Figure {
        let (rows, cols) = self.labels.dim();
        let geometry = Geometry::new(rows, cols, TARGET);
        let colours = label_colours(self.labels);
        let legend = self.legend(&colours);
        let wide = |text: &str| text_width(text, TEXT).ceil() as usize;
        let name_width = legend.iter().map(|l| wide(&l.1)).max().unwrap_or(0);
        let count_width = legend.iter().map(|l| wide(&l.2)).max().unwrap_or(0);
        const ROW: usize = 30;
        let room = 34 + name_width + 18 + count_width;
        let mut page = Page::new(
            &geometry,
            self.title,
            room,
            legend.len() * ROW,
            scale_bar(&self.axis, cols),
            false,
        );
        let (left, top) = page.origin;
        let small = geometry.thin(self.labels);
        for y in 0..geometry.height() {
            for x in 0..geometry.width() {
                if let Some(colour) = small.get(geometry.source(x, y)).and_then(|label| colours.get(label)) {
                    page.figure.fill(left + x, top + y, 1, 1, *colour);
                }
            }
        }
        page.figure.frame(left, top, geometry.width(), geometry.height(), FAINT);
        for (i, (colour, name, count)) in legend.iter().enumerate() {
            let y = top + i * ROW;
            if let Some(colour) = colour {
                page.figure.fill(page.side, y + 2, 22, 22, *colour);
            }
            let indent = if colour.is_some() { 34 } else { 0 };
            page.figure
                .text((page.side + indent) as f64, y as f64 + 13.0, TEXT, Align::Left, INK, name);
            let right = (page.side + 34 + name_width + 18 + count_width) as f64;
            page.figure
                .text(right, y as f64 + 13.0, TEXT, Align::Right, [110, 110, 110], count);
        }
        page.figure
    }

    /// Colour, name and number of positions of each row.
    fn legend(&self, colours: &BTreeMap<i32, [u8; 3]>) -> Vec<(Option<[u8; 3]>, String, String)> {
        let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
        for &label in self.labels {
            *counts.entry(label.max(-1)).or_default() += 1;
        }
        let unclassified = counts.remove(&-1);
        let mut rows: Vec<_> = if counts.len() <= LABELS {
            let name = |l: i32| self.names.get(l as usize).cloned().unwrap_or_else(|| l.to_string());
            counts
                .iter()
                .map(|(&l, &n)| (colours.get(&l).copied(), name(l), n.to_string()))
                .collect()
        } else {
            vec![(None, format!("{} labels", counts.len()), String::new())]
        };
        if let Some(n) = unclassified {
            rows.push((Some(super::colour::UNCLASSIFIED), "none".into(), n.to_string()));
        }
        rows
    }
}
