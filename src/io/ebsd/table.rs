//! What the text formats of orientation maps share: numbers with either decimal sign, and rows that belong to points.

use super::data::{Geometry, MapData};
use crate::error::{Error, Result};
use crate::io::limits::{MAX_EDGE, MAX_POINTS};
use crate::io::readat::ReadAt;
use ndarray::Array2;
use std::path::Path;

/// Largest text file that is read.
const MAX_TEXT: u64 = 8 << 30;

/// An orientation map from a text file.
#[derive(Debug, Clone, PartialEq)]
pub struct Orientations {
    pub data: MapData,
    /// Steps (y, x) in µm.
    pub steps: [f64; 2],
    pub geometry: Geometry,
    /// What a user should know, one sentence each.
    pub notes: Vec<String>,
}

/// The text of a file; these formats are older than Unicode.
pub(super) fn read(path: &Path) -> Result<String> {
    let file = ReadAt::open(path)?;
    if file.len() > MAX_TEXT {
        return Err(Error::limit(
            path,
            format!("{} bytes of text; at most {MAX_TEXT} are read", file.len()),
        ));
    }
    let mut bytes = vec![0; file.len() as usize];
    file.read(0, &mut bytes)?;
    Ok(decoded(bytes))
}

/// UTF-8 or UTF-16 with a byte order mark, as editors save text, UTF-8 without one, or else Latin-1.
fn decoded(bytes: Vec<u8>) -> String {
    let wide = |bytes: &[u8], word: fn([u8; 2]) -> u16| {
        let words: Vec<u16> = bytes.chunks_exact(2).map(|w| word([w[0], w[1]])).collect();
        String::from_utf16_lossy(&words)
    };
    match bytes.as_slice() {
        [0xff, 0xfe, text @ ..] => wide(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => wide(text, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] => String::from_utf8_lossy(text).into_owned(),
        _ => String::from_utf8(bytes).unwrap_or_else(|e| e.as_bytes().iter().map(|&b| char::from(b)).collect()),
    }
}

/// A number with a decimal point or comma.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.replace(',', ".").parse().ok())
}

/// A shape that a header claims.
pub(super) fn shape(path: &Path, place: &str, rows: f64, columns: f64) -> Result<[usize; 2]> {
    let fits = |v: f64| v.fract() == 0.0 && (1.0..=MAX_EDGE as f64).contains(&v);
    if !fits(rows) || !fits(columns) || rows * columns > MAX_POINTS as f64 {
        return Err(Error::format(path, place, format!("{rows} × {columns} is no shape of a map")));
    }
    Ok([rows as usize, columns as usize])
}

/// Values of rows, put where the positions of the rows say.
pub(super) struct Rows<'a> {
    pub path: &'a Path,
    pub nav: [usize; 2],
    /// Step (y, x); 0 where there is none.
    pub steps: [f64; 2],
}

/// How far a step that a header has rounded may be from the true one.
const ROUNDED: f64 = 0.05;

impl Rows<'_> {
    /// The step along an axis (0: y, 1: x) that puts the first and the last of `values` on the first and the last point: the header's, or
    /// where that was rounded so much that a wide map would end beside its last column, the step of the positions themselves.
    pub fn step(&self, axis: usize, values: Option<&[f64]>) -> f64 {
        let (given, last) = (self.steps[axis], self.nav[axis] as f64 - 1.0);
        let (Some(values), true) = (values, given > 0.0 && last > 0.0) else {
            return given;
        };
        let ends = |(low, high): (f64, f64), &v: &f64| (low.min(v), high.max(v));
        let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), ends);
        let own = (high - low) / last;
        let fits = ((high - low) / given).round() == last;
        if !fits && (own / given - 1.0).abs() <= ROUNDED {
            own
        } else {
            given
        }
    }

    /// The point of every row, by its position (x, y) or, without positions, in order.
    ///
    /// # Errors
    /// [`Error::Format`] if a row lies outside the map or on the point of another.
    pub fn points(&self, x: Option<&[f64]>, y: Option<&[f64]>, count: usize) -> Result<Vec<usize>> {
        let [rows, columns] = self.nav;
        let (Some(x), Some(y)) = (x, y) else {
            return Ok((0..count).collect());
        };
        let low = |v: &[f64]| v.iter().copied().fold(f64::INFINITY, f64::min);
        let (x0, y0) = (low(x), low(y));
        let steps = [self.step(0, Some(y)), self.step(1, Some(x))];
        let index = |v: f64, low: f64, step: f64| if step > 0.0 { ((v - low) / step).round() } else { 0.0 };
        let mut seen = vec![false; rows * columns];
        let place = |(i, (&x, &y)): (usize, (&f64, &f64))| {
            let (r, c) = (index(y, y0, steps[0]), index(x, x0, steps[1]));
            if !(r >= 0.0 && c >= 0.0 && r < rows as f64 && c < columns as f64) {
                let what = format!("position ({x}, {y}) lies outside the map of {rows} × {columns} points");
                return Err(Error::format(self.path, format!("row {i} of the table"), what));
            }
            let at = r as usize * columns + c as usize;
            if std::mem::replace(&mut seen[at], true) {
                let what = format!("position ({x}, {y}) has a row already");
                return Err(Error::format(self.path, format!("row {i} of the table"), what));
            }
            Ok(at)
        };
        x.iter().zip(y).enumerate().map(place).collect()
    }

    /// One value a row as a map; NaN where there is no row.
    pub fn map(&self, points: &[usize], values: &[f64]) -> Array2<f64> {
        let mut map = Array2::from_elem((self.nav[0], self.nav[1]), f64::NAN);
        if let Some(flat) = map.as_slice_mut() {
            points.iter().zip(values).for_each(|(&at, &v)| flat[at] = v);
        }
        map
    }
}
