//! Pixels around a position into one lane, and the log scale.

use crate::backend::cpu::isa::{Isa, per_isa};
use crate::backend::cpu::lanes::{LANES, Lanes, Vector, per_vector};
use crate::backend::cpu::ln::ln;
use crate::kernels::shifted::least;
pub(super) use crate::kernels::shifted::{Shifted, minimum};

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

#[inline(always)]
fn take_least<T: Shifted, const N: usize>(lanes: &mut [T; N], piece: &[T; N]) {
    for (m, &x) in lanes.iter_mut().zip(piece) {
        *m = least(*m, x);
    }
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
        // Side by side where rows are long enough; the last piece of a row overlaps the one before.
        let (mut wide, mut narrow) = ([T::HIGHEST; 32], [T::HIGHEST; 8]);
        let mut all = T::HIGHEST;
        for y in rows.clone() {
            let row = self.row(y, &columns);
            if let Some(last) = row.last_chunk() {
                for piece in row.as_chunks().0 {
                    take_least(&mut wide, piece);
                }
                take_least(&mut wide, last);
            } else if let Some(last) = row.last_chunk() {
                for piece in row.as_chunks().0 {
                    take_least(&mut narrow, piece);
                }
                take_least(&mut narrow, last);
            } else {
                for &x in row {
                    all = least(all, x);
                }
            }
        }
        for (k, &m) in wide.iter().enumerate() {
            narrow[k % 8] = least(narrow[k % 8], m);
        }
        for m in narrow {
            all = least(all, m);
        }
        let whole = rows.len() == edge && columns.len() == edge;
        if matches!(self.outside, Outside::Zero) && !whole {
            least(all, T::ZERO)
        } else {
            all
        }
    }
}

/// Pixels of a row of every crop that are converted together.
const TILE: usize = 64;

/// Where a lane's pixels come from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// No crop.
    Nowhere,
    /// The crop lies inside its frame and begins at this pixel.
    Inside(usize),
    /// Some or all of it lies outside.
    Across,
}

/// Sixteen crops of `edge` × `edge` pixels, one for each lane.
pub(super) struct Gather<'c, 'f, T> {
    crops: &'c [Option<Crop<'f, T>>; LANES],
    edge: usize,
    places: [Place; LANES],
    minima: [T; LANES],
    /// One row of every crop, lane after lane; 1 where there is no crop.
    rows: [f32; LANES * TILE],
}

impl<'c, 'f, T: Shifted> Gather<'c, 'f, T> {
    /// Looks for the minimum of each crop.
    pub(super) fn new(isa: Isa, crops: &'c [Option<Crop<'f, T>>; LANES], edge: usize) -> Self {
        let mut minima = [T::ZERO; LANES];
        find_minima(isa, crops, edge, &mut minima);
        let mut places = [Place::Nowhere; LANES];
        for (place, crop) in places.iter_mut().zip(crops) {
            if let Some(c) = crop {
                *place = match c.inside(edge).map(|r| r.len()) == [edge; 2] {
                    true => Place::Inside(c.origin[0] as usize * c.width + c.origin[1] as usize),
                    false => Place::Across,
                };
            }
        }
        Gather {
            crops,
            edge,
            places,
            minima,
            rows: [1.0; LANES * TILE],
        }
    }

    /// ln(f − min + 1) of row `y` of all crops, `step` apart in `out`; no signal, and no crop, is 0.
    pub(super) fn row(&mut self, isa: Isa, y: usize, out: &mut [Lanes], step: usize) {
        gather_row(isa, self, y, out, step);
    }
}

per_isa! {
    fn find_minima[T: Shifted][T](crops: &[Option<Crop<'_, T>>; LANES], edge: usize, minima: &mut [T; LANES]) {
        for (min, crop) in minima.iter_mut().zip(crops) {
            if let Some(crop) = crop {
                *min = crop.min(edge);
            }
        }
    }
}

per_vector! {
    fn gather_row[T: Shifted][T] = row_of_lanes[T](from: &mut Gather<'_, '_, T>, y: usize, out: &mut [Lanes], step: usize)
}

/// Pieces of a row are converted lane after lane, then turned over.
#[inline(always)]
fn row_of_lanes<V: Vector, T: Shifted>(from: &mut Gather<'_, '_, T>, y: usize, out: &mut [Lanes], step: usize) {
    let edge = from.edge;
    for start in (0..edge).step_by(TILE) {
        let width = (edge - start).min(TILE);
        for (k, (row, crop)) in from.rows.chunks_exact_mut(TILE).zip(from.crops).enumerate() {
            let (Some(crop), min) = (crop, from.minima[k]) else { continue };
            match from.places[k] {
                Place::Nowhere => {}
                Place::Inside(first) => {
                    // Whole vectors where the frame goes on; what is too much is not looked at.
                    let pixels = &crop.frame[first + y * crop.width + start..];
                    let pixels = pixels.get(..width.next_multiple_of(LANES)).unwrap_or(&pixels[..width]);
                    for (v, x) in row.iter_mut().zip(pixels) {
                        *v = x.shifted(min);
                    }
                }
                Place::Across => crop.piece(y, start, edge, min, &mut row[..width]),
            }
        }
        for tile in 0..width.div_ceil(LANES) {
            let mut turned = [Lanes::ZERO; LANES];
            V::turn(&from.rows[tile * LANES..], TILE, &mut turned);
            let at = start + tile * LANES;
            let used = &mut turned[..(edge - at).min(LANES)];
            for x in bytemuck::cast_slice_mut::<Lanes, f32>(used) {
                *x = ln(*x);
            }
            for (lanes, out) in used.iter().zip(out[at * step..].iter_mut().step_by(step)) {
                V::load(lanes).store(out);
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
