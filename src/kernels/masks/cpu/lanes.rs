//! Frames side by side: a tile of pixels as float32 lanes, and what masks add from it.

use super::plan::Segment;
use crate::backend::cpu::isa::per_isa;
pub(super) use crate::backend::cpu::lanes::{LANES, Lanes};
use crate::backend::cpu::lanes::{Vector, per_vector, small};
use crate::pixel::Sample;
use bytemuck::Pod;

/// Pixels of a tile: with 16 frames in float32 it takes 32 KiB.
pub(super) const TILE: usize = 512;
/// Masks that a dense product works on at a time.
pub(super) const BLOCK: usize = 4;
/// Pixels that a dense product adds up in float32.
const RUN: usize = 128;
/// Chains of additions of a sparse product: entry k of a segment goes to chain k mod 4.
const CHAINS: usize = 4;

/// An empty tile on the heap.
pub(super) fn tile() -> Box<[Lanes; TILE]> {
    Box::new([Lanes::ZERO; TILE])
}

/// A tile of pixels as they are stored, for types of one or two bytes.
#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub(super) struct Narrow([u16; LANES * TILE]);

/// An empty one on the heap.
pub(super) fn narrow() -> Box<Narrow> {
    bytemuck::zeroed_box()
}

impl Narrow {
    /// Pixels of sixteen frames, pixel after pixel. `T` has one or two bytes.
    #[inline(always)]
    fn pixels<T: Pod>(&self) -> &[[T; LANES]] {
        bytemuck::cast_slice::<u16, T>(&self.0).as_chunks().0
    }
    #[inline(always)]
    fn pixels_mut<T: Pod>(&mut self) -> &mut [[T; LANES]] {
        bytemuck::cast_slice_mut::<u16, T>(&mut self.0).as_chunks_mut().0
    }
}

/// Pixels of a row that are converted together.
const PIECE: usize = 64;

/// Rows of converted pixels, in whole cache lines.
#[repr(align(64))]
struct Rows([f32; LANES * PIECE]);

per_isa! {
    /// Turns `n` pixels of 16 rows, of one or two bytes each, into lanes that stay what they are.
    pub(super) fn interleave_narrow[T: Sample][T](rows: &[&[T]; LANES], n: usize, tile: &mut Narrow) {
        match size_of::<T>() {
            1 => turn_small::<T, u8, LANES>(rows, n, tile.pixels_mut(), small::turn_bytes),
            _ => turn_small::<T, u16, { LANES / 2 }>(rows, n, tile.pixels_mut(), small::turn_shorts),
        }
    }
}

/// `N` pixels at a time.
#[inline(always)]
fn turn_small<T: Sample, W: Pod, const N: usize>(
    rows: &[&[T]; LANES],
    n: usize,
    tile: &mut [[W; LANES]],
    turn: impl Fn(&[&[W]; LANES], usize, &mut [[W; LANES]; N]),
) {
    let rows: [&[W]; LANES] = std::array::from_fn(|i| bytemuck::cast_slice(&rows[i][..n]));
    let (whole, rest) = tile[..n].as_chunks_mut::<N>();
    for (k, out) in whole.iter_mut().enumerate() {
        turn(&rows, k * N, out);
    }
    if !rest.is_empty() {
        let mut filled = [[W::zeroed(); N]; LANES];
        for (to, row) in filled.iter_mut().zip(&rows) {
            to[..rest.len()].copy_from_slice(&row[n - rest.len()..]);
        }
        let mut out = [[W::zeroed(); LANES]; N];
        turn(&std::array::from_fn(|i| &filled[i][..]), 0, &mut out);
        rest.copy_from_slice(&out[..rest.len()]);
    }
}

per_isa! {
    /// The first `n` pixels as float32.
    pub(super) fn widen[T: Sample][T](narrow: &Narrow, n: usize, tile: &mut [Lanes; TILE]) {
        for (out, pixel) in tile[..n].iter_mut().zip(narrow.pixels::<T>()) {
            for (v, x) in out.0.iter_mut().zip(pixel) {
                *v = x.to_f32();
            }
        }
    }
}

per_vector! {
    /// Turns `n` pixels of 16 rows, of four bytes each, into float32 lanes. What is behind them, up to whole vectors, is not to be looked at.
    pub(super) fn interleave[T: Sample][T] = turn_converted[T](rows: &[&[T]; LANES], n: usize, tile: &mut [Lanes; TILE])
}

/// They are converted first.
#[inline(always)]
fn turn_converted<V: Vector, T: Sample>(rows: &[&[T]; LANES], n: usize, tile: &mut [Lanes; TILE]) {
    let mut converted = Rows([0.0; LANES * PIECE]);
    for start in (0..n).step_by(PIECE) {
        let width = (n - start).min(PIECE);
        for (row, to) in rows.iter().zip(converted.0.chunks_exact_mut(PIECE)) {
            for (v, x) in to.iter_mut().zip(&row[start..start + width]) {
                *v = x.to_f32();
            }
        }
        let vectors = tile[start..].as_chunks_mut::<LANES>().0;
        for (k, out) in vectors.iter_mut().take(width.div_ceil(LANES)).enumerate() {
            V::turn(&converted.0[k * LANES..], PIECE, out);
        }
    }
}

per_vector! {
    /// Totals (sixteen frames of one mask after the other) as float32, mask by mask of one frame after the other.
    pub(super) fn by_frame = turn_totals[](totals: &[[f64; LANES]], masks: usize, frames: usize, out: &mut [f32])
}

#[inline(always)]
fn turn_totals<V: Vector>(totals: &[[f64; LANES]], masks: usize, frames: usize, out: &mut [f32]) {
    let (mut rows, mut turned) = (Rows([0.0; LANES * PIECE]), [Lanes::ZERO; LANES]);
    for (block, totals) in totals[..masks].chunks(LANES).enumerate() {
        for (row, total) in rows.0.chunks_exact_mut(LANES).zip(totals) {
            for (v, t) in row.iter_mut().zip(total) {
                *v = *t as f32;
            }
        }
        V::turn(&rows.0, LANES, &mut turned);
        for (frame, values) in out.chunks_exact_mut(masks).zip(&turned).take(frames) {
            frame[block * LANES..][..totals.len()].copy_from_slice(&values.0[..totals.len()]);
        }
    }
}

/// Adds v·x to a chain.
#[inline(always)]
fn add_product(chain: &mut [f32; LANES], x: &Lanes, v: f32) {
    for (c, x) in chain.iter_mut().zip(&x.0) {
        *c += v * x;
    }
}

/// Adds a partial sum to a mask's total.
#[inline(always)]
fn add_total(total: &mut [f64; LANES], sum: &[f32; LANES]) {
    for (t, s) in total.iter_mut().zip(sum) {
        *t += f64::from(*s);
    }
}

per_isa! {
    /// Adds what the segments of one tile contribute to their masks' totals.
    pub(super) fn sparse(tile: &[Lanes; TILE], segments: &[Segment], index: &[u16], value: &[f32], totals: &mut [[f64; LANES]]) {
        // Indices are below the tile's size; the remainder tells the compiler.
        add_segments(|i| &tile[i % TILE], segments, index, value, totals);
    }
}

per_isa! {
    /// The same on pixels as they are stored, converted where a mask wants them.
    pub(super) fn sparse_narrow[T: Sample][T](tile: &Narrow, segments: &[Segment], index: &[u16], value: &[f32], totals: &mut [[f64; LANES]]) {
        let Some(tile) = tile.pixels::<T>().first_chunk::<TILE>() else { return };
        add_segments(|i| Lanes(tile[i % TILE].map(Sample::to_f32)), segments, index, value, totals);
    }
}

/// Four chains of products for each segment, together in float32, then to the mask's total.
#[inline(always)]
fn add_segments<X: std::borrow::Borrow<Lanes>>(
    pixel: impl Fn(usize) -> X,
    segments: &[Segment],
    index: &[u16],
    value: &[f32],
    totals: &mut [[f64; LANES]],
) {
    for segment in segments {
        let (index, rest_index) = index[segment.entries.clone()].as_chunks::<CHAINS>();
        let (value, rest_value) = value[segment.entries.clone()].as_chunks::<CHAINS>();
        let mut chains = [[0f32; LANES]; CHAINS];
        for (i, v) in index.iter().zip(value) {
            // Four indices in one number: a vector of them would have to be taken apart by what multiplies and adds.
            let four: u64 = bytemuck::cast(*i);
            for c in 0..CHAINS {
                let place = if cfg!(target_endian = "little") { c } else { CHAINS - 1 - c };
                add_product(&mut chains[c], pixel((four >> (16 * place)) as usize).borrow(), v[c]);
            }
        }
        for (c, (i, v)) in rest_index.iter().zip(rest_value).enumerate() {
            add_product(&mut chains[c % CHAINS], pixel(usize::from(*i)).borrow(), *v);
        }
        let total = &mut totals[segment.mask];
        for lane in 0..LANES {
            total[lane] += f64::from((chains[0][lane] + chains[1][lane]) + (chains[2][lane] + chains[3][lane]));
        }
    }
}

per_isa! {
    /// Adds one tile's products with all masks to the totals; `values` holds the tile's pixels for one block of masks after the other.
    pub(super) fn dense(tile: &[Lanes], values: &[f32], totals: &mut [[f64; LANES]]) {
        let values = values.as_chunks::<BLOCK>().0;
        for (values, totals) in values.chunks_exact(tile.len()).zip(totals.as_chunks_mut::<BLOCK>().0) {
            for (values, tile) in values.chunks(RUN).zip(tile.chunks(RUN)) {
                // Separate variables: indexed ones stay in memory.
                let [mut a, mut b, mut c, mut d] = [[0f32; LANES]; BLOCK];
                for (v, x) in values.iter().zip(tile) {
                    add_product(&mut a, x, v[0]);
                    add_product(&mut b, x, v[1]);
                    add_product(&mut c, x, v[2]);
                    add_product(&mut d, x, v[3]);
                }
                add_total(&mut totals[0], &a);
                add_total(&mut totals[1], &b);
                add_total(&mut totals[2], &c);
                add_total(&mut totals[3], &d);
            }
        }
    }
}
