//! Rows as 16-bit integers, and their scalar products as exact 32-bit ones: two products an operation and lane.

use super::BLOCK;
use super::cpu::{Term, all_products};
use crate::backend::cpu::isa::Isa;
use crate::backend::cpu::lanes::{LANES, Lanes, Vector, per_vector};
use ndarray::parallel::prelude::*;
use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use std::ops::Range;

/// Largest length of a row of integers: the product of two such lengths, hence every partial sum of a scalar product, fits 31 bits.
const LENGTH: f64 = 46_340.0;

/// One row v as integers q: v ≈ q / scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantised {
    /// Pairs of integers in the bits of one number, the first in the lower half; an odd last one is paired with 0.
    pairs: Vec<f32>,
    /// 1 / scale; 0 for a row of zeros.
    pub unit: f64,
    /// Length of v − q / scale.
    pub error: f64,
}

impl Quantised {
    /// Rounds `row`, whose numbers must be finite, to 16 bits. The error is about √d / 46 340 · 0.3 of the row's length for d numbers, unless few of them stand out.
    pub fn new(row: ArrayView1<'_, f32>) -> Self {
        let length = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        let most = row.iter().fold(0f32, |m, v| m.max(v.abs()));
        // Rounding lengthens a row by half a unit a number at most.
        let room = LENGTH - 0.5 * (row.len() as f64).sqrt() - 1.0;
        let scale = (room / length).min(32_767.0 / f64::from(most));
        let scale = if scale.is_finite() { scale } else { 0.0 };
        let unit = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut squares = 0.0;
        let mut round = |v: f32| {
            let q = (f64::from(v) * scale).round();
            squares += (f64::from(v) - q * unit).powi(2);
            q as i16
        };
        let mut values = row.iter().map(|&v| round(v));
        let mut pairs = Vec::with_capacity(row.len().div_ceil(2));
        while let Some(low) = values.next() {
            let high = values.next().unwrap_or(0);
            pairs.push(f32::from_bits(u32::from(low as u16) | u32::from(high as u16) << 16));
        }
        Quantised {
            pairs,
            unit,
            error: squares.sqrt(),
        }
    }

    /// The pairs of integers, for [`PairsWorker::times`].
    pub fn pairs(&self) -> &[f32] {
        &self.pairs
    }
}

/// Rows of integers laid out for the inner loop, as [`super::Panels`].
#[derive(Debug, Clone)]
pub struct Pairs {
    rows: usize,
    depth: usize,
    lanes: Vec<Lanes>,
    /// One for each lane: [`Quantised::unit`], 0 beyond the last row.
    units: Vec<Lanes>,
    error: f64,
}

impl Pairs {
    /// Rounds and lays out `rows` (n, d) of finite numbers; takes 2·d·n bytes, n rounded up to a multiple of sixteen.
    pub fn new(rows: ArrayView2<'_, f32>) -> Self {
        let (n, depth) = (rows.nrows(), rows.ncols().div_ceil(2));
        let panels = n.div_ceil(LANES);
        let mut lanes = vec![Lanes::ZERO; panels * depth];
        let mut units = vec![Lanes::ZERO; panels];
        let mut errors = vec![0f64; panels];
        // Rows without numbers have products of 0.
        let each = lanes.par_chunks_mut(depth.max(1)).zip(&mut units).zip(&mut errors);
        each.zip(rows.axis_chunks_iter(Axis(0), LANES))
            .for_each(|(((panel, units), error), rows)| {
                for (lane, row) in rows.rows().into_iter().enumerate() {
                    let row = Quantised::new(row);
                    units.0[lane] = row.unit as f32;
                    *error = error.max(row.error);
                    for (to, &pair) in panel.iter_mut().zip(&row.pairs) {
                        to.0[lane] = pair;
                    }
                }
            });
        Pairs {
            rows: n,
            depth,
            lanes,
            units,
            error: errors.into_iter().fold(0.0, f64::max),
        }
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }
    /// Panels of sixteen rows.
    pub fn count(&self) -> usize {
        self.units.len()
    }
    /// What products of each panel are multiplied with, beside the left row's own unit.
    pub fn units(&self) -> &[Lanes] {
        &self.units
    }
    /// The largest [`Quantised::error`] of all rows.
    pub fn error(&self) -> f64 {
        self.error
    }
    /// Panels of a block that stays in the second-level cache.
    pub const PANELS: usize = BLOCK / LANES;
}

/// 16-bit integers, two a lane.
struct Whole;
impl Term for Whole {
    #[inline(always)]
    fn add<V: Vector>(sum: V, a: V, b: V) -> V {
        sum.plus_pairs(a, b)
    }
    #[inline(always)]
    fn join<V: Vector>(a: V, b: V) -> V {
        a.plus_whole(b)
    }
}

/// Buffers of one thread.
pub struct PairsWorker {
    isa: Isa,
    packed: Vec<f32>,
    out: Vec<Lanes>,
}

impl PairsWorker {
    /// Empty buffers.
    pub fn new(isa: Isa) -> Self {
        PairsWorker {
            isa,
            packed: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Exact products of rows of [`Quantised::pairs`], one after another in `left`, with the panels `panels` of `right`: for each left row sixteen
    /// integers a panel.
    pub fn times(&mut self, left: &[f32], right: &Pairs, panels: Range<usize>) -> &[[i32; LANES]] {
        let depth = right.depth;
        let rows = left.len().checked_div(depth).unwrap_or(0);
        let right = &right.lanes[panels.start * depth..panels.end * depth];
        self.out.clear();
        self.out.resize(rows * panels.len(), Lanes::ZERO);
        if rows * panels.len() > 0 {
            whole_products(self.isa, left, right, depth, &mut self.packed, &mut self.out);
        }
        bytemuck::cast_slice(&self.out)
    }
}

per_vector! {
    fn whole_products = all_products[Whole](left: &[f32], right: &[Lanes], depth: usize, packed: &mut Vec<f32>, out: &mut [Lanes])
}
