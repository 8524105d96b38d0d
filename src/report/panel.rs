//! Several small maps side by side: virtual dark-field images, log-sums of clusters.

use super::canvas::{Align, FAINT, Figure, INK, TEXT, TITLE, WHITE, fit_text};
use super::colour::{ColourMap, UNCLASSIFIED};
use super::geometry::Geometry;
use super::heatmap::paint;
use super::limits::{Limits, position};
use super::marks::{Marker, Segment, Vector, marks, segments};
use super::ticks::number;
use ndarray::ArrayView2;
use std::collections::BTreeMap;

/// One map of a panel.
#[derive(Debug, Clone)]
pub struct Tile<'a> {
    /// (y, x); NaN is grey.
    pub data: ArrayView2<'a, f64>,
    pub caption: String,
    pub colours: ColourMap,
    pub limits: Limits,
    /// Logarithmic colours.
    pub log: bool,
    /// The values are labels with these colours; there is no range then.
    pub labels: Option<BTreeMap<i32, [u8; 3]>>,
    pub markers: Vec<Marker>,
    pub vectors: Vec<Vector>,
    pub segments: Vec<Segment>,
}

impl<'a> Tile<'a> {
    /// A map in viridis with its own robust limits.
    pub fn new(data: ArrayView2<'a, f64>, caption: impl Into<String>) -> Self {
        Tile {
            data,
            caption: caption.into(),
            colours: ColourMap::default(),
            limits: Limits::default(),
            log: false,
            labels: None,
            markers: Vec::new(),
            vectors: Vec::new(),
            segments: Vec::new(),
        }
    }
}

/// A grid of maps, each with caption and the range of its colours.
#[derive(Debug, Clone)]
pub struct Panel<'a> {
    pub title: &'a str,
    pub tiles: Vec<Tile<'a>>,
    /// Maps in a row; 0: as many as fit.
    pub columns: usize,
}

impl<'a> Panel<'a> {
    pub fn new(title: &'a str, tiles: Vec<Tile<'a>>) -> Self {
        Panel {
            title,
            tiles,
            columns: 0,
        }
    }

    /// Draws the panel, up to about 1200 pixels wide.
    pub fn draw(&self) -> Figure {
        const GAP: usize = 20;
        const MARGIN: usize = 22;
        const CAPTION: usize = 62;
        let columns = match (self.columns, self.tiles.len()) {
            (0, 0..=3) => self.tiles.len().max(1),
            (0, 4) => 2,
            (0, 5..=6) => 3,
            (0, _) => 4,
            (n, _) => n,
        };
        let target = ((1200 - (columns - 1).min(20) * GAP) / columns).clamp(120, 480);
        let geometries: Vec<Geometry> = self
            .tiles
            .iter()
            .map(|t| {
                let (rows, cols) = t.data.dim();
                Geometry::nearest(rows, cols, target)
            })
            .collect();
        // Captions need some width whatever the maps are.
        let cell = geometries.iter().map(Geometry::width).max().unwrap_or(0).max(150);
        let heights: Vec<usize> = geometries
            .chunks(columns)
            .map(|row| row.iter().map(Geometry::height).max().unwrap_or(0) + CAPTION)
            .collect();
        let top = if self.title.is_empty() { MARGIN } else { 62 };
        let width = 2 * MARGIN + columns * cell + (columns - 1) * GAP;
        let mut figure = Figure::new(width, top + heights.iter().map(|h| h + 8).sum::<usize>() + 8);
        let (title, size) = fit_text(self.title, TITLE, (width - 2 * MARGIN) as f32);
        figure.text(MARGIN as f64, 32.0, size, Align::Left, INK, &title);
        let mut y = top;
        for ((tiles, geometries), height) in self.tiles.chunks(columns).zip(geometries.chunks(columns)).zip(heights) {
            for (i, (tile, geometry)) in tiles.iter().zip(geometries).enumerate() {
                draw_tile(&mut figure, (MARGIN + i * (cell + GAP), y), cell, geometry, tile);
            }
            y += height + 8;
        }
        figure
    }
}

fn draw_tile(figure: &mut Figure, (x, y): (usize, usize), cell: usize, geometry: &Geometry, tile: &Tile<'_>) {
    let limits = tile.limits.resolve(tile.data, tile.log);
    paint(figure, (x, y), geometry, tile.data, |v| match &tile.labels {
        Some(colours) => colours.get(&(v as i32)).copied().unwrap_or(UNCLASSIFIED),
        None => tile.colours.rgb(position(v, limits, tile.log)),
    });
    segments(figure, (x, y), geometry, &tile.segments);
    marks(figure, (x, y), geometry, &tile.markers, &tile.vectors, WHITE);
    figure.frame(x, y, geometry.width(), geometry.height(), FAINT);
    let (caption, size) = fit_text(&tile.caption, TEXT, cell as f32);
    let line = (y + geometry.height() + 18) as f64;
    figure.text(x as f64, line, size, Align::Left, INK, &caption);
    if tile.labels.is_some() {
        return;
    }
    let range = format!(
        "{} … {}{}",
        number(limits.0),
        number(limits.1),
        if tile.log { ", log" } else { "" }
    );
    let (range, size) = fit_text(&range, 0.85 * TEXT, cell as f32);
    figure.text(x as f64, line + 25.0, size, Align::Left, [110, 110, 110], &range);
}
