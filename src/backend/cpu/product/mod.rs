//! Scalar products of all rows of one matrix with all rows of another (A·Bᵀ), in blocks that stay in the cache: the inner loop of dictionary
//! comparison.
//!
//! The right matrix is laid out once as [`Panels`] of sixteen rows side by side; then any thread multiplies rows of the left one with some of the
//! panels ([`Worker::times`]) and looks at the block of products while it is in the cache. There is one order of additions: within blocks of
//! [`DEPTH`] numbers one after the other, then the blocks. It depends on neither the blocks of rows nor the threads nor the instruction set, so bits
//! do not either. Against float64 the error of a product stays below (`DEPTH` + d / `DEPTH` + 1)·2⁻²⁴·Σ|a·b| for rows of d numbers; for rows of
//! length one it is about 2e-7.
//!
//! [`Pairs`] is the same for 16-bit integers with exact 32-bit sums, at twice the speed: it filters candidates for a float product.
//!
//! Work of m × n products of rows of d numbers: 2·m·n·d operations; 4·d bytes (2·d for integers) of each right row pass through the second-level cache for every
//! [`BLOCK`]-row block of it and every call.

mod cpu;
mod pairs;

pub use cpu::Worker;
pub use pairs::{Pairs, PairsWorker, Quantised};

use crate::backend::cpu::isa::Isa;
use crate::backend::cpu::lanes::{LANES, Lanes};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Numbers of a row that are added one after the other.
pub const DEPTH: usize = 256;
/// Right rows whose block of [`DEPTH`] numbers stays in the second-level cache (512 KiB).
pub const BLOCK: usize = 512;

/// A matrix laid out for the inner loop: sixteen rows in lanes, the last panel filled up with zeros.
#[derive(Debug, Clone)]
pub struct Panels {
    rows: usize,
    depth: usize,
    /// Number k of the rows of panel p at `p * depth + k`.
    lanes: Vec<Lanes>,
}

impl Panels {
    /// Lays out `rows` (n, d); takes 4·d·n bytes, n rounded up to a multiple of sixteen.
    pub fn new(rows: ArrayView2<'_, f32>) -> Self {
        let (n, depth) = rows.dim();
        let mut lanes = vec![Lanes::ZERO; n.div_ceil(LANES) * depth];
        if depth > 0 {
            let panels = lanes.par_chunks_mut(depth).zip(rows.axis_chunks_iter(Axis(0), LANES));
            panels.for_each(|(panel, rows)| {
                for (lane, row) in rows.rows().into_iter().enumerate() {
                    for (to, &v) in panel.iter_mut().zip(row) {
                        to.0[lane] = v;
                    }
                }
            });
        }
        Panels { rows: n, depth, lanes }
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Numbers of a row.
    pub fn depth(&self) -> usize {
        self.depth
    }
    /// Panels of sixteen rows.
    pub fn count(&self) -> usize {
        self.rows.div_ceil(LANES)
    }
}

/// All products of the rows of `left` (m, d) with those of `right` (n, d): an (m, n) matrix, on all threads. For results too large to keep, take
/// [`Worker::times`] block by block.
///
/// Returns `None` if the rows have different lengths.
pub fn product(left: ArrayView2<'_, f32>, right: ArrayView2<'_, f32>) -> Option<Array2<f32>> {
    if left.ncols() != right.ncols() {
        return None;
    }
    let panels = Panels::new(right);
    let left = left.as_standard_layout();
    let mut out = Array2::<f32>::zeros((left.nrows(), right.nrows()));
    let blocks = out.axis_chunks_iter_mut(Axis(0), 96).into_par_iter();
    blocks.zip(left.axis_chunks_iter(Axis(0), 96)).for_each(|(mut out, left)| {
        let mut worker = Worker::new(Isa::active());
        for first in (0..panels.count()).step_by(BLOCK / LANES) {
            let range = first..(first + BLOCK / LANES).min(panels.count());
            let block = worker.times(left.as_slice().unwrap_or_default(), &panels, range.clone());
            for (mut out, block) in out.rows_mut().into_iter().zip(block.chunks_exact(range.len())) {
                let row = bytemuck::cast_slice::<Lanes, f32>(block);
                let columns = range.start * LANES..(range.end * LANES).min(panels.rows);
                out.iter_mut()
                    .skip(columns.start)
                    .zip(&row[..columns.len()])
                    .for_each(|(o, &v)| *o = v);
            }
        }
    });
    Some(out)
}
