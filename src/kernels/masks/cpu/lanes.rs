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
#[derive(Debug, Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub(super) struct Lanes([f32; LANES]);

impl Lanes {
    /// An empty tile on the heap.
    pub(super) fn tile() -> Box<[Lanes; TILE]> {
        Box::new([Lanes([0.0; LANES]); TILE])
    }
}

/// A pixel type that frames are interleaved in before conversion.
pub(super) trait Cell: Sample {
    /// Turns `n` pixels of 16 rows into lanes; `one` and `two` have room for them.
    fn interleave(rows: &[&[Self]; LANES], n: usize, one: &mut [u64], two: &mut [u64], tile: &mut [Lanes; TILE]);
}

/// Joins pairs of rows, element by element, into numbers of twice the size with the first row's element at the lower address.
macro_rules! join {
    ($from:ty => $to:ty, $a:expr, $b:expr, $out:expr) => {
        for ((o, &a), &b) in $out.iter_mut().zip($a).zip($b) {
            *o = if cfg!(target_endian = "little") {
                <$to>::from(a) | <$to>::from(b) << <$from>::BITS
            } else {
                <$to>::from(a) << <$from>::BITS | <$to>::from(b)
            };
        }
    };
}

/// Puts the `G` numbers that hold a pixel's 16 frames next to each other and converts all.
#[inline(always)]
fn gather<T: Sample, const G: usize>(groups: &[u64], n: usize, packed: &mut [u64], tile: &mut [Lanes; TILE]) {
    let groups: [&[u64]; G] = std::array::from_fn(|g| &groups[g * n..(g + 1) * n]);
    let packed = &mut packed[..G * n];
    for (p, pixel) in packed.as_chunks_mut::<G>().0.iter_mut().enumerate() {
        for g in 0..G {
            pixel[g] = groups[g][p];
        }
    }
    let values: &[T] = bytemuck::cast_slice(packed);
    for (x, v) in bytemuck::cast_slice_mut::<Lanes, f32>(&mut tile[..n]).iter_mut().zip(values) {
        *x = v.to_f32();
    }
}

macro_rules! cells {
    ($($t:ty => 1),*) => {$(
        impl Cell for $t {
            #[inline(always)]
            fn interleave(rows: &[&[$t]; LANES], n: usize, one: &mut [u64], two: &mut [u64], tile: &mut [Lanes; TILE]) {
                let pairs: &mut [u16] = bytemuck::cast_slice_mut(one);
                for (rows, out) in rows.as_chunks::<2>().0.iter().zip(pairs.chunks_exact_mut(n)) {
                    let (a, b): (&[u8], &[u8]) = (bytemuck::cast_slice(rows[0]), bytemuck::cast_slice(rows[1]));
                    join!(u8 => u16, a, b, out);
                }
                let fours: &mut [u32] = bytemuck::cast_slice_mut(two);
                for (rows, out) in pairs[..8 * n].chunks_exact(2 * n).zip(fours.chunks_exact_mut(n)) {
                    let (a, b) = rows.split_at(n);
                    join!(u16 => u32, a, b, out);
                }
                for (rows, out) in fours[..4 * n].chunks_exact(2 * n).zip(one.chunks_exact_mut(n)) {
                    let (a, b) = rows.split_at(n);
                    join!(u32 => u64, a, b, out);
                }
                gather::<$t, 2>(one, n, two, tile);
            }
        }
    )*};
    ($($t:ty => 2),*) => {$(
        impl Cell for $t {
            #[inline(always)]
            fn interleave(rows: &[&[$t]; LANES], n: usize, one: &mut [u64], two: &mut [u64], tile: &mut [Lanes; TILE]) {
                let pairs: &mut [u32] = bytemuck::cast_slice_mut(one);
                for (rows, out) in rows.as_chunks::<2>().0.iter().zip(pairs.chunks_exact_mut(n)) {
                    let (a, b): (&[u16], &[u16]) = (bytemuck::cast_slice(rows[0]), bytemuck::cast_slice(rows[1]));
                    join!(u16 => u32, a, b, out);
                }
                for (rows, out) in pairs[..8 * n].chunks_exact(2 * n).zip(two.chunks_exact_mut(n)) {
                    let (a, b) = rows.split_at(n);
                    join!(u32 => u64, a, b, out);
                }
                gather::<$t, 4>(two, n, one, tile);
            }
        }
    )*};
    ($($t:ty => 4),*) => {$(
        impl Cell for $t {
            #[inline(always)]
            fn interleave(rows: &[&[$t]; LANES], n: usize, one: &mut [u64], two: &mut [u64], tile: &mut [Lanes; TILE]) {
                for (rows, out) in rows.as_chunks::<2>().0.iter().zip(one.chunks_exact_mut(n)) {
                    let (a, b): (&[u32], &[u32]) = (bytemuck::cast_slice(rows[0]), bytemuck::cast_slice(rows[1]));
                    join!(u32 => u64, a, b, out);
                }
                gather::<$t, 8>(one, n, two, tile);
            }
        }
    )*};
}
cells!(u8 => 1, i8 => 1);
cells!(u16 => 2, i16 => 2);
cells!(u32 => 4, i32 => 4, f32 => 4);

/// Numbers of 64 bits that each of the two scratch buffers of [`interleave`] must have.
pub(super) const SCRATCH: usize = TILE * LANES / 2;

per_isa! {
    /// Turns `n` > 0 pixels of 16 rows into lanes: rows are joined pair by pair while a pixel's frames fit 64 bits, then converted.
    pub(super) fn interleave[T: Cell][T](rows: &[&[T]; LANES], n: usize, one: &mut [u64], two: &mut [u64], tile: &mut [Lanes; TILE]) {
        T::interleave(rows, n, one, two, tile);
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
