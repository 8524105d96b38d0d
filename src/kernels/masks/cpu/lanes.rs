//! Frames side by side: a tile of pixels as float32 lanes, and what masks add from it.

use super::plan::Segment;
use crate::backend::cpu::isa::per_isa;
use crate::pixel::Sample;

/// Frames side by side.
pub(super) const LANES: usize = 16;
/// Pixels of a tile: with 16 frames in float32 it takes 32 KiB.
pub(super) const TILE: usize = 512;
/// Masks that a dense product works on at a time.
pub(super) const BLOCK: usize = 4;
/// Pixels that a dense product adds up in float32.
const RUN: usize = 128;
/// Chains of additions of a sparse product: entry k of a segment goes to chain k mod 4.
const CHAINS: usize = 4;

/// One pixel of 16 frames.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes([f32; LANES]);

impl Lanes {
    /// An empty tile on the heap.
    pub(super) fn tile() -> Box<[Lanes; TILE]> {
        Box::new([Lanes([0.0; LANES]); TILE])
    }
}

/// A pixel type that frames are interleaved in before conversion.
pub(super) trait Cell: Sample + Default {}
impl Cell for u8 {}
impl Cell for i8 {}
impl Cell for u16 {}
impl Cell for i16 {}
impl Cell for u32 {}
impl Cell for i32 {}
impl Cell for f32 {}

/// a0 b0 a1 b1 … of two rows.
#[inline(always)]
fn zip<T: Copy>(a: &[T], b: &[T], out: &mut [T]) {
    let n = a.len();
    let (b, out) = (&b[..n], &mut out[..2 * n]);
    for i in 0..n {
        out[2 * i] = a[i];
        out[2 * i + 1] = b[i];
    }
}

per_isa! {
    /// Turns `n` pixels of 16 rows (missing ones count as zeros) into lanes. Four perfect shuffles in the pixel's own type, each
    /// halving the number of rows, put the 16 frames of a pixel next to each other; one conversion follows.
    pub(super) fn interleave[T: Cell][T](rows: &[&[T]; LANES], n: usize, scratch: &mut [T], tile: &mut [Lanes; TILE]) {
        let (one, two) = scratch.split_at_mut(TILE * LANES);
        let zeros = [T::default(); TILE];
        let row = |r: usize| if rows[r].len() == n { rows[r] } else { &zeros[..n] };
        for r in 0..8 {
            zip(row(r), row(r + 8), &mut one[2 * n * r..]);
        }
        for r in 0..4 {
            zip(&one[2 * n * r..2 * n * (r + 1)], &one[2 * n * (r + 4)..2 * n * (r + 5)], &mut two[4 * n * r..]);
        }
        for r in 0..2 {
            zip(&two[4 * n * r..4 * n * (r + 1)], &two[4 * n * (r + 2)..4 * n * (r + 3)], &mut one[8 * n * r..]);
        }
        zip(&one[..8 * n], &one[8 * n..16 * n], two);
        for (lanes, pixel) in tile[..n].iter_mut().zip(two.as_chunks::<LANES>().0) {
            for (x, v) in lanes.0.iter_mut().zip(pixel) {
                *x = v.to_f32();
            }
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

per_isa! {
    /// Adds what the segments of one tile contribute to their masks' totals.
    pub(super) fn sparse(tile: &[Lanes; TILE], segments: &[Segment], index: &[u16], value: &[f32], totals: &mut [[f64; LANES]]) {
        for segment in segments {
            let (index, rest_index) = index[segment.entries.clone()].as_chunks::<CHAINS>();
            let (value, rest_value) = value[segment.entries.clone()].as_chunks::<CHAINS>();
            let mut chains = [[0f32; LANES]; CHAINS];
            for (i, v) in index.iter().zip(value) {
                for c in 0..CHAINS {
                    // Indices are below the tile's size; the remainder tells the compiler.
                    add_product(&mut chains[c], &tile[usize::from(i[c]) % TILE], v[c]);
                }
            }
            for (c, (i, v)) in rest_index.iter().zip(rest_value).enumerate() {
                add_product(&mut chains[c % CHAINS], &tile[usize::from(*i) % TILE], *v);
            }
            let total = &mut totals[segment.mask];
            for lane in 0..LANES {
                total[lane] += f64::from((chains[0][lane] + chains[1][lane]) + (chains[2][lane] + chains[3][lane]));
            }
        }
    }
}

per_isa! {
    /// Adds one tile's products with all masks to the totals; `values` holds the tile's pixels for one block of masks after the other.
    pub(super) fn dense(tile: &[Lanes], values: &[f32], totals: &mut [[f64; LANES]]) {
        let values = values.as_chunks::<BLOCK>().0;
        for (values, totals) in values.chunks_exact(tile.len()).zip(totals.as_chunks_mut::<BLOCK>().0) {
            for (values, tile) in values.chunks(RUN).zip(tile.chunks(RUN)) {
                let mut sums = [[0f32; LANES]; BLOCK];
                for (v, x) in values.iter().zip(tile) {
                    for m in 0..BLOCK {
                        add_product(&mut sums[m], x, v[m]);
                    }
                }
                for (total, sum) in totals.iter_mut().zip(&sums) {
                    for (t, s) in total.iter_mut().zip(sum) {
                        *t += f64::from(*s);
                    }
                }
            }
        }
    }
}
