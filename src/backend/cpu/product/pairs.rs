//! Rows as 16-bit integers, and their scalar products as exact 32-bit ones: two products an operation and lane.

use super::BLOCK;
use super::blocks::{Term, all_products};
#[cfg(target_arch = "x86_64")]
use crate::backend::cpu::isa::Level;
use crate::backend::cpu::isa::{Isa, per_isa};
#[cfg(target_arch = "x86_64")]
use crate::backend::cpu::lanes::Avx512;
use crate::backend::cpu::lanes::{LANES, Lanes, Vector, per_vector};
use crate::backend::cpu::pages::ZeroLanes;
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
        match row.as_slice() {
            Some(row) => Quantised::of(row),
            None => Quantised::of(&row.to_vec()),
        }
    }

    fn of(row: &[f32]) -> Self {
        let isa = Isa::active();
        let (squares, most) = extent(isa, row);
        // Rounding lengthens a row by half a unit a number at most.
        let room = LENGTH - 0.5 * (row.len() as f64).sqrt() - 1.0;
        let scale = (room / squares.sqrt()).min(32_767.0 / f64::from(most));
        let scale = if scale.is_finite() { scale } else { 0.0 };
        let unit = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut pairs = vec![0f32; row.len().div_ceil(2)];
        let squares = rounded(isa, row, scale, unit, &mut bytemuck::cast_slice_mut(&mut pairs)[..row.len()]);
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

per_isa! {
    /// Sum of the squares, and largest magnitude.
    fn extent(row: &[f32]) -> (f64, f32) {
        let (mut squares, mut most) = ([0f64; LANES], [0f32; LANES]);
        let (chunks, rest) = row.as_chunks::<LANES>();
        for chunk in chunks {
            for l in 0..LANES {
                squares[l] += f64::from(chunk[l]) * f64::from(chunk[l]);
                let v = chunk[l].abs();
                most[l] = if v > most[l] { v } else { most[l] };
            }
        }
        for (l, v) in rest.iter().enumerate() {
            squares[l] += f64::from(*v) * f64::from(*v);
            most[l] = most[l].max(v.abs());
        }
        (squares.iter().sum(), most.iter().fold(0.0, |m, &v| m.max(v)))
    }
}

per_isa! {
    /// Numbers times `scale` as integers; the sum of the squares of what is lost.
    fn rounded(row: &[f32], scale: f64, unit: f64, out: &mut [i16]) -> f64 {
        // Adding and taking away 1.5 · 2⁵² rounds to a whole number, on every instruction set; in between, the lowest bits are that number.
        const WHOLE: f64 = 1.5 * (1u64 << 52) as f64;
        let mut squares = [0f64; LANES];
        let (chunks, rest) = row.as_chunks::<LANES>();
        let (outs, rest_out) = out.as_chunks_mut::<LANES>();
        for (chunk, out) in chunks.iter().zip(outs) {
            for l in 0..LANES {
                let v = f64::from(chunk[l]);
                let raised = v * scale + WHOLE;
                let lost = v - (raised - WHOLE) * unit;
                squares[l] += lost * lost;
                out[l] = raised.to_bits() as i16;
            }
        }
        for (l, v) in rest.iter().enumerate() {
            let v = f64::from(*v);
            let raised = v * scale + WHOLE;
            let lost = v - (raised - WHOLE) * unit;
            squares[l] += lost * lost;
            rest_out[l] = raised.to_bits() as i16;
        }
        squares.iter().sum()
    }
}

/// Rows of integers laid out for the inner loop: sixteen rows in lanes, the last panel filled up with zeros.
#[derive(Debug)]
pub struct Pairs {
    rows: usize,
    /// Pairs of a row.
    depth: usize,
    /// Pair k of the rows of panel p at `p * depth + k`.
    lanes: ZeroLanes,
    /// One for each lane: [`Quantised::unit`], 0 beyond the last row.
    units: Vec<Lanes>,
    error: f64,
}

impl Pairs {
    /// Rounds and lays out `rows` (n, d) of finite numbers; takes 2·d·n bytes, n rounded up to a multiple of sixteen.
    pub fn new(rows: ArrayView2<'_, f32>) -> Self {
        let (n, depth) = (rows.nrows(), rows.ncols().div_ceil(2));
        let panels = n.div_ceil(LANES);
        let mut lanes = ZeroLanes::new(panels * depth);
        let mut units = vec![Lanes::ZERO; panels];
        let mut errors = vec![0f64; panels];
        // Rows without numbers have products of 0.
        let each = lanes
            .lanes_mut()
            .par_chunks_mut(depth.max(1))
            .zip(&mut units)
            .zip(&mut errors);
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
    /// integers a panel. Fastest with some 100 left rows and [`Pairs::PANELS`] panels.
    pub fn times(&mut self, left: &[f32], right: &Pairs, panels: Range<usize>) -> &[[i32; LANES]] {
        let depth = right.depth;
        let rows = left.len().checked_div(depth).unwrap_or(0);
        let right = &right.lanes.lanes()[panels.start * depth..panels.end * depth];
        self.out.clear();
        self.out.resize(rows * panels.len(), Lanes::ZERO);
        if rows * panels.len() > 0 {
            products(self.isa, left, right, depth, &mut self.packed, &mut self.out);
        }
        bytemuck::cast_slice(&self.out)
    }
}

/// The same with both steps in one instruction.
#[cfg(target_arch = "x86_64")]
struct Fused;
#[cfg(target_arch = "x86_64")]
impl Term for Fused {
    #[inline(always)]
    fn add<V: Vector>(sum: V, a: V, b: V) -> V {
        sum.plus_pairs_fused(a, b)
    }
    #[inline(always)]
    fn join<V: Vector>(a: V, b: V) -> V {
        a.plus_whole(b)
    }
}

/// Sums are exact, so that an instruction which only some CPUs with AVX-512 have changes no bit.
fn products(isa: Isa, left: &[f32], right: &[Lanes], depth: usize, packed: &mut Vec<f32>, out: &mut [Lanes]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(
            enable = "avx512vnni,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c,lzcnt,movbe,popcnt"
        )]
        fn fused(left: &[f32], right: &[Lanes], depth: usize, packed: &mut Vec<f32>, out: &mut [Lanes]) {
            all_products::<Avx512, Fused>(left, right, depth, packed, out)
        }
        if isa.level() == Level::V4 && is_x86_feature_detected!("avx512vnni") {
            // Safety: an `Isa` of this level exists only where its features were detected, and the other one just was.
            return unsafe { fused(left, right, depth, packed, out) };
        }
    }
    whole_products(isa, left, right, depth, packed, out)
}

per_vector! {
    fn whole_products = all_products[Whole](left: &[f32], right: &[Lanes], depth: usize, packed: &mut Vec<f32>, out: &mut [Lanes])
}
