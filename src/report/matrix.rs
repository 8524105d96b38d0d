//! A small matrix with its numbers.

use super::canvas::{Align, FAINT, Figure, INK, TEXT, TITLE, WHITE, fit_text, text_width};
use super::colour::ColourMap;
use ndarray::ArrayView2;

const CELL: usize = 92;
const HIGH: usize = 56;
const MARGIN: usize = 24;
const TOP: usize = 62;

/// A matrix whose cells are coloured by their value, with what is written in them.
#[derive(Debug, Clone)]
pub struct Matrix<'a> {
    pub title: &'a str,
    /// Shares 0 … 1, for the colours.
    pub shares: ArrayView2<'a, f64>,
    /// Text of each cell, row by row.
    pub texts: &'a [String],
    /// Names of rows and columns.
    pub names: &'a [String],
    /// What rows and columns are.
    pub rows: &'a str,
    pub columns: &'a str,
}

impl Matrix<'_> {
    /// Draws the matrix with its names at the left and above.
    pub fn draw(&self) -> Figure {
        let (n, m) = self.shares.dim();
        let widest = self.names.iter().map(|t| text_width(t, TEXT)).fold(40.0, f32::max).ceil() as usize;
        let left = MARGIN + 34 + widest + 14;
        let top = TOP + 62;
        let width = (left + m * CELL + MARGIN).max(480);
        let mut figure = Figure::new(width, top + n * HIGH + MARGIN);
        let (title, size) = fit_text(self.title, TITLE, (width - 2 * MARGIN) as f32);
        figure.text(MARGIN as f64, 32.0, size, Align::Left, INK, &title);
        figure.text(
            left as f64 + (m * CELL) as f64 / 2.0,
            TOP as f64 + 10.0,
            TEXT,
            Align::Centre,
            INK,
            self.columns,
        );
        figure.text_upwards(MARGIN as f64 + 8.0, (top + n * HIGH / 2) as f64, TEXT, INK, self.rows);
        for (i, name) in self.names.iter().enumerate() {
            if i < n {
                let y = (top + i * HIGH + HIGH / 2) as f64;
                figure.text(left as f64 - 12.0, y, TEXT, Align::Right, INK, name);
            }
            if i < m {
                let x = (left + i * CELL + CELL / 2) as f64;
                let (name, size) = fit_text(name, TEXT, CELL as f32 - 8.0);
                figure.text(x, top as f64 - 20.0, size, Align::Centre, INK, &name);
            }
        }
        for ((i, j), &share) in self.shares.indexed_iter() {
            let colour = ColourMap::Viridis.rgb(share);
            let (x, y) = (left + j * CELL, top + i * HIGH);
            figure.fill(x + 1, y + 1, CELL - 2, HIGH - 2, colour);
            let dark = colour.iter().map(|&c| u32::from(c)).sum::<u32>() < 330;
            let text = self.texts.get(i * m + j).map_or("", String::as_str);
            let (text, size) = fit_text(text, TEXT, CELL as f32 - 10.0);
            let ink = if dark { WHITE } else { INK };
            figure.text((x + CELL / 2) as f64, (y + HIGH / 2) as f64, size, Align::Centre, ink, &text);
        }
        figure.frame(left, top, m * CELL, n * HIGH, FAINT);
        figure
    }
}
