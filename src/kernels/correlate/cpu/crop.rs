//! Pixels around a position into one lane, and the log scale.

use crate::backend::cpu::isa::per_isa;
use crate::kernels::fft::{LANES, Lanes};
use crate::kernels::ln::ln;
use crate::kernels::shifted::least;
pub(super) use crate::kernels::shifted::{Shifted, minimum};

/// Pixels of a row that are converted together.
const TILE: usize = 32;

/// What stands for pixels outside the frame.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outside<T> {
    /// No signal; the minimum is that of the pixels inside.
    Nothing,
    /// Pixels of value 0, which take part in the minimum.
    Zero,
    /// No signal; the minimum is given.
    Below(T),
}

/// Pixels that a lane takes: a square from `origin` on, of a frame with rows of `width` pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crop<'f, T> {
    pub frame: &'f [T],
    pub width: usize,
    pub origin: [i32; 2],
    pub outside: Outside<T>,
}

impl<T: Shifted> Crop<'_, T> {
    /// Rows and columns of the square that lie inside the frame.
    #[inline(always)]
    fn inside(&self, edge: usize) -> [std::ops::Range<usize>; 2] {
        let range = |from: i32, n: usize| {
            let start = (from.min(0).unsigned_abs() as usize).min(edge);
            let end = (i64::from(from) + edge as i64).min(n as i64) - i64::from(from);
            start..(end.max(0) as usize).max(start)
        };
        [
            range(self.origin[0], self.frame.len() / self.width),
            range(self.origin[1], self.width),
        ]
    }
    /// Pixels of row `y` of the square.
    #[inline(always)]
    fn row(&self, y: usize, columns: &std::ops::Range<usize>) -> &[T] {
        let start = (self.origin[0] + y as i32) as usize * self.width + (self.origin[1] + columns.start as i32) as usize;
        &self.frame[start..start + columns.len()]
    }
    /// f − min + 1 of row `y` from column `from` on.
    #[inline(always)]
    fn piece(&self, y: usize, from: usize, edge: usize, min: T, out: &mut [f32]) {
        let [rows, columns] = self.inside(edge);
        let part = columns.start.max(from)..columns.end.min(from + out.len());
        let inside = rows.contains(&y) && !part.is_empty();
        if !inside || part.len() < out.len() {
            let nothing = if matches!(self.outside, Outside::Zero) {
                T::ZERO.shifted(min)
            } else {
                1.0
            };
            out.iter_mut().for_each(|v| *v = nothing);
        }
        if inside {
            for (v, x) in out[part.start - from..part.end - from].iter_mut().zip(self.row(y, &part)) {
                *v = x.shifted(min);
            }
        }
    }
    /// The minimum that pixels are taken relative to.
    #[inline(always)]
    fn min(&self, edge: usize) -> T {
        if let Outside::Below(min) = self.outside {
            return min;
        }
        let [rows, columns] = self.inside(edge);
        let mut all = T::HIGHEST;
        for y in rows.clone() {
            for &x in self.row(y, &columns) {
                all = least(all, x);
            }
        }
        let whole = rows.len() == edge && columns.len() == edge;
        if matches!(self.outside, Outside::Zero) && !whole {
            least(all, T::ZERO)
        } else {
            all
        }
    }
}

per_isa! {
    /// ln(f − min + 1) of squares of `edge` × `edge` pixels, one in each lane; no signal, and no crop, is 0.
    pub(super) fn gather[T: Shifted][T](crops: &[Option<Crop<'_, T>>; LANES], edge: usize, out: &mut [Lanes]) {
        let mut minima = [T::ZERO; LANES];
        for (min, crop) in minima.iter_mut().zip(crops) {
            if let Some(crop) = crop {
                *min = crop.min(edge);
            }
        }
        // Pieces of rows are converted lane after lane, then turned over.
        let mut rows = [[1f32; TILE]; LANES];
        for (y, out) in out[..edge * edge].chunks_exact_mut(edge).enumerate() {
            for (tile, out) in out.chunks_mut(TILE).enumerate() {
                let from = tile * TILE;
                for (lane, crop) in crops.iter().enumerate() {
                    if let Some(crop) = crop {
                        crop.piece(y, from, edge, minima[lane], &mut rows[lane][..out.len()]);
                    }
                }
                for (i, v) in out.iter_mut().enumerate() {
                    for (v, row) in v.0.iter_mut().zip(&rows) {
                        *v = row[i % TILE];
                    }
                }
                for x in bytemuck::cast_slice_mut::<Lanes, f32>(out) {
                    *x = ln(*x);
                }
            }
        }
    }
}

per_isa! {
    /// ln of every number, in place.
    pub(super) fn logs(values: &mut [f32]) {
        for x in values {
            *x = ln(*x);
        }
    }
}

per_isa! {
    /// f − min + 1 of a whole frame.
    pub(super) fn shift[T: Shifted][T](frame: &[T], min: T, out: &mut [f32]) {
        for (o, x) in out.iter_mut().zip(frame) {
            *o = x.shifted(min);
        }
    }
}
