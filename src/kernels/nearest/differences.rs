//! Sums and maxima of differences: 16 columns side by side against 8 rows at a time, a chunk of coordinates after the other.
//!
//! Both grow with every coordinate. Once all pairs of such a square are farther apart than what either of their points has found already,
//! the square is left: of points in groups most pairs are decided by a few of the coordinates.

use super::Bounds;
use crate::backend::cpu::isa::Isa;
use crate::backend::cpu::lanes::{LANES, Lanes, Register, Vector, per_vector};

/// Coordinates that are worked on together, so that 16 points of them stay in the first-level cache.
const CHUNK: usize = 128;
/// Points against which a vector is held.
const ROWS: usize = 8;

/// Two runs of points and what is known of them.
pub(super) struct Square<'a> {
    pub coordinates: usize,
    /// (points, coordinates)
    pub rows: &'a [f32],
    pub columns: &'a [f32],
    /// Distances from which on a row or column wants no more.
    pub limits: [&'a [f32]; 2],
    pub bounds: Bounds<'a>,
}

/// Distances of each row to all columns into `out`: the largest difference (`maximum`) or the sum. Some that are beyond both limits are
/// those of the first coordinates only.
pub(super) fn tile(isa: Isa, maximum: bool, square: &Square<'_>, out: &mut [f32]) {
    let f = square.coordinates;
    let m = square.columns.len() / f;
    let bands = (square.rows.len() / f).div_ceil(ROWS);
    let mut open = vec![true; m.div_ceil(LANES) * bands];
    let mut packed = [Lanes::ZERO; CHUNK];
    out.fill(0.0);
    for from in (0..f).step_by(CHUNK) {
        let width = CHUNK.min(f - from);
        let packed = &mut packed[..width];
        for (first, open) in (0..m).step_by(LANES).zip(open.chunks_mut(bands)) {
            if !open.contains(&true) {
                continue;
            }
            for (l, point) in square.columns[first * f..].chunks_exact(f).take(LANES).enumerate() {
                for (to, &v) in packed.iter_mut().zip(&point[from..from + width]) {
                    to.0[l] = v;
                }
            }
            let bands = square.rows.chunks(ROWS * f).zip(out.chunks_mut(ROWS * m));
            for (band, ((rows, out), open)) in bands.zip(open).enumerate().filter(|(_, (_, open))| **open) {
                let count = rows.len() / f;
                // The last row stands in for those that are missing.
                let eight = std::array::from_fn(|r| &rows[r.min(count - 1) * f + from..][..width]);
                let mut sums = [Lanes::ZERO; ROWS];
                let columns = LANES.min(m - first);
                for (sum, out) in sums.iter_mut().zip(out.chunks_exact(m)) {
                    sum.0[..columns].copy_from_slice(&out[first..first + columns]);
                }
                if maximum {
                    maxima(isa, eight, packed, &mut sums);
                } else {
                    totals(isa, eight, packed, &mut sums);
                }
                for (sum, out) in sums.iter().zip(out.chunks_exact_mut(m)) {
                    out[first..first + columns].copy_from_slice(&sum.0[..columns]);
                }
                *open = square.wanted([band * ROWS, first], [count, columns], &sums);
            }
        }
    }
}

impl Square<'_> {
    /// Whether any pair may still be among the nearest of its row or its column.
    fn wanted(&self, from: [usize; 2], count: [usize; 2], sums: &[Lanes; ROWS]) -> bool {
        let [of_rows, of_columns] = self.limits;
        let columns = from[1]..from[1] + count[1];
        sums.iter().zip(from[0]..from[0] + count[0]).any(|(sum, row)| {
            let mut any = false;
            for (&d, column) in sum.0.iter().zip(columns.clone()) {
                any |= self.bounds.around(d, row, column)[0] <= of_rows[row].max(of_columns[column]);
            }
            any
        })
    }
}

per_vector! {
    /// max |a − b| of 8 rows with 16 columns.
    fn maxima = apart[true](rows: [&[f32]; ROWS], columns: &[Lanes], sums: &mut [Lanes; ROWS])
}
per_vector! {
    /// Σ |a − b| of 8 rows with 16 columns.
    fn totals = apart[false](rows: [&[f32]; ROWS], columns: &[Lanes], sums: &mut [Lanes; ROWS])
}

#[inline(always)]
fn apart<V: Vector, const MAXIMUM: bool>(rows: [&[f32]; ROWS], columns: &[Lanes], sums: &mut [Lanes; ROWS]) {
    let rows = rows.map(|row| &row[..columns.len()]);
    for part in 0..V::PARTS {
        let mut all = [V::Register::all(0.0); ROWS];
        for (all, sum) in all.iter_mut().zip(&*sums) {
            *all = V::Register::load(sum, part);
        }
        for (i, column) in columns.iter().enumerate() {
            let column = V::Register::load(column, part);
            for r in 0..ROWS {
                let row = V::Register::all(rows[r][i]);
                all[r] = if MAXIMUM {
                    all[r].or_apart(row, column)
                } else {
                    all[r].plus_apart(row, column)
                };
            }
        }
        for (all, sum) in all.into_iter().zip(&mut *sums) {
            all.store(sum, part);
        }
    }
}
